/** What the Kubernetes API sends, read without trust. */
import type { Failure } from "./reflector.ts";

export interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMetadata;
  readonly [field: string]: unknown;
}

export interface ObjectMetadata {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly creationTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export type WatchEvent =
  | { readonly kind: "put" | "removed"; readonly object: KubernetesObject; readonly version: string }
  /** `listed`: what was there at the start has all been told. */
  | { readonly kind: "bookmark"; readonly version: string; readonly listed: boolean }
  | { readonly kind: "error"; readonly failure: Failure }
  | { readonly kind: "wrong"; readonly problem: string };

const kindOf: ReadonlyMap<unknown, "put" | "removed"> = new Map([
  ["ADDED", "put"],
  ["MODIFIED", "put"],
  ["DELETED", "removed"],
]);

const initialEventsEnd = "k8s.io/initial-events-end";

/** One line of a watch. */
export const readEvent = (text: string): WatchEvent => {
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch {
    return { kind: "wrong", problem: "it is no JSON" };
  }
  if (!isRecord(event)) return { kind: "wrong", problem: "it is no object" };
  const { type, object } = event;
  if (type === "ERROR") return { kind: "error", failure: failureIn(object) };
  if (!isRecord(object) || !isRecord(object.metadata)) return { kind: "wrong", problem: "it has no object" };
  const version = object.metadata.resourceVersion;
  if (typeof version !== "string" || version === "") return { kind: "wrong", problem: "it has no resourceVersion" };
  if (type === "BOOKMARK") {
    const { annotations } = object.metadata;
    return { kind: "bookmark", version, listed: isRecord(annotations) && annotations[initialEventsEnd] === "true" };
  }
  const kind = kindOf.get(type);
  if (kind === undefined) return { kind: "wrong", problem: `its type is ${JSON.stringify(type)?.slice(0, 40)}` };
  return isObject(object) ? { kind, object, version } : { kind: "wrong", problem: "its object has no name" };
};

/** A `Status` within a watch. */
const failureIn = (status: unknown): Failure => {
  const { code, reason, message } = isRecord(status) ? status : {};
  return {
    status: typeof code === "number" ? code : 0,
    reason: typeof reason === "string" ? reason : "",
    message: typeof message === "string" ? message.slice(0, 500) : "the watch ended with an error",
  };
};

export interface ListPage {
  readonly objects: readonly KubernetesObject[];
  readonly version: string;
  /** "" on the last page. */
  readonly next: string;
}

/** A list's answer; what is no object in it is left out. */
export const listIn = (body: unknown): ListPage | undefined => {
  if (!isRecord(body) || !isRecord(body.metadata)) return undefined;
  const { resourceVersion: version, continue: next } = body.metadata;
  const items = body.items ?? [];
  if (typeof version !== "string" || version === "" || !Array.isArray(items)) return undefined;
  return { objects: items.filter(isObject), version, next: typeof next === "string" ? next : "" };
};

/** Versions of one server count up; of anything else nothing can be said. */
export const isOlder = (version: string, than: string): boolean =>
  /^\d{1,20}$/.test(version) && /^\d{1,20}$/.test(than) && BigInt(version) < BigInt(than);

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isObject = (value: unknown): value is KubernetesObject =>
  isRecord(value) && isRecord(value.metadata) && typeof value.metadata.name === "string" && value.metadata.name !== "";
