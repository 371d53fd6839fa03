/** A container that the pod already names as ours: what it says wins, field by field. */
import { isObject, type JsonObject, objectsOf } from "./json-values.ts";

/** Lists whose items have a name of their own, by the field that is it. */
const keyOf: ReadonlyMap<string, string> = new Map([
  ["env", "name"],
  ["volumeMounts", "mountPath"],
  ["volumeDevices", "devicePath"],
  ["ports", "containerPort"],
]);

/** Of these the last one said holds whole: the parts of a former one would not fit it. */
const whole: ReadonlySet<string> = new Set(["exec", "httpGet", "tcpSocket", "grpc", "valueFrom", "seccompProfile"]);

/** `image: auto` asks for the image that injection has. */
export const mergeContainer = (ours: JsonObject, theirs: JsonObject): JsonObject => {
  const { image, ...rest } = theirs;
  const named = typeof image === "string" && image !== "" && image !== "auto";
  return mergeObjects(ours, named ? { ...rest, image } : rest);
};

const mergeObjects = (ours: JsonObject, theirs: JsonObject): JsonObject => {
  const merged: Record<string, unknown> = { ...ours };
  for (const [field, value] of Object.entries(theirs)) {
    const before = merged[field];
    const key = keyOf.get(field);
    if (key !== undefined && Array.isArray(before) && Array.isArray(value)) {
      merged[field] = mergeLists(objectsOf(before), objectsOf(value), key);
    } else if (isObject(before) && isObject(value) && !whole.has(field) && !isOtherHandler(before, value)) {
      merged[field] = mergeObjects(before, value);
    } else if (value !== undefined) merged[field] = value;
  }
  return merged;
};

/** A probe or hook of another kind takes the place of ours: it cannot have two. */
const isOtherHandler = (ours: JsonObject, theirs: JsonObject): boolean => {
  const kindOf = (value: JsonObject): string | undefined =>
    ["exec", "httpGet", "tcpSocket", "grpc", "sleep"].find((kind) => value[kind] !== undefined);
  const kind = kindOf(theirs);
  return kind !== undefined && kindOf(ours) !== undefined && kindOf(ours) !== kind;
};

const mergeLists = (ours: readonly JsonObject[], theirs: readonly JsonObject[], key: string): readonly JsonObject[] => {
  const given = new Map(theirs.map((item) => [item[key], item]));
  const known = new Set(ours.map((item) => item[key]));
  return [...ours.map((item) => given.get(item[key]) ?? item), ...theirs.filter((item) => !known.has(item[key]))];
};
