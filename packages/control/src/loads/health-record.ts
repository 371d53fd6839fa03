/** What one replica's proxies found of one service's port, as a record of the shared store: bounded, the same for equal findings. */
import { createHash } from "node:crypto";
import type { PortOpinions } from "./reported-health.ts";

export const healthRecordLimits = {
  /** Proxies that are heard; of more, always the same ones. */
  voicesMax: 256,
  /** Endpoints that may be said to fail. */
  failingMax: 500,
} as const;

export const healthGroup = "health";

export interface HealthRecordName {
  readonly replica: string;
  /** `NAMESPACE/HOSTNAME`. */
  readonly service: string;
  readonly port: number;
}

export const healthRecordKey = ({ replica, service, port }: HealthRecordName): string =>
  `${healthGroup}/${replica}/${port}/${service}`;

export const parseHealthRecordKey = (key: string): HealthRecordName | undefined => {
  const [, replica = "", port = "", service = ""] = /^health\/([^/]+)\/(\d{1,5})\/(.+)$/.exec(key) ?? [];
  return service === "" ? undefined : { replica, service, port: Number(port) };
};

const nameBytes = 9;

/** Short, of even length, and in an order that nobody chooses: the first of them are a fair sample. */
const nameOf = (voice: string): string =>
  createHash("sha256").update(voice).digest().subarray(0, nameBytes).toString("base64url");

export const nobodysOpinion: PortOpinions = { voices: new Set(), failing: new Map() };

/** The record's value; each voice under a name of its own that says nothing of it. */
export const formatOpinions = ({ voices, failing }: PortOpinions): string => {
  const { voicesMax, failingMax } = healthRecordLimits;
  const named = [...voices].map((voice) => [nameOf(voice), voice] as const);
  const heard = named.sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, voicesMax);
  const found = [...failing]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([id, of]): [string, string][] => {
      const bits = Buffer.alloc(Math.ceil(heard.length / 8));
      for (const [i, [, voice]] of heard.entries())
        if (of.has(voice)) bits[i >> 3] = (bits[i >> 3] ?? 0) | (1 << (i & 7));
      return bits.some((byte) => byte !== 0) ? [[id, bits.toString("base64url")]] : [];
    })
    .slice(0, failingMax);
  return JSON.stringify({ voices: heard.map(([name]) => name).join(""), failing: Object.fromEntries(found) });
};

/** The voices by their names; `undefined` for what is no such record. */
export const parseOpinions = (text: string): PortOpinions | undefined => {
  let value: { voices?: unknown; failing?: unknown } | null;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value?.voices !== "string" || typeof value.failing !== "object" || value.failing === null)
    return undefined;
  const names = value.voices.match(/[\w-]{12}/g) ?? [];
  const failing = Object.entries(value.failing).flatMap(([id, bits]): [string, Set<string>][] => {
    if (typeof bits !== "string") return [];
    const bytes = Buffer.from(bits, "base64url");
    return [[id, new Set(names.filter((_, i) => ((bytes[i >> 3] ?? 0) >> (i & 7)) & 1))]];
  });
  return { voices: new Set(names), failing: new Map(failing) };
};
