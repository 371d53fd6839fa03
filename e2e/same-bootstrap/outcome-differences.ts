/** Ways to end that differ: the words that only the one has, and why. */
import type { Difference } from "./pair.ts";

const because = [
  "RFC 9110 section 15.2.2: 101 answers an upgrade only; Envoy hands it on",
  "RFC 8297: a proxy hands 103 on; Envoy drops it",
  "ours passes on the end of one direction; Envoy takes it for the end of both",
  "a connection that ended before a whole head is a connection that ended, and is retried as one",
  "ours bounds the head of an answer at 60 KiB like that of a request, Envoy at more",
  "ours answers 400 as in HTTP/1, Envoy resets the stream",
  "ours names the host that was chosen and could not be had",
  "RFC 9110 section 7.8: a server may decline an upgrade and answer; Envoy drops the answer",
  "a broken escape is refused where paths are normalized, so that a policy sees one spelling",
  "ours knows the request id by then",
  "ours logs the path as it came",
  "ours counts the body before its trailers are a frame of it, and keeps the status",
  "ours counts the body before its trailers are a frame of it, and keeps the status; Envoy drops +proto",
  "gRPC callers get their status with 200, as for every answer of the proxy",
  "ours answers text with text where the client does not say what it accepts",
  "ours refuses it before there is a request to log",
  "what has no head is refused before local replies are rewritten",
] as const;

