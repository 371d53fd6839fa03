/** The part every object has: apiVersion, kind, metadata. */
import { defaultNamespace } from "@weft/core/identity";
import type { Kind } from "./kinds/kind.ts";
import { shapeCodes } from "./schema/codes.ts";
import { anything, type Infer, int, list, mapOf, object, text } from "./schema/schema.ts";
import { type Report, validateValue } from "./schema/validate.ts";

const other = anything("Written by Kubernetes; not used by weft.");

export const metadataSchema = object("Name, namespace, labels and annotations.", {
  name: text("Name, unique for the kind within its namespace.", { minLength: 1, maxLength: 253 }),
  namespace: text("Namespace.", { default: "default", minLength: 1, maxLength: 63 }),
  labels: mapOf(text("The label's value.", { format: "labelValue" }), "Labels."),
  annotations: mapOf(text("The annotation's value."), "Annotations."),
  creationTimestamp: text("When it was made, RFC 3339; the older of two that conflict wins."),
  generation: int("Counts changes of the spec.", { max: Number.MAX_SAFE_INTEGER }),
  resourceVersion: text("Counts all changes."),
  uid: text("Unique identity."),
  generateName: text("Not supported; write name."),
  deletionTimestamp: other,
  deletionGracePeriodSeconds: other,
  finalizers: list(text("A finalizer."), "Not used by weft."),
  ownerReferences: other,
  managedFields: other,
  selfLink: other,
  clusterName: other,
});
export interface Metadata extends Infer<typeof metadataSchema> {}

/** What an object's metadata says, with defaults; problems go to `report` with paths from the object's root. */
export const readMetadata = (kind: Kind, value: unknown, report: Report): NamedMetadata => {
  const given = value ?? {};
  const metadata = validateValue(metadataSchema, given, "metadata", ["metadata"], report) as Metadata | undefined;
  const name = metadata?.name ?? "";
  const bad = (field: string, message: string) => report(["metadata", field], { code: shapeCodes.metadata, message });
  if (metadata && metadata.name === undefined && !hasName(value)) {
    const hint = metadata.generateName === undefined ? "" : " (generateName makes none here)";
    bad("name", `${kind.name} has no metadata.name${hint}: name it`);
  } else if (kind.inert === undefined && name !== "" && !/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name)) {
    const rule = "lower-case letters, digits, `-` and `.`, with a letter or digit at both ends";
    bad("name", `metadata.name is ${JSON.stringify(name)}; it must be ${rule}`);
  }
  const namespace = kind.clusterScoped ? "" : (metadata?.namespace ?? defaultNamespace);
  if (namespace !== "" && !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(namespace)) {
    const rule = "lower-case letters, digits and `-`, with a letter or digit at both ends";
    bad("namespace", `metadata.namespace is ${JSON.stringify(namespace)}; it must be ${rule}`);
  }
  const time = metadata?.creationTimestamp;
  if (time !== undefined && Number.isNaN(Date.parse(time))) {
    bad("creationTimestamp", `metadata.creationTimestamp is ${JSON.stringify(time)}, not an RFC 3339 time`);
  }
  return {
    name,
    namespace,
    labels: metadata?.labels ?? {},
    annotations: metadata?.annotations ?? {},
    creationTimestamp: time,
  };
};

const hasName = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "name" in value && value.name !== null;

export interface NamedMetadata {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly creationTimestamp: string | undefined;
}
