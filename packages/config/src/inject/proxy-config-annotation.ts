/** `proxy.istio.io/config`: the fields of ProxyConfig that say how a pod's proxy starts. */
import { parseGoDuration } from "@weft/core/duration";
import type { Level } from "../schema/problem.ts";
import { readBool, readWordless } from "./annotation-values.ts";
import { isObject, type JsonObject, textsOf } from "./json-values.ts";
import type { ProxySettings } from "./proxy-settings.ts";

type Field = (settings: ProxySettings, value: unknown) => ProxySettings | { readonly wanted: string };

/** Durations of more than a day are nobody's drain. */
const drainMaxSeconds = 86_400;
const drain: Field = (settings, value) => {
  const ms = typeof value === "string" ? parseGoDuration(value) : undefined;
  const seconds = ms === undefined ? Number.NaN : Math.ceil(ms / 1000);
  return seconds >= 0 && seconds <= drainMaxSeconds ? { ...settings, drainSeconds: seconds } : { wanted: "a duration" };
};

const modes: ReadonlySet<unknown> = new Set(["REDIRECT", "TPROXY", "NONE"]);
/** The most workers that a sidecar starts. */
const concurrencyMax = 64;

const fields: ReadonlyMap<string, Field> = new Map([
  [
    "concurrency",
    (settings, value) =>
      Number.isInteger(value) && (value as number) >= 0 && (value as number) <= concurrencyMax
        ? { ...settings, concurrency: value as number }
        : { wanted: `a number up to ${concurrencyMax}` },
  ],
  [
    "holdApplicationUntilProxyStarts",
    (settings, value) => {
      const reading = readBool(String(value));
      return reading.kind === "value" ? { ...settings, hold: reading.value } : { wanted: reading.what };
    },
  ],
  [
    "interceptionMode",
    (settings, value) =>
      modes.has(value)
        ? { ...settings, interception: value as ProxySettings["interception"] }
        : { wanted: `one of ${[...modes].join(", ")}` },
  ],
  [
    "discoveryAddress",
    (settings, value) =>
      typeof value === "string" && readWordless(value).kind === "value"
        ? { ...settings, discovery: value }
        : { wanted: "HOST:PORT" },
  ],
  ["terminationDrainDuration", drain],
  ["drainDuration", drain],
  [
    "statusPort",
    (settings, value) =>
      Number.isInteger(value) && (value as number) > 0 && (value as number) <= 65_535
        ? { ...settings, statusPort: value as number }
        : { wanted: "a port" },
  ],
  [
    "meshId",
    (settings, value) =>
      typeof value === "string" && readWordless(value).kind === "value"
        ? { ...settings, meshId: value }
        : { wanted: "a name" },
  ],
  [
    "proxyMetadata",
    (settings, value) => {
      if (!isObject(value)) return { wanted: "an object of texts" };
      const texts = Object.entries(textsOf(value)).filter(([name]) => isVariable(name));
      return texts.length === Object.keys(value).length
        ? { ...settings, env: new Map([...settings.env, ...texts]) }
        : { wanted: "names of variables with texts" };
    },
  ],
]);

/** These decide what code runs in the container; the pod's own istio-proxy container can name them. */
const isVariable = (name: string): boolean => /^[A-Za-z_]\w*$/.test(name) && !/^(NODE_|LD_|PATH$)/i.test(name);

const shown = (value: unknown): string => JSON.stringify(value).slice(0, 200);

/** An error refuses the pod. */
export type Note = (message: string, level?: Level) => void;

/** What Istio's proxy would be given and weft's is not: its pods go on without. */
const mayBeLeftOut = "proxyMetadata";

/** Applies each field that has an effect on a weft sidecar, and tells of the others and of wrong ones. */
export const applyProxyConfig = (before: ProxySettings, given: JsonObject, note: Note): ProxySettings => {
  let settings = before;
  // The drain of a proxy that ends is named by the field that sorts last.
  for (const [name, value] of Object.entries(given).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const field = fields.get(name);
    if (!field) {
      note(`${name} has no effect on weft's sidecars`);
      continue;
    }
    const next = field(settings, value);
    const wrong = "wanted" in next ? `${name} is ${shown(value)}, not ${next.wanted}` : undefined;
    if (wrong !== undefined && name === mayBeLeftOut) note(`${wrong}; it is left out`, "warning");
    else if (wrong !== undefined) note(wrong, "error");
    else settings = next as ProxySettings;
  }
  return settings;
};
