/** Prints docs/limits.md: every bound of the sidecar and of registries by name, from the code that holds it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { dnsConnectionsMax, dnsIdleMs, dnsPipelinedMax } from "@weft/net/dns/serve";
import { ownReadBuffersMax, queuedBytesMax, readBufferBytes, sharedReadBytes } from "@weft/net/tcp/limits";
import { defaultHttp1Limits } from "@weft/protocols/http1/limits";
import { type BudgetLimit, http2Limits } from "@weft/protocols/http2/limits";
import { circuitDefaults } from "@weft/proxy/clusters/circuit-limits";
import { defaultConnectTimeoutMs } from "@weft/proxy/clusters/compile-cluster";
import { hostsMax } from "@weft/proxy/clusters/host-set";
import { originalHostsMax, unusedHostMs } from "@weft/proxy/clusters/original-dst";
import { subsetsMax, subsetsPerHostMax } from "@weft/proxy/clusters/subsets";
import * as cache from "@weft/proxy/discovery/cache/limits";
import { firstRoundMaxMs } from "@weft/proxy/discovery/first-rounds";
import { forwardedMax } from "@weft/proxy/dns/compile-dns-listener";
import { dnsRefreshMsMin } from "@weft/proxy/dns/limits";
import { addressesOfNameMax, tableNamesMax } from "@weft/proxy/dns/name-table";
import { questionsMax } from "@weft/proxy/dns/resolver";
import * as http from "@weft/proxy/http/limits";
import { chainPlacesMax } from "@weft/proxy/listeners/chain-index";
import { handshakesPerSecondDefault, waitingHandshakesMax } from "@weft/proxy/listeners/handshake-pacer";
import { nameCharsMax, seriesMax } from "@weft/proxy/observe/create-stats";
import * as onDemand from "@weft/proxy/on-demand/limits";
import * as overload from "@weft/proxy/overload/limits";
import * as pool from "@weft/proxy/pool/limits";
import { namedPoolsMax } from "@weft/proxy/pool/named-pools";
import { defaultTimeoutMs } from "@weft/proxy/routing/timeouts";
import { registryRows } from "./registry-limits.ts";

export const limitsPath = join(import.meta.dirname, "../docs/limits.md");

type Row = readonly [what: string, value: string, change: string];

const fixed = "fixed";
const hcm = (field: string): string => `\`${field}\` of the connection manager`;
const common = (field: string): string => hcm(`common_http_protocol_options.${field}`);
const breaker = (field: string): string => `\`circuit_breakers.thresholds.${field}\` of the cluster`;
const upstream = (field: string): string => `\`${field}\` of the cluster's HTTP options`;

const size = (bytes: number): string => {
  if (bytes % (1024 * 1024) === 0) return `${bytes / 1024 / 1024} MiB`;
  return bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} bytes`;
};
const time = (ms: number): string => {
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000} h`;
  if (ms % 60_000 === 0) return `${ms / 60_000} min`;
  return ms % 1000 === 0 ? `${ms / 1000} s` : `${ms} ms`;
};
const percent = (share: number): string => `${Math.round(share * 100)} %`;
const budget = ({ burst, perSecond }: BudgetLimit): string => `${burst} at once, then ${perSecond} a second`;

const processRows: readonly Row[] = [
  [
    "clients' connections at all listeners",
    `${overload.downstreamConnectionsMax}, and ${percent(overload.connectionsOfOpenFiles)} of the open files at most`,
    "`downstream_connections` monitor of the bootstrap's `overload_manager`",
  ],
  ["memory", "the control group's limit, and the heap's own", "`--memory-limit`, or a `fixed_heap` monitor"],
  ["… garbage is collected at", percent(overload.shrinkAt), "`shrink_heap` action"],
  ["… idle connections are closed at, oldest first", percent(overload.closeIdleAt), "`reduce_timeouts` action"],
  ["… connections are not kept at", percent(overload.keepAliveOffAt), "`disable_http_keepalive` action"],
  ["… requests are shed at", percent(overload.requestsOffAt), "`stop_accepting_requests` action"],
  ["… connections are refused at", percent(overload.connectionsOffAt), "`reject_incoming_connections` action"],
  ["delay of the event loop at which requests are shed", time(overload.loopDelayMax), fixed],
  ["how often both are measured", time(overload.refreshMs), "`refresh_interval` of `overload_manager`"],
  ["discovery cache on disk", size(cache.cacheDiskBytesDefault), "`--discovery-cache-disk`"],
  ["series of statistics", String(seriesMax), fixed],
  ["length of a label's value", `${nameCharsMax} characters`, fixed],
];

const clientRows: readonly Row[] = [
  ["size of a request's head", `${http.defaultHeadKiB} KiB`, hcm("max_request_headers_kb")],
  ["fields in it", String(http.defaultHeadersMax), common("max_headers_count")],
  ["time for a head that has begun", time(http.defaultHeadMs), hcm("request_headers_timeout")],
  ["time without a byte, of a request or its answer", time(http.defaultStreamIdleMs), hcm("stream_idle_timeout")],
  ["time without a request, of a connection", time(http.defaultConnectionIdleMs), common("idle_timeout")],
  ["time for the last bytes of a connection that ends", time(http.defaultDelayedCloseMs), hcm("delayed_close_timeout")],
  ["time for a TLS handshake", "15 s", "`transport_socket_connect_timeout` of the filter chain"],
  [
    "TLS handshakes that a worker begins in a second",
    String(handshakesPerSecondDefault),
    "`--handshakes-per-second`, or `WEFT_HANDSHAKES_PER_SECOND` in the node's metadata",
  ],
  ["handshakes that wait for their turn", String(waitingHandshakesMax), fixed],
  [
    "bytes that wait for one peer",
    `${size(queuedBytesMax)}, and what one read of ${size(sharedReadBytes)} adds; of ${size(readBufferBytes)} for ${ownReadBuffersMax} of a worker's`,
    fixed,
  ],
  [
    "requests and connections that wait for clusters fetched on demand, and requests that wait for virtual hosts",
    `${onDemand.demandsWaitingMax} each`,
    fixed,
  ],
  [
    "clusters, and virtual hosts, fetched on demand",
    `${onDemand.demandedNamesMax} each`,
    "`--discovery-cache-entries`",
  ],
  [
    "hosts that there is no service of, and of which a sidecar of a large mesh waits to hear when there is",
    `${onDemand.absentNamesMax}, the oldest given up first`,
    fixed,
  ],
  ["… their size in memory as JSON", `${size(cache.cacheMemoryBytesMax)} each`, fixed],
  ["… unused they leave memory after", time(cache.cacheTtlMsDefault), "`--discovery-cache-ttl`"],
  ["length of the name of one", `${onDemand.demandedNameLengthMax} characters`, fixed],
  ["bytes of pipelined requests that wait", size(http.pipelinedBytesMax), fixed],
  ["chunk extensions of a message", size(defaultHttp1Limits.chunkExtensionBytesMax), fixed],
  [
    "HTTP/2: requests at a time on a connection",
    String(http2Limits.concurrentStreams),
    hcm("http2_protocol_options.max_concurrent_streams"),
  ],
  ["HTTP/2: encoded size of a head", size(http2Limits.headerBlockBytes), fixed],
  ["HTTP/2: CONTINUATION frames of a head", String(http2Limits.continuationFrames), fixed],
  ["HTTP/2: bytes held for a client that does not read", size(http2Limits.outputBytes), fixed],
  ["HTTP/2: requests that a client cancels", budget(http2Limits.resets), fixed],
  ["HTTP/2: PING", budget(http2Limits.pings), fixed],
  ["HTTP/2: SETTINGS", budget(http2Limits.settings), fixed],
  ["HTTP/2: empty DATA", budget(http2Limits.emptyData), fixed],
  ["HTTP/2: WINDOW_UPDATE", budget(http2Limits.windowUpdates), fixed],
];

const upstreamRows: readonly Row[] = [
  ["connections to a cluster", String(circuitDefaults.maxConnections), breaker("max_connections")],
  ["requests that wait for a connection", String(circuitDefaults.maxPendingRequests), breaker("max_pending_requests")],
  ["requests at a time", String(circuitDefaults.maxRequests), breaker("max_requests")],
  ["retries at a time", String(circuitDefaults.maxRetries), `${breaker("max_retries")}, or its \`retry_budget\``],
  ["time for a connection to be made", time(defaultConnectTimeoutMs), "`connect_timeout` of the cluster"],
  ["time for the first health check of each host, before the cluster serves", time(firstRoundMaxMs), "fixed"],
  ["time for an answer", time(defaultTimeoutMs), "`timeout` of the route"],
  ["time without a request, of a connection", time(http.defaultConnectionIdleMs), upstream("idle_timeout")],
  [
    "… and before a server's own limit, where it is known",
    `${percent(pool.retireEarlyShare)} of it, ${time(pool.retireEarlyLeastMs)} to ${time(pool.retireEarlyMostMs)}`,
    fixed,
  ],
  ["idle HTTP/1 connections kept for a host", String(pool.idlePerHostMax), fixed],
  ["a silent connection is probed after", time(pool.deadPeerProbeMs), "`tcp_keepalive` of the cluster"],
  [
    "connections that one request opens ahead of need",
    String(pool.preconnectMost),
    "`preconnect_policy` of the cluster",
  ],
  ["request bytes kept for a retry or a mirror", size(http.replayBytesMax), fixed],
  ["hosts of a cluster", String(hostsMax), fixed],
  ["subsets of a cluster", String(subsetsMax), fixed],
  ["… that one host is in by one selector", String(subsetsPerHostMax), fixed],
  ["hosts of an ORIGINAL_DST cluster", String(originalHostsMax), fixed],
  ["… kept without a request for", time(unusedHostMs), fixed],
  ["least time between two questions for a name", time(dnsRefreshMsMin), fixed],
  ["questions to name servers at once", String(questionsMax), fixed],
  ["pools of one host by the name that requests give", String(namedPoolsMax), fixed],
  ["DNS questions passed on at once; one more is answered SERVFAIL", String(forwardedMax), fixed],
  ["names a DNS listener answers for itself", String(tableNamesMax), fixed],
  ["addresses of one name", String(addressesOfNameMax), fixed],
  ["connections to one DNS address", String(dnsConnectionsMax), fixed],
  ["… kept silent for", `${dnsIdleMs / 1000} s`, fixed],
  ["questions of one such connection not answered yet", String(dnsPipelinedMax), fixed],
  ["cases that the filter chains of a listener tell apart", String(chainPlacesMax), fixed],
];

const table = (rows: readonly Row[]): string =>
  ["| bound | default | changed by |", "|---|---|---|", ...rows.map((row) => `| ${row.join(" | ")} |`)].join("\n");

export const printLimits = (): string => `# Limits

Everything a peer or a user can make larger has a bound. This page is printed from the code that holds them
(\`npm run docs\`).

## The process

With several workers each has its share of the connections and the memory. Over a limit the sidecar sheds: 503 with
\`retry-after: ${overload.retryAfterSeconds}\` and the flag OM, GOAWAY or \`Connection: close\`, then no new connections. The admin interface
and listeners with \`bypass_overload_manager\` go on answering. \`overload.*\` in \`/stats\` says how close each is.

${table(processRows)}

## Clients

${table(clientRows)}

## Upstreams

${table(upstreamRows)}

## Registries

${table(registryRows({ size, time, percent }))}
`;

if (import.meta.main) writeFileSync(limitsPath, printLimits());
