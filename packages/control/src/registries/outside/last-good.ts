/** The last good view of a source as a file: what a control plane begins with until the registry answers. */
import { createHash } from "node:crypto";
import { type HoldReason, holdMs, type KeptInstance, type Restored, sourceInstancesMax } from "./held-instances.ts";
import { isObject } from "./record-fields.ts";
import type { SourceInstance } from "./source-events.ts";

const magic = "weft-last-good 1";

export type LastGood =
  | { readonly kind: "read"; readonly restored: Restored }
  /** Of another registry under the same name. */
  | { readonly kind: "other" }
  | { readonly kind: "corrupt"; readonly problem: string };

/** `registry` says what was read from where, without the addresses, which may change. */
export const printLastGood = (registry: string, { ageMs, instances }: Restored, wallMs: number): string => {
  const body = JSON.stringify({ registry, savedMs: wallMs - ageMs, instances });
  return `${magic} ${checksum(body)}\n${body}\n`;
};

/** Trusts nothing of the text: what is damaged anywhere is not used at all. */
export const parseLastGood = (text: string, registry: string, wallMs: number): LastGood => {
  const [head = "", body = ""] = text.split("\n", 2);
  if (!head.startsWith(`${magic} `)) return { kind: "corrupt", problem: "it does not begin as one of weft's" };
  if (head.slice(magic.length + 1) !== checksum(body))
    return { kind: "corrupt", problem: "its checksum does not match" };
  const file = objectIn(body);
  const { savedMs, instances } = file ?? {};
  if (!file || typeof savedMs !== "number" || !Array.isArray(instances) || !instances.every(isKept))
    return { kind: "corrupt", problem: "its content is not as written" };
  if (file.registry !== registry) return { kind: "other" };
  // A clock that was set back makes no view younger than now.
  const restored = { ageMs: Math.max(0, wallMs - savedMs), instances: instances.slice(0, sourceInstancesMax) };
  return { kind: "read", restored };
};

const checksum = (body: string): string => createHash("sha256").update(body).digest("hex");

const objectIn = (text: string): Record<string, unknown> | undefined => {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
};

const reasons: ReadonlySet<unknown> = new Set<HoldReason>(["absent", "expired"]);

const isKept = (value: unknown): value is KeptInstance => {
  if (!isObject(value) || !isInstance(value.instance)) return false;
  const { held } = value;
  if (held === undefined) return true;
  return isObject(held) && reasons.has(held.reason) && typeof held.leftMs === "number" && held.leftMs <= holdMs;
};

const texts = ["key", "namespace", "service", "id", "address", "serviceAccount", "locality"] as const;
const healths: ReadonlySet<unknown> = new Set<SourceInstance["health"]>(["healthy", "draining", "unhealthy"]);

const isInstance = (value: unknown): value is SourceInstance =>
  isObject(value) &&
  texts.every((name) => typeof value[name] === "string") &&
  ["port", "weight"].every((name) => typeof value[name] === "number") &&
  (value.servicePort === undefined || typeof value.servicePort === "number") &&
  (value.protocol === undefined || typeof value.protocol === "string") &&
  healths.has(value.health) &&
  isObject(value.labels) &&
  Object.values(value.labels).every((label) => typeof label === "string");
