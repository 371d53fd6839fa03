/** Filter chains of one inbound port: which traffic is mesh TLS, which is HTTP, by PeerAuthentication and protocol. */

import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type {
  FilterChainJson,
  FilterChainMatchJson,
  FilterJson,
} from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import type { TlsMode } from "../model/workload-policies.ts";

export type InboundProtocol = "http" | "tcp" | "auto";

/** What the chains are made of. */
export interface ChainParts {
  readonly name: string;
  readonly http: () => FilterJson[];
  readonly tcp: () => FilterJson[];
  readonly tls: ((http: boolean) => TransportSocketJson) | undefined;
  /** Conditions all chains share, such as the destination port. */
  readonly match: FilterChainMatchJson;
}

const meshHttp = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const meshTcp = ["istio-peer-exchange", "istio"];
const anyMesh = ["istio", "istio-peer-exchange", ...meshHttp];
const plainHttp = ["http/1.1", "h2c"];

interface ChainShape {
  readonly alpn?: readonly string[];
  readonly transport: "tls" | "raw_buffer" | "";
  readonly kind: "http" | "tcp";
  /** Ends mesh TLS; a chain that matches TLS without it passes the application's own TLS on. */
  readonly meshTls?: boolean;
}

/** Istio's table, in its order. */
const shapes = (mode: TlsMode, protocol: InboundProtocol): readonly ChainShape[] => {
  if (mode === "DISABLE") {
    if (protocol !== "auto") return [{ transport: "", kind: protocol }];
    return [
      { alpn: plainHttp, transport: "raw_buffer", kind: "http" },
      { transport: "", kind: "tcp" },
    ];
  }
  if (mode === "STRICT") {
    if (protocol !== "auto") return [{ transport: "tls", kind: protocol, meshTls: true }];
    return [
      { alpn: meshHttp, transport: "tls", kind: "http", meshTls: true },
      { transport: "tls", kind: "tcp", meshTls: true },
    ];
  }
  if (protocol === "http") {
    return [
      { alpn: anyMesh, transport: "tls", kind: "http", meshTls: true },
      { transport: "raw_buffer", kind: "http" },
    ];
  }
  if (protocol === "tcp") {
    return [
      { alpn: anyMesh, transport: "tls", kind: "tcp", meshTls: true },
      { transport: "tls", kind: "tcp" },
      { transport: "raw_buffer", kind: "tcp" },
    ];
  }
  return [
    { alpn: meshHttp, transport: "tls", kind: "http", meshTls: true },
    { alpn: plainHttp, transport: "raw_buffer", kind: "http" },
    { alpn: meshTcp, transport: "tls", kind: "tcp", meshTls: true },
    { transport: "raw_buffer", kind: "tcp" },
    { transport: "tls", kind: "tcp" },
  ];
};

/** Without a source of keys no chain can end TLS: what is left is plaintext. */
export const inboundChains = (mode: TlsMode, protocol: InboundProtocol, parts: ChainParts): FilterChainJson[] => {
  const { tls } = parts;
  return shapes(tls ? mode : "DISABLE", protocol).map((shape): FilterChainJson => {
    const match: FilterChainMatchJson = {
      ...parts.match,
      ...(shape.transport === "" ? {} : { transportProtocol: shape.transport }),
      ...(shape.alpn ? { applicationProtocols: [...shape.alpn] } : {}),
    };
    return {
      name: parts.name,
      ...(Object.keys(match).length > 0 ? { filterChainMatch: match } : {}),
      ...(shape.meshTls && tls ? { transportSocket: tls(shape.kind === "http") } : {}),
      filters: shape.kind === "http" ? parts.http() : parts.tcp(),
    };
  });
};

/** Which inspectors these chains need to tell connections apart. */
export const needs = (mode: TlsMode, protocol: InboundProtocol, hasTls: boolean) => ({
  tls: hasTls && mode !== "DISABLE",
  http: protocol === "auto",
});
