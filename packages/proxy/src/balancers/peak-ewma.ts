/**
 * The better of two hosts drawn at random, by how long they take to answer and how much they have to do. A slow answer
 * counts at once, quick ones bring a host back little by little.
 */
import { ConfigError } from "@weft/core/config-error";
import type { Host } from "../clusters/host.ts";
import { durationMs, refuseOthers } from "../compile/fields.ts";
import type { BalancerKind } from "./balancer.ts";

interface PeakEwmaJson {
  readonly decayTime?: string;
  readonly defaultRtt?: string;
}

/** How long a host takes to answer, as its last answers say. */
export interface Latency {
  ms: number;
  atMs: number;
}

const defaultDecayMs = 10_000;
const defaultRttMs = 30;

const policyOf = (raw: Readonly<Record<string, unknown>>): { readonly decayMs: number; readonly rttMs: number } => {
  const json = raw as PeakEwmaJson;
  refuseOthers(json, "PeakEwma", "", ["decayTime", "defaultRtt"]);
  const decayMs = durationMs(json.decayTime, "decayTime") ?? defaultDecayMs;
  if (decayMs <= 0) throw new ConfigError("decayTime", "must be greater than 0");
  return { decayMs, rttMs: durationMs(json.defaultRtt, "defaultRtt") ?? defaultRttMs };
};

/** A host answered after so long. A peak holds at once; what is below it counts the more, the longer ago the last was. */
export const observeLatency = (host: Host, tookMs: number, nowMs: number, decayMs: number): void => {
  const { latency } = host;
  if (latency === undefined) {
    host.latency = { ms: tookMs, atMs: nowMs };
    return;
  }
  const old = Math.exp(-Math.max(0, nowMs - latency.atMs) / decayMs);
  latency.ms = tookMs >= latency.ms ? tookMs : latency.ms * old + tookMs * (1 - old);
  latency.atMs = nowMs;
};

export const peakEwma: BalancerKind = {
  policy: "PEAK_EWMA",
  typeName: "weft.load_balancing.v1.PeakEwma",
  aliases: ["envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma"],

  observe(raw) {
    const { decayMs } = policyOf(raw);
    return (host, tookMs, nowMs) => observeLatency(host, tookMs, nowMs, decayMs);
  },

  configure(raw) {
    const { rttMs, decayMs } = policyOf(raw);
    return (hosts, { random, nowMs }) => {
      const { length } = hosts;
      const costOf = (host: Host): number => {
        const { latency, activeRequests, weight } = host;
        let ms = rttMs;
        if (latency !== undefined) {
          // What was measured long ago fades, so that a host that was slow is asked again.
          const old = nowMs ? Math.exp(-Math.max(0, nowMs() - latency.atMs) / decayMs) : 1;
          ms = latency.ms > rttMs ? rttMs + (latency.ms - rttMs) * old : latency.ms;
        }
        return (ms * (activeRequests + 1)) / weight;
      };
      if (length < 2) return () => hosts[0];
      return () => {
        const first = Math.floor(random() * length);
        const drawn = Math.floor(random() * (length - 1));
        const one = hosts[first] as Host;
        const two = hosts[drawn < first ? drawn : drawn + 1] as Host;
        return costOf(two) < costOf(one) ? two : one;
      };
    };
  },
};
