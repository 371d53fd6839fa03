/** Connections of bare bytes that go through a proxy behind this one, by CONNECT or POST. */
import { ConfigError } from "@weft/core/config-error";
import type { Clock } from "@weft/core/world";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import type { TcpProxy_TunnelingConfigJson } from "@weft/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { refuseOthers, required } from "../compile/fields.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import { noRequest } from "../http/no-request.ts";
import { compileFormat } from "../observe/format.ts";
import { compileHeaderEdits } from "../routing/header-edits.ts";

export interface TunnelSettings {
  /** False: CONNECT. */
  readonly post: boolean;
  /** `secure`: the proxy is reached by TLS. */
  readonly head: (downstream: DownstreamInfo, secure: boolean) => RequestHead;
  /** Whether the answer opened the tunnel. */
  readonly opened: (answer: ResponseHead, protocol: "HTTP/1.1" | "HTTP/2") => boolean;
}

export const compileTunnel = (json: TcpProxy_TunnelingConfigJson, at: string, clock: Clock): TunnelSettings => {
  refuseOthers(json, "TunnelingConfig", at, ["hostname", "usePost", "headersToAdd", "postPath"]);
  const post = json.usePost === true;
  if (json.postPath && !post) throw new ConfigError(`${at}.postPath`, "needs usePost");
  const hostname = compileFormat(required(json.hostname, `${at}.hostname`), { missing: "" }, `${at}.hostname`);
  const edit = compileHeaderEdits({ add: json.headersToAdd, remove: undefined, direction: "request", clock, at });
  const path = post ? json.postPath || "/" : "";
  return {
    post,
    head: (downstream, secure) => {
      const nowWallMs = clock.wallMs();
      const source = { request: noRequest, response: undefined, downstream, outcome: undefined };
      const headers = new HeaderList();
      const head: RequestHead = {
        method: post ? "POST" : "CONNECT",
        scheme: post ? (secure ? "https" : "http") : "",
        authority: hostname({ ...source, startWallMs: nowWallMs, nowWallMs }),
        path,
        protocol: "",
        headers,
      };
      edit(headers, downstream, head);
      return head;
    },
    // Any success opens a tunnel of HTTP/1 (RFC 9110 §9.3.6); of HTTP/2 Envoy takes 200 alone.
    opened: ({ status }, protocol) => (protocol === "HTTP/1.1" ? status >= 200 && status < 300 : status === 200),
  };
};
