import { isIPv4, isIPv6 } from "@weft/core/ip";
import type { RequestHead } from "@weft/protocols/http/head";
import { parseIp, rangeHolds } from "../listeners/ip-range.ts";
import { normalizePath } from "../routing/normalize-path.ts";
import type { DownstreamInfo, LocalReply } from "./exchange.ts";
import type { HcmSettings } from "./hcm-settings.ts";
import { badPath, notOriginForm } from "./local-reply.ts";
import { editXfcc } from "./xfcc.ts";

const redirectHome = (path: string): LocalReply => ({
  status: 307,
  flags: "",
  details: "path_normalization_failed",
  body: "",
  headers: [["location", path]],
});

/** What the client's address is for everybody who asks, and the changes every request meets before filters see it. */
export interface PreparedRequest {
  remoteHost: string;
  reply: LocalReply | undefined;
  /** The client gave the request no id. */
  ownId: boolean;
}

/** Gives path and authority the one spelling that routes and filters know; the answer to a path that has none. */
export const normalizeTarget = (
  settings: HcmSettings,
  request: RequestHead,
  downstream: DownstreamInfo,
): LocalReply | undefined => {
  if (settings.stripPort !== "none") stripPort(settings, request, downstream);
  if (request.path === "*") return notOriginForm;
  if (request.path.includes("#")) return badPath;
  if (settings.normalize === undefined || request.path === "") return undefined;
  const normalized = normalizePath(request.path, settings.normalize);
  if (normalized.kind === "reject") return badPath;
  request.path = normalized.path;
  return normalized.kind === "redirect" ? redirectHome(normalized.path) : undefined;
};

/** Changes the head in place as Envoy's connection manager does; the outcome is written to `out`. */
export const prepareRequest = (
  settings: HcmSettings,
  request: RequestHead,
  downstream: DownstreamInfo,
  out: PreparedRequest,
): void => {
  out.remoteHost = downstream.remoteHost;
  out.reply = normalizeTarget(settings, request, downstream);
  forwarded(settings, request, downstream, out);
  out.ownId = requestId(settings, request);
  editXfcc(settings.xfcc, request.headers, downstream);
  if (settings.via !== "") {
    const { headers } = request;
    const before = headers.getJoined("via");
    headers.set("via", before === undefined ? settings.via : `${before}, ${settings.via}`);
  }
};

const stripPort = (settings: HcmSettings, request: RequestHead, downstream: DownstreamInfo): void => {
  if (request.method === "CONNECT") return;
  const { authority } = request;
  const colon = authority.lastIndexOf(":");
  if (colon <= 0 || authority.endsWith("]")) return;
  const port = authority.slice(colon + 1);
  if (!/^\d+$/.test(port)) return;
  if (settings.stripPort === "any" || Number(port) === downstream.localPort)
    request.authority = authority.slice(0, colon);
};

/** The address of that hop; `undefined` where there is none, or a text that is no address. */
const hopAddress = (list: string, fromRight: number): string | undefined => {
  const hops = list.split(",");
  const hop = hops[hops.length - fromRight]?.trim() ?? "";
  return isIPv4(hop) || isIPv6(hop) ? hop : undefined;
};

/** Only a request from inside may steer the proxy or pretend to know what it found out. */
const controlHeaders: readonly string[] = [
  "x-envoy-retry-on",
  "x-envoy-retry-grpc-on",
  "x-envoy-max-retries",
  "x-envoy-upstream-alt-stat-name",
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-force-trace",
  "x-envoy-ip-tags",
  "x-envoy-original-url",
  "x-envoy-hedge-on-per-try-timeout",
  "x-envoy-retriable-header-names",
  "x-envoy-retriable-status-codes",
];
const edgeHeaders: readonly string[] = [
  "x-envoy-decorator-operation",
  "x-envoy-downstream-service-cluster",
  "x-envoy-downstream-service-node",
  "x-envoy-original-path",
];

/** x-forwarded-for, x-forwarded-proto and what hangs on them: whether the request comes from inside. */
const forwarded = (
  settings: HcmSettings,
  request: RequestHead,
  downstream: DownstreamInfo,
  out: PreparedRequest,
): void => {
  const { headers } = request;
  const scheme = downstream.tls === undefined ? "http" : "https";
  const xff = headers.getJoined("x-forwarded-for");
  if (!settings.useRemoteAddress) {
    if (!headers.has("x-forwarded-proto")) headers.add("x-forwarded-proto", scheme);
    const client = xff === undefined ? undefined : hopAddress(xff, settings.trustedHops + 1);
    if (client !== undefined) out.remoteHost = client;
    markOrigin(settings, request, out.remoteHost, client !== undefined && xff?.includes(",") === false);
    return;
  }
  if (settings.trustedHops > 0 && xff !== undefined) {
    out.remoteHost = hopAddress(xff, settings.trustedHops) ?? downstream.remoteHost;
  }
  if (settings.trustedHops === 0 || !headers.has("x-forwarded-proto")) headers.set("x-forwarded-proto", scheme);
  if (!settings.skipXffAppend) {
    headers.set("x-forwarded-for", xff === undefined ? downstream.remoteHost : `${xff},${downstream.remoteHost}`);
  }
  if (markOrigin(settings, request, out.remoteHost, xff === undefined)) return;
  for (const name of edgeHeaders) headers.remove(name);
  headers.set("x-envoy-external-address", out.remoteHost);
};

/**
 * True for a request from inside: its address is trusted and within the ranges configured as internal. There are none
 * by default, as in Envoy since 1.32.
 */
const markOrigin = (settings: HcmSettings, request: RequestHead, remoteHost: string, trusted: boolean): boolean => {
  const { headers } = request;
  if (trusted && settings.internalRanges.length > 0) {
    const ip = parseIp(remoteHost);
    if (ip !== undefined && settings.internalRanges.some((range) => rangeHolds(range, ip))) {
      headers.set("x-envoy-internal", "true");
      return true;
    }
  }
  // Few requests carry any of them: one pass finds that out.
  for (let i = 0; i < headers.size; i++) {
    if (!headers.nameAt(i).startsWith("x-envoy-")) continue;
    headers.remove("x-envoy-internal");
    for (const name of controlHeaders) headers.remove(name);
    break;
  }
  return false;
};

/** HTTP/1 names no scheme of its own: the proxy before this one knows which the client used. */
export const takeForwardedScheme = (request: RequestHead): void => {
  const scheme = request.headers.get("x-forwarded-proto");
  if (scheme === "https" || scheme === "http") request.scheme = scheme;
};

/** True where the client's request had no id. */
const requestId = (settings: HcmSettings, request: RequestHead): boolean => {
  if (!settings.generateRequestId) return false;
  const { headers } = request;
  if (!headers.has("x-request-id")) {
    headers.add("x-request-id", settings.tools.uuid());
    return true;
  }
  if (settings.useRemoteAddress && !settings.preserveRequestId && !headers.has("x-envoy-internal")) {
    headers.set("x-request-id", settings.tools.uuid());
  }
  return false;
};
