/** How HTTP goes to a cluster's endpoints: its version, and what connections may last and carry. */
import type { ConnectionPoolSettings } from "@weft/config/kinds/destination-rule";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { HttpProtocolOptionsJson } from "@weft/xds/gen/envoy/extensions/upstreams/http/v3/http_protocol_options";
import { any } from "@weft/xds/resource";
import type { MeshSettings } from "../model/mesh-settings.ts";
import { isHttp, isHttp2, type Protocol } from "../model/protocol.ts";
import { duration } from "./traffic-policy.ts";

export const httpOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

export interface UpstreamHttpInput {
  readonly protocol: Protocol;
  readonly connectionPool: ConnectionPoolSettings | undefined;
  readonly mesh: Pick<MeshSettings, "h2UpgradePolicy">;
  readonly direction: "outbound" | "inbound";
  /** TLS to the outside takes the server's name, and the name to verify, from the request's host. */
  readonly autoName?: { readonly sni: boolean; readonly san: boolean } | undefined;
}

type Version = "http1" | "http2" | "downstream";

/** UPGRADE in a rule holds even where the protocol is found by looking, as in Istio; the mesh's only for declared HTTP. */
const versionOf = ({ protocol, connectionPool, mesh, direction }: UpstreamHttpInput): Version => {
  const http = connectionPool?.http;
  if (direction === "outbound") {
    if (http?.h2UpgradePolicy === "UPGRADE") return "http2";
    const meshUpgrades = http?.h2UpgradePolicy !== "DO_NOT_UPGRADE" && mesh.h2UpgradePolicy === "UPGRADE";
    if (meshUpgrades && isHttp(protocol)) return "http2";
  }
  if (http?.useClientProtocol || protocol === "auto") return "downstream";
  return isHttp2(protocol) ? "http2" : "http1";
};

/** True when requests go out over HTTP/2 whatever the client speaks, so that TLS offers it alone. */
export const isHttp2Upstream = (input: UpstreamHttpInput): boolean => versionOf(input) === "http2";

const commonOptions = (pool: ConnectionPoolSettings | undefined) => {
  const idle = pool?.http?.idleTimeout ?? pool?.tcp?.idleTimeout;
  const requests = pool?.http?.maxRequestsPerConnection;
  return {
    ...(idle === undefined ? {} : { idleTimeout: duration(idle) }),
    ...(requests ? { maxRequestsPerConnection: requests } : {}),
    ...(pool?.tcp?.maxConnectionDuration ? { maxConnectionDuration: duration(pool.tcp.maxConnectionDuration) } : {}),
  };
};

const http2Options = (http: ConnectionPoolSettings["http"]) => ({
  ...(http?.maxConcurrentStreams ? { maxConcurrentStreams: http.maxConcurrentStreams } : {}),
  ...(http?.http2KeepAlive
    ? {
        connectionKeepalive: {
          interval: duration(http.http2KeepAlive.interval),
          timeout: duration(http.http2KeepAlive.timeout),
        },
      }
    : {}),
});

/**
 * Limits of HTTP/2 count only on ports that declare it, as in Istio. Where nothing differs from Envoy's defaults nothing
 * is said, except at the server's own side, where the version is.
 */
export const upstreamHttp = (input: UpstreamHttpInput): Partial<ClusterJson> => {
  const { connectionPool, autoName, direction, protocol } = input;
  const version = versionOf(input);
  const common = commonOptions(connectionPool);
  const names = {
    ...(autoName?.sni ? { autoSni: true } : {}),
    ...(autoName?.san ? { autoSanValidation: true } : {}),
  };
  const plain = Object.keys(common).length === 0 && Object.keys(names).length === 0;
  if (version === "http1" && plain && direction === "outbound") return {};
  const options: HttpProtocolOptionsJson = {
    ...(Object.keys(common).length > 0 ? { commonHttpProtocolOptions: common } : {}),
    ...(Object.keys(names).length > 0 ? { upstreamHttpProtocolOptions: names } : {}),
    ...(version === "downstream"
      ? { useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions: {} } }
      : version === "http2"
        ? { explicitHttpConfig: { http2ProtocolOptions: isHttp2(protocol) ? http2Options(connectionPool?.http) : {} } }
        : { explicitHttpConfig: { httpProtocolOptions: {} } }),
  };
  return { typedExtensionProtocolOptions: { [httpOptionsName]: any(httpOptionsName, options) } };
};
