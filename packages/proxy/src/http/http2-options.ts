/** How a listener speaks HTTP/2: what it offers its clients, what they may do, and what is counted of it. */
import { ConfigError } from "@weft/core/config-error";
import type { Keepalive } from "@weft/protocols/http2/connection";
import type { Http2Flood, Http2Limits } from "@weft/protocols/http2/limits";
import { http2Limits } from "@weft/protocols/http2/limits";
import type { Http2Settings } from "@weft/protocols/http2/settings";
import type { Http2ProtocolOptionsJson } from "@weft/xds/gen/envoy/config/core/v3/protocol";
import { durationMs, member, refuseOthers, unsigned } from "../compile/fields.ts";
import type { Counter, Stats } from "../observe/stats.ts";
import { floodLineMs } from "./limits.ts";
import { createLogPace, type LogPace } from "./log-pace.ts";

export interface Http2ServerSettings {
  readonly limits: Partial<Http2Limits>;
  readonly settings: Partial<Http2Settings>;
  readonly keepalive: Keepalive | undefined;
  readonly counters: Http2Counters;
  /** How often it is said that clients were disconnected for too much of something. */
  readonly floodPace: LogPace;
}

export interface Http2Counters {
  /** Connections ended, by what their client did too much of. */
  readonly floods: Readonly<Record<Http2Flood, Counter>>;
  readonly keepaliveTimeouts: Counter;
  readonly received: { readonly resets: Counter; readonly malformed: Counter; readonly tooLarge: Counter };
  readonly sent: { readonly resets: Counter; readonly goaways: Counter };
}

const streamsMax = 0x7fff_ffff;
const windowLeast = 65_535;
const windowMost = 0x7fff_ffff;
const defaultKeepaliveTimeoutMs = 10_000;

const windowSize = (value: number | undefined, at: string): number | undefined => {
  const bytes = unsigned(value, at);
  if (bytes !== undefined && (bytes < windowLeast || bytes > windowMost)) {
    throw new ConfigError(at, `${bytes} is not from ${windowLeast} to ${windowMost}`);
  }
  return bytes;
};

/** Compiles KeepaliveSettings; without an interval there is none. */
export const compileKeepalive = (
  json: Http2ProtocolOptionsJson["connectionKeepalive"],
  at: string,
): Keepalive | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "KeepaliveSettings", at, ["interval", "timeout", "intervalJitter"]);
  const intervalMs = durationMs(json.interval, member(at, "interval"));
  const timeoutMs = durationMs(json.timeout, member(at, "timeout")) ?? defaultKeepaliveTimeoutMs;
  return intervalMs === undefined ? undefined : { intervalMs, timeoutMs };
};

/** Compiles the Http2ProtocolOptions of a connection manager. `prefix` is that of its statistics. */
export const compileHttp2Server = (
  json: Http2ProtocolOptionsJson,
  stats: Stats,
  { at, prefix }: { readonly at: string; readonly prefix: string },
): Http2ServerSettings => {
  refuseOthers(json, "Http2ProtocolOptions", at, [
    "allowConnect",
    "connectionKeepalive",
    "hpackTableSize",
    "initialConnectionWindowSize",
    "initialStreamWindowSize",
    "maxConcurrentStreams",
    "maxConsecutiveInboundFramesWithEmptyPayload",
    "maxOutboundControlFrames",
  ]);
  const streams = unsigned(json.maxConcurrentStreams, member(at, "maxConcurrentStreams"));
  if (streams === 0) throw new ConfigError(member(at, "maxConcurrentStreams"), `must be 1 to ${streamsMax}`);
  const streamWindow = windowSize(json.initialStreamWindowSize, member(at, "initialStreamWindowSize"));
  const connectionWindow = windowSize(json.initialConnectionWindowSize, member(at, "initialConnectionWindowSize"));
  const headerTableSize = unsigned(json.hpackTableSize, member(at, "hpackTableSize"));
  const emptyAt = member(at, "maxConsecutiveInboundFramesWithEmptyPayload");
  const empty = unsigned(json.maxConsecutiveInboundFramesWithEmptyPayload, emptyAt);
  const controlFrames = unsigned(json.maxOutboundControlFrames, member(at, "maxOutboundControlFrames"));
  return {
    limits: {
      ...(streams === undefined ? {} : { concurrentStreams: streams }),
      ...(empty === undefined ? {} : { emptyData: { ...http2Limits.emptyData, burst: empty } }),
      ...(controlFrames === undefined ? {} : { controlFramesQueued: controlFrames }),
    },
    settings: {
      ...(streamWindow === undefined ? {} : { streamWindow }),
      ...(connectionWindow === undefined ? {} : { connectionWindow }),
      ...(headerTableSize === undefined ? {} : { headerTableSize }),
      ...(json.allowConnect === true ? { connectProtocol: true } : {}),
    },
    keepalive: compileKeepalive(json.connectionKeepalive, member(at, "connectionKeepalive")),
    counters: http2Counters(stats, prefix),
    floodPace: createLogPace(floodLineMs),
  };
};

/** Under Envoy's names where it has some. */
const http2Counters = (stats: Stats, prefix: string): Http2Counters => {
  const counter = (name: string): Counter => stats.counter(`http2.${name}`);
  return {
    floods: {
      resets: stats.counter(`${prefix}.downstream_rq_too_many_premature_resets`),
      "header-block": counter("too_many_header_frames"),
      "empty-data": counter("inbound_empty_frames_flood"),
      settings: counter("inbound_settings_flood"),
      pings: counter("inbound_ping_flood"),
      "window-updates": counter("inbound_window_update_frames_flood"),
      "ignored-frames": counter("inbound_priority_frames_flood"),
      "control-output": counter("outbound_control_flood"),
      output: counter("outbound_flood"),
    },
    keepaliveTimeouts: counter("keepalive_timeout"),
    received: {
      resets: counter("rx_reset"),
      malformed: counter("rx_messaging_error"),
      tooLarge: counter("header_overflow"),
    },
    sent: { resets: counter("tx_reset"), goaways: counter("goaway_sent") },
  };
};
