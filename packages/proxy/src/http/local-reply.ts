import { GRPC_STATUS } from "@weft/protocols/grpc/status";
import { retryAfterSeconds } from "../overload/limits.ts";
import type { LocalReply } from "./exchange.ts";
import type { UpstreamBreak } from "./streams.ts";

const reply = (status: number, flags: string, details: string, body: string): LocalReply => ({
  status,
  flags,
  details,
  body,
});

export const overloaded: LocalReply = {
  ...reply(503, "OM", "overload", "envoy overloaded"),
  headers: [["retry-after", String(retryAfterSeconds)]],
};
export const noRoute = reply(404, "NR", "route_not_found", "");
const routed = (given: LocalReply): LocalReply => ({ ...given, afterTries: true });
export const noHealthyUpstream = routed(reply(503, "UH", "no_healthy_upstream", "no healthy upstream"));
export const droppedOverload: LocalReply = {
  ...routed(reply(503, "DO", "drop_overload", "drop overload")),
  headers: [["x-envoy-drop-overload", "true"]],
};
export const upstreamTimeout = routed(reply(504, "UT", "response_timeout", "upstream request timeout"));
export const perTryTimeout = routed(reply(504, "UT", "upstream_per_try_timeout", "upstream request timeout"));
export const perTryIdleTimeout = routed(reply(504, "UT", "upstream_per_try_idle_timeout", "upstream request timeout"));
/** The answer to what took too long, without a word where the client asked for that. */
export const timeoutReply = (answer: LocalReply, empty: boolean): LocalReply =>
  empty ? { ...answer, status: 204, body: "" } : answer;
export const requestTooLarge = reply(413, "", "request_payload_too_large", "Payload Too Large");
export const streamIdleTimeout = (requestComplete: boolean): LocalReply =>
  reply(requestComplete ? 504 : 408, "SI", "stream_idle_timeout", "stream timeout");
export const requestTimeout = reply(408, "", "request_overall_timeout", "request timeout");
/** A gRPC caller is told what its own deadline would have told it. */
export const maxDuration = (requestComplete: boolean): LocalReply => ({
  ...reply(requestComplete ? 504 : 408, "", "max_duration_timeout", "downstream duration timeout"),
  grpcStatus: GRPC_STATUS.deadlineExceeded,
});
export const badGrpcWeb = reply(400, "", "grpc_base_64_decode_failed", "Bad gRPC-web request, invalid base64 data.");
export const noCluster = (status: number): LocalReply => reply(status, "NC", "cluster_not_found", "");
export const badPath = reply(400, "", "path_normalization_failed", "");
/** `OPTIONS *` asks the server itself: this one has nothing to say of itself, and no route leads there. */
export const notOriginForm = reply(404, "", "absolute_path_rejected", "");
export const upgradeRefused = reply(403, "", "upgrade_failed", "");
export const tooLargeToForward = reply(502, "UPE", "upstream_reset_before_response_started{protocol_error}", "");

const breakTexts: Readonly<Record<UpstreamBreak, readonly [status: number, flags: string, reason: string]>> = {
  "connect-failure": [503, "UF", "remote connection failure"],
  "connect-timeout": [503, "UF", "connection timeout"],
  "connection-termination": [503, "UC", "connection termination"],
  "remote-reset": [503, "UR", "remote reset"],
  refused: [503, "UR", "remote refused stream reset"],
  "protocol-error": [502, "UPE", "protocol error"],
  overflow: [503, "UO", "overflow"],
};
const overflowing: readonly (readonly [string, string])[] = [["x-envoy-overloaded", "true"]];

/** The flag alone, for when a response had begun already. */
export const breakFlag = (how: UpstreamBreak): string => breakTexts[how][1];

/** What Envoy answers when an attempt broke before its response began. */
export const upstreamBroken = (how: UpstreamBreak, detail: string, retried: boolean): LocalReply => {
  const [status, flags, reason] = breakTexts[how];
  const latest = retried ? "retried and the latest reset reason" : "reset reason";
  // The reason is for the log: what a transport said about a peer is not the client's to read.
  const reported = detail === "" || status === 502 ? "" : `|${transportReason(detail)}`;
  return {
    status,
    flags,
    afterTries: true,
    details: `upstream_reset_before_response_started{${reason.replaceAll(" ", "_")}${reported}}`,
    body: `upstream connect error or disconnect/reset before headers. ${latest}: ${reason}`,
    ...(how === "overflow" ? { headers: overflowing } : {}),
  };
};

/** Why a request ended whose client is gone: what was found before, if anything was. */
export const goneDetails = (before: string, reset: boolean): string => {
  if (before !== "" && before !== "via_upstream") return before;
  return reset ? "http2.remote_reset" : "downstream_remote_disconnect";
};

/** As logs show it: one word. */
export const transportReason = (detail: string): string => detail.replaceAll(" ", "_");
