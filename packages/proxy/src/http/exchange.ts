import type { TransparentSource } from "@weft/net/tcp/transparent-source";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import type { Tlv } from "@weft/protocols/proxy-protocol/header";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { HttpFilter } from "../filters/http/filter.ts";
import type { DownstreamTies } from "../pool/downstream-ties.ts";
import type { Route, RouteTable, WeightedChoice } from "../routing/route.ts";
import type { RequestState } from "./request-state.ts";

/** What is known of the connection a request came by. One per connection; requests share it. */
export interface DownstreamInfo {
  readonly listenerName: string;
  readonly filterChainName: string;
  readonly direction: "inbound" | "outbound" | "unspecified";
  readonly remoteHost: string;
  readonly remotePort: number;
  /** The address the connection was accepted on, or its original destination when it was redirected. */
  readonly localHost: string;
  readonly localPort: number;
  /** Its listener serves whatever the pressure: probes come by it. */
  readonly bypassesOverload?: boolean;
  readonly originalDestination: { readonly host: string; readonly port: number } | undefined;
  readonly tls: DownstreamTlsInfo | undefined;
  /** What a ClientHello that was only looked at asks for; empty or absent when there was none. */
  readonly requestedServerName?: string;
  /** Set where a proxy in front told by PROXY protocol whose connection this is. */
  readonly proxied?: ProxiedInfo | undefined;
  /** The address that connections made in its name come from, where that is not ours. */
  readonly connectsFrom?: TransparentSource | undefined;
  /** What goes when the connection goes. */
  readonly ties?: DownstreamTies | undefined;
}

/** What stood at the head of a connection. Its addresses are in place of the connection's own already. */
export interface ProxiedInfo {
  /** The peer of the connection itself: the proxy in front. */
  readonly directHost: string;
  readonly directPort: number;
  /** Dynamic metadata that the filter's rules made of extensions. */
  readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Extensions that may be passed on. */
  readonly tlvs: readonly Tlv[];
}

export interface DownstreamTlsInfo {
  readonly sni: string;
  readonly alpn: string;
  readonly version: string;
  /** URI SANs of the client's verified certificate; empty without one. */
  readonly peerUris: readonly string[];
  readonly peerDnsNames: readonly string[];
  readonly peerSubject: string;
  /** SHA-256 of the client certificate's DER in hex; empty without one. */
  readonly peerFingerprint: string;
  /** PEM of the client's verified certificate; empty without one. */
  readonly peerPem: string;
  readonly localUris: readonly string[];
}

/**
 * One request and its answer, from its head to its log line: what filters, the router, metrics and logs share.
 * Pooled: nothing may keep it after `onEnd`.
 */
export interface Exchange {
  readonly request: RequestHead;
  readonly response: ResponseHead;
  readonly downstream: DownstreamInfo;
  readonly protocol: "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";
  route: Route | undefined;
  /** Chosen of the route's clusters before the router does, which then takes it. */
  chosen?: WeightedChoice | undefined;
  cluster: Cluster | undefined;
  host: Host | undefined;
  readonly startMs: number;
  /** Envoy's response flags in its short names: `UH`, `UF`, `NR`; empty when none. */
  flags: string;
  /** Envoy's response code details: `via_upstream`, `route_not_found`, `rbac_access_denied_matched_policy[x]`. */
  details: string;
  /** The object of configuration by which a filter answered, where it knows one: `LocalRateLimit default/few`. */
  behind?: string | undefined;
  attempts: number;
  requestBodyBytes: number;
  responseBodyBytes: number;
  requestMessages: number;
  responseMessages: number;
  /** -1 until known. From gRPC trailers or a trailers-only head. */
  grpcStatus: number;
  /** The `x-envoy-upstream-service-time`, milliseconds from request sent to response head; -1 until known. */
  upstreamMs: number;
  upstreamFailure: string;
  /** The peer's workload as metadata exchange or the endpoint told it, for metrics. Opaque to all but `observe/`. */
  peer: unknown;
  /** The client's address as x-forwarded-for tells it, where that is trusted; the connection's when absent. */
  readonly remoteHost?: string | undefined;
  /** Our side of the upstream connection, `host:port`. */
  readonly upstreamLocalAddress?: string | undefined;
  /** The identities of both ends of the upstream connection; absent in plaintext. */
  readonly upstreamTls?: { readonly localUri: string; readonly peerUri: string } | undefined;
  /** ALPN to offer upstream in place of the transport's, by the version spoken upstream; set by `istio.alpn`. */
  upstreamAlpn?: AlpnOverride | undefined;
  /** What was made of the head before filters saw it: whether the request's id is this proxy's own. */
  readonly prepared?: { readonly ownId: boolean };
  /** What filters leave for others; absent until one does. */
  state?: RequestState | undefined;
  /** The request is whole. */
  readonly requestEnded?: boolean;
  /** Holds a filter's wait until the request's body is whole: it then resumes, or is answered 413 beyond `most`. */
  gather?(most: number): void;
  /** Makes this a gRPC exchange whose bodies pass through `translation`. From `onRequest` only. */
  translate?(translation: BodyTranslation): void;
  /** Ends a filter's wait: goes on with the next filter, or answers with `reply`. */
  resume(reply?: LocalReply): void;
  /** Goes by that route through the filters, from the first, whether one of them waits or not. */
  restart?(route: Route): void;
  /** What its listener says of requests. */
  readonly settings?:
    | { readonly routes: { readonly table: RouteTable | undefined }; readonly endFilters: readonly HttpFilter[] }
    | undefined;
}

/** What a filter makes of the bodies of one exchange. Chunks are good during the call only. */
export interface BodyTranslation {
  /** `undefined` refuses the request. */
  request(bytes: Buffer): Buffer | undefined;
  /** False refuses a request that ended where it may not. */
  requestEnd(): boolean;
  response(bytes: Buffer): Buffer;
  /** The end of the response's body in place of its trailers; `undefined` leaves them trailers. */
  trailers(trailers: HeaderList): Buffer | undefined;
}

export interface AlpnOverride {
  readonly http10: readonly string[];
  readonly http11: readonly string[];
  readonly http2: readonly string[];
}

/** An answer made by the proxy itself. The engine turns it into gRPC status for a gRPC request. */
export interface LocalReply {
  readonly status: number;
  readonly flags: string;
  readonly details: string;
  readonly body: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly grpcStatus?: number;
  /** The object of configuration that it comes of. */
  readonly object?: string;
  /** The route changes none of its headers. */
  readonly untouched?: true;
  /** Said by the router after tries, whose number the client is told where the route wants it. */
  readonly afterTries?: true;
}
