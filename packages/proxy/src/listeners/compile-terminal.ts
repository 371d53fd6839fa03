import { ConfigError } from "@weft/core/config-error";
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { openAny } from "../compile/any.ts";
import { member, refuseOthers, within } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import { istioStats } from "../filters/http/istio-stats.ts";
import { peerMetadata } from "../filters/http/peer-metadata.ts";
import {
  type ConnectionSlots,
  compileConnectionLimit,
  connectionLimitType,
} from "../filters/network/connection-limit.ts";
import { compileLocalRateLimit, localRateLimitType } from "../filters/network/local-rate-limit.ts";
import { type AllowConnection, compileNetworkRbac, networkRbacType } from "../filters/network/rbac.ts";
import { compileSniDynamic, defaultDynamicPort, sniClusterType, sniDynamicType } from "../filters/network/sni-names.ts";
import { compileHcm, type HcmTools } from "../http/compile-hcm.ts";
import type { HcmSlot } from "../http/hcm-settings.ts";
import { createIstioMetrics } from "../observe/istio-metrics.ts";
import {
  compileTcpProxy,
  type TcpFiltersAhead,
  type TcpObserver,
  type TcpProxySettings,
} from "../tcp/compile-tcp-proxy.ts";
import type { TcpTools } from "../tcp/tcp-proxy.ts";

/** What a filter chain does with a connection's bytes in the end. */
export type Terminal =
  | { readonly kind: "http"; slot: HcmSlot }
  | { readonly kind: "tcp"; readonly settings: TcpProxySettings }
  | { readonly kind: "direct"; readonly body: Buffer }
  | { readonly kind: "echo" };

export interface TerminalTools extends HcmTools {
  readonly tcp: TcpTools;
  readonly checkKeyFiles?: CompileTools["checkKeyFiles"];
  readonly connectionSlots: ConnectionSlots;
  readonly listenerName: string;
}

export interface NetworkFilters {
  /** Asked in order before the TLS handshake. */
  readonly limits: readonly AllowConnection[];
  /** Asked in order before anything of the connection is served. */
  readonly allow: readonly AllowConnection[];
  readonly terminal: Terminal;
}

const hcmType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const tcpProxyType = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const directType = "envoy.extensions.filters.network.direct_response.v3.Config";
const echoType = "envoy.extensions.filters.network.echo.v3.Echo";
/** Istio's metadata exchange by ALPN: peers are told by their certificates and endpoints instead. */
const metadataExchangeTypes: ReadonlySet<string> = new Set([
  "envoy.tcp.metadataexchange.config.MetadataExchange",
  peerMetadata.typeName,
]);

/** Compiles the network filters of a chain. The last one serves; those before it only look. */
export const compileNetworkFilters = (
  filters: readonly FilterJson[],
  at: string,
  tools: TerminalTools,
): NetworkFilters => {
  const limits: AllowConnection[] = [];
  const allow: AllowConnection[] = [];
  const observers: TcpObserver[] = [];
  let terminal: Terminal | undefined;
  let [bySni, dynamicPort] = [false, defaultDynamicPort];
  for (const [index, json] of filters.entries()) {
    const here = `${at}[${index}]`;
    if (terminal !== undefined) throw new ConfigError(here, "stands behind a filter that ends the chain");
    refuseOthers(json, "NetworkFilter", here, ["name", "typedConfig"]);
    const typedAt = member(here, "typedConfig");
    const { typeName, raw } = openAny(json.typedConfig, typedAt);
    if (typeName === networkRbacType) {
      allow.push(within(typedAt, () => compileNetworkRbac(raw))({ counter: (name) => tools.stats.counter(name) }));
    } else if (typeName === connectionLimitType) {
      const { stats, connectionSlots: slots } = tools;
      const compiled = within(typedAt, () => compileConnectionLimit(raw));
      limits.push(compiled({ stats, slots, name: `${tools.listenerName} ${here}` }));
    } else if (typeName === localRateLimitType) {
      const limit = within(typedAt, () => compileLocalRateLimit(raw));
      const { stats, buckets } = tools;
      allow.push(limit({ clock: tools.http.clock, counter: (name) => stats.counter(name), buckets }));
    } else if (typeName === sniClusterType) {
      bySni = true;
    } else if (typeName === sniDynamicType) {
      dynamicPort = within(typedAt, () => compileSniDynamic(raw));
    } else if (typeName === istioStats.typeName) {
      const { stats, node } = tools;
      within(typedAt, () => istioStats.configure(raw));
      observers.push(createIstioMetrics({ stats, node, clock: tools.http.clock, hostHeaderFallback: false }));
    } else if (!metadataExchangeTypes.has(typeName)) {
      terminal = within(typedAt, () =>
        compileTerminal(typeName, raw, json.name ?? "", { tools, ahead: { observers, bySni, dynamicPort } }),
      );
    }
  }
  if (terminal === undefined) throw new ConfigError(at, "no filter ends the chain");
  return { limits, allow, terminal };
};

const compileTerminal = (
  typeName: string,
  raw: Readonly<Record<string, unknown>>,
  name: string,
  { tools, ahead }: { readonly tools: TerminalTools; readonly ahead: TcpFiltersAhead },
): Terminal => {
  switch (typeName) {
    case hcmType:
      return { kind: "http", slot: { current: compileHcm(raw, tools) } };
    case tcpProxyType:
      return { kind: "tcp", settings: compileTcpProxy(raw, ahead, tools) };
    case echoType:
      return { kind: "echo" };
    case directType: {
      const { response } = raw as {
        readonly response?: { readonly inlineString?: string; readonly inlineBytes?: string };
      };
      refuseOthers(response ?? {}, "DataSource", "response", ["inlineString", "inlineBytes"]);
      const body = response?.inlineBytes
        ? Buffer.from(response.inlineBytes, "base64")
        : Buffer.from(response?.inlineString ?? "");
      return { kind: "direct", body };
    }
    default:
      throw new ConfigError("", `the network filter "${name}" (${typeName}) is not supported`);
  }
};
