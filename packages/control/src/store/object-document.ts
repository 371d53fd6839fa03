/** A configuration object as the document it was read from, in plain data. */
import type { ConfigObject } from "@weft/config/config-object";
import { kinds } from "@weft/config/kinds/index";
import { redacted } from "@weft/config/kinds/secret-rules";

const rootBodies: ReadonlySet<string> = new Set(kinds.flatMap(({ name, bodyIsRoot }) => (bodyIsRoot ? [name] : [])));

export interface ObjectDocument {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** `parseConfig` of its JSON gives the object again. Empty parts of the metadata are left out. */
export const objectDocument = (object: ConfigObject): ObjectDocument => {
  const { apiVersion, kind, name, namespace, labels, annotations, creationTimestamp } = object;
  const metadata = {
    name,
    ...(namespace === "" ? {} : { namespace }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
  };
  const body = rootBodies.has(kind)
    ? (object.spec as unknown as Readonly<Record<string, unknown>>)
    : { spec: object.spec };
  return { ...body, apiVersion, kind, metadata };
};

const hide = (value: unknown): unknown =>
  typeof value === "object" && value !== null
    ? Object.fromEntries(Object.keys(value).map((key) => [key, redacted]))
    : redacted;

/** The same for people to read: what a Secret holds is only named. */
export const withoutKeys = (document: ObjectDocument): ObjectDocument =>
  document.kind !== "Secret"
    ? document
    : {
        ...document,
        // Where kubectl was there, an annotation has the whole object.
        metadata: {
          ...document.metadata,
          ...("annotations" in document.metadata ? { annotations: hide(document.metadata.annotations) } : {}),
        },
        ...("data" in document ? { data: hide(document.data) } : {}),
        ...("stringData" in document ? { stringData: hide(document.stringData) } : {}),
      };