export const outcomeDifferences: ReadonlyMap<string, Difference> = new Map([
  [
    "101 that nobody asked for",
    {
      envoy: "101 x-envoy-upstream-service-time: (some)  101 via_upstream 0 - -",
      weft: "502 content-length: 87 content-type: text/plain upstream connect error or disconnect/reset before headers. reset reason: protocol error 502 UPE UpstreamProtocolError upstream_reset_before_response_started{protocol_error} 87",
      because: because[0],
    },
  ],
  ["HTTP/2 upstream hints", { envoy: "", weft: "103 link: </a.css>; rel=preload HTTP/1.1", because: because[1] }],
  [
    "HTTP/2: 101 that nobody asked for",
    {
      envoy: "101 x-envoy-upstream-service-time:  101 via_upstream 0 - -",
      weft: "502 content-length: content-type: text/plain upstream connect error or disconnect/reset before headers. reset reason: protocol error 502 UPE UpstreamProtocolError upstream_reset_before_response_started{protocol_error} 87",
      because: because[0],
    },
  ],
  [
    "HTTP/2: HTTP/2 upstream hints",
    { envoy: "", weft: "103 link: </a.css>; rel=preload :status:", because: because[1] },
  ],
  [
    "HTTP/2: WebSocket through",
    {
      envoy: "hello DC DownstreamConnectionTermination downstream_remote_disconnect 10",
      weft: "hellobye via_upstream 13 - -",
      because: because[2],
    },
  ],
  [
    "HTTP/2: a head cut short",
    {
      envoy:
        "502 protocol error 502 UPE UpstreamProtocolError upstream_reset_before_response_started{protocol_error} 87",
      weft: "503 connection termination 503 UC UpstreamConnectionTermination upstream_reset_before_response_started{connection_termination} 95",
      because: because[3],
    },
  ],
  [
    "HTTP/2: a large head",
    {
      envoy: "200 2 x-big: (many a) x-envoy-upstream-service-time: ok 200 via_upstream 2 - -",
      weft: "502 content-type: text/plain upstream connect error or disconnect/reset before headers. reset reason: protocol error 502 UPE UpstreamProtocolError upstream_reset_before_response_started{protocol_error} 87",
      because: because[4],
    },
  ],
  [
    "HTTP/2: an underscore in a name",
    {
      envoy: "INTERNAL_ERROR DR DownstreamRemoteReset 0",
      weft: ":status: 400  400 DPE DownstreamProtocolError",
      because: because[5],
    },
  ],
  ["HTTP/2: early hints", { envoy: "", weft: "103 link: </a.css>; rel=preload :status:", because: because[1] }],
  [
    "HTTP/2: early hints twice",
    { envoy: "", weft: "103 link: </a> :status: 103 link: </a> :status:", because: because[1] },
  ],
  ["HTTP/2: too many waiting", { envoy: "-", weft: "(host)", because: because[6] }],
  [
    "WebSocket by the listener",
    {
      envoy: "hello DC DownstreamConnectionTermination downstream_remote_disconnect 10",
      weft: "hellobye via_upstream 13 - -",
      because: because[2],
    },
  ],
  [
    "WebSocket that is answered as an ordinary request",
    {
      envoy: "content-length: websocket_handshake_unsuccessful 0",
      weft: "transfer-encoding: chunked x-envoy-attempt-count: 11 all until the end via_upstream 17 1",
      because: because[7],
    },
  ],
  [
    "WebSocket through",
    {
      envoy: "hello DC DownstreamConnectionTermination downstream_remote_disconnect 10",
      weft: "hellobye via_upstream 13 - -",
      because: because[2],
    },
  ],
  [
    "WebSocket to HTTP/2",
    {
      envoy: "DC DownstreamConnectionTermination downstream_remote_disconnect",
      weft: "via_upstream - -",
      because: because[2],
    },
  ],
  [
    "a head cut short",
    {
      envoy:
        "502 87 protocol error 502 UPE UpstreamProtocolError upstream_reset_before_response_started{protocol_error} 87",
      weft: "503 95 connection termination 503 UC UpstreamConnectionTermination upstream_reset_before_response_started{connection_termination} 95",
      because: because[3],
    },
  ],
  [
    "a large head",
    {
      envoy: "200 2 x-big: (many a) x-envoy-upstream-service-time: (some) ok 200 via_upstream 2 - -",
      weft: "502 87 content-type: text/plain upstream connect error or disconnect/reset before headers. reset reason: protocol error 502 UPE UpstreamProtocolError upstream_reset_before_response_started{protocol_error} 87",
      because: because[4],
    },
  ],
  [
    "a path that cannot be normalized",
    {
      envoy:
        "200 2 x-envoy-attempt-count: 1 x-envoy-upstream-service-time: (some) ok 200 via_upstream 2 rude (host) 1 /",
      weft: "400  400 path_normalization_failed 0 0 0 - - -",
      because: because[8],
    },
  ],
  ["an escaped slash redirected", { envoy: "", weft: "x-request-id: (some)", because: because[9] }],
  ["an escaped slash refused", { envoy: "/a/b", weft: "/a%2fb", because: because[10] }],
  ["early hints", { envoy: "", weft: "103 link: </a.css>; rel=preload HTTP/1.1", because: because[1] }],
  ["early hints twice", { envoy: "", weft: "103 link: </a> 103 link: </a> HTTP/1.1 HTTP/1.1", because: because[1] }],
  ["gRPC-Web over HTTP/1", { envoy: "37 Unknown", weft: "7 OK", because: because[11] }],
  ["gRPC: web, an error in trailers", { envoy: "37 Unknown", weft: "7 NotFound", because: because[11] }],
  ["gRPC: web, binary", { envoy: "37 Unknown", weft: "7 OK", because: because[11] }],
  [
    "gRPC: web, binary with proto",
    { envoy: "application/grpc 37 Unknown", weft: "application/grpc+proto 7 OK", because: because[12] },
  ],
  ["gRPC: web, no hosts", { envoy: "503 content-length: 503 0", weft: "200 200", because: because[13] }],
  ["gRPC: web, text", { envoy: "52 Unknown", weft: "7 OK", because: because[11] }],
  [
    "gRPC: web, text in, binary out",
    {
      envoy:
        "application/grpc-web+proto \u0000\u0000\u0000\u0000\u0002ok\u0080\u0000\u0000\u0000\u0019grpc-status:0\r\nx-last:1\r\n 37 Unknown",
      weft: "application/grpc-web-text+proto AAAAAAJvaw==gAAAABlncnBjLXN0YXR1czowDQp4LWxhc3Q6MQ0K 7 OK",
      because: because[14],
    },
  ],
  ["gRPC: web, text that is none", { envoy: "400 content-length: 400 0", weft: "200 200", because: because[13] }],
  ["gRPC: web, text, no hosts", { envoy: "503 content-length: 503 0", weft: "200 200", because: because[13] }],
  ["no Host", { envoy: "GET /x", weft: "- -", because: because[15] }],
  [
    "rewritten: a broken path",
    {
      envoy:
        "200 2 x-envoy-attempt-count: 1 x-envoy-upstream-service-time: (some) ok 200 via_upstream 2 rude (host) 1 /",
      weft: "400 32 content-type: text/plain  [400 path_normalization_failed] 400 path_normalization_failed 32 0 - - -",
      because: because[8],
    },
  ],
  [
    "rewritten: a request that is none",
    { envoy: "35 [400 http1.codec_error] 35", weft: "11 11", because: because[16] },
  ],
  ["too many waiting", { envoy: "-", weft: "(host)", because: because[6] }],
]);
