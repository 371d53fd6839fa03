/** Parts of a container that the injector's values give whole: what would have the API server refuse every pod is found here. */
import { readQuantity } from "./annotation-values.ts";
import { isObject, type JsonObject, objectOf } from "./json-values.ts";

/** `undefined`: resources that an API server takes. Else the words for what was wanted. */
export const wantedOfResources = (resources: JsonObject): string | undefined => {
  for (const [part, quantities] of Object.entries(resources)) {
    if (part === "claims" && Array.isArray(quantities)) continue;
    if (part !== "requests" && part !== "limits") return "requests and limits";
    if (quantities === null) continue;
    if (!isObject(quantities)) return `${part} such as {cpu: 500m, memory: 128Mi}`;
    const wrong = Object.entries(quantities).find(([, quantity]) => amountOf(quantity) === undefined);
    if (wrong) return `a quantity, such as 500m or 128Mi, for ${part}.${wrong[0]}`;
  }
  const limits = objectOf(resources.limits);
  const above = Object.entries(objectOf(resources.requests)).find(
    ([name, request]) => (amountOf(request) ?? 0) > (amountOf(limits[name]) ?? Number.POSITIVE_INFINITY),
  );
  return above && `a limit of ${above[0]} that is as high as its request`;
};

/** `undefined`: hooks of a container. Else the words for what was wanted. */
export const wantedOfHooks = (lifecycle: JsonObject): string | undefined =>
  Object.entries(lifecycle).every(([hook, handler]) => ["preStop", "postStart"].includes(hook) && isObject(handler))
    ? undefined
    : 'hooks such as {preStop: {exec: {command: [sleep, "5"]}}}';

const scales: ReadonlyMap<string, number> = new Map([
  ...["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].map((suffix, power) => [suffix, 1024 ** (power + 1)] as const),
  ...["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].map((suffix, power) => [suffix, 1000 ** (power - 3)] as const),
]);

/** As a number; `undefined` for what is no quantity. */
const amountOf = (quantity: unknown): number | undefined => {
  if (typeof quantity !== "string" && typeof quantity !== "number") return undefined;
  const text = String(quantity);
  if (readQuantity(text).kind === "wanted") return undefined;
  const [, number = "", suffix = ""] = /^(.*?)([KMGTPE]i|[numkMGTPE]?)$/.exec(text) ?? [];
  return Number(number) * (scales.get(suffix) ?? 1);
};
