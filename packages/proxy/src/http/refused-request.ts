import { HeaderList } from "@weft/protocols/http/headers";
import { encodeResponseHead } from "@weft/protocols/http1/encoder";
import type { DownstreamInfo, LocalReply } from "./exchange.ts";
import type { HcmSettings } from "./hcm-settings.ts";
import type { ServerStream } from "./streams.ts";

const bodies: ReadonlyMap<number, string> = new Map([
  [400, "Bad Request"],
  [408, "request header timeout"],
  [426, "Upgrade Required"],
  [431, "Request Header Fields Too Large"],
]);

/** Envoy's names for what it has names for; the rest are ours. */
const detailsOf = (reason: string): string => envoyDetails.get(reason) ?? `http1.${reason}`;
const envoyDetails: ReadonlyMap<string, string> = new Map([
  ["head-too-large", "http1.headers_too_large"],
  ["too-many-headers", "http1.too_many_headers"],
  ["http10-refused", "low_version"],
  ["missing-host", "missing_host_header"],
  ["request_header_timeout", "request_header_timeout"],
  ["underscore-header", "http1.unexpected_underscore"],
]);

const detached: ServerStream = {
  requestOpen: false,
  writeInterim() {},
  writeHead() {},
  writeData: () => true,
  writeTrailers() {},
  writeEnd() {},
  abort() {},
  pauseBody() {},
  resumeBody() {},
  release() {},
};

/** Counts and logs an HTTP/2 request that was refused before anything saw it; its codec has answered. */
export const logRefused = (settings: HcmSettings, downstream: DownstreamInfo, reply: LocalReply): void => {
  const exchange = settings.tools.exchanges.take(settings.tools);
  exchange.protocol = "HTTP/2";
  exchange.refuse(settings, detached, downstream, reply);
};

/** Answers a request of which no valid head came: counted and logged like any other, then the connection closes. */
export const answerRefused = (
  settings: HcmSettings,
  downstream: DownstreamInfo,
  status: number,
  reason: string,
): string => {
  const body = reason === "missing-host" ? "" : (bodies.get(status) ?? "");
  const reply: LocalReply = {
    status,
    flags: status === 408 || reason === "missing-host" ? "" : "DPE",
    details: detailsOf(reason),
    body,
  };
  const { exchanges } = settings.tools;
  const exchange = exchanges.take(settings.tools);
  exchange.protocol = "HTTP/1.1";
  exchange.refuse(settings, detached, downstream, reply);
  const headers = new HeaderList();
  headers.add("content-length", String(body.length));
  if (body !== "") headers.add("content-type", "text/plain");
  headers.add("date", settings.tools.date());
  if (settings.serverHeader !== "PASS_THROUGH") headers.add("server", settings.serverName);
  return encodeResponseHead({ status, headers }, body === "" ? "none" : "length", "close") + body;
};
