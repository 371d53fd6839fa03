/** What a port speaks: by `appProtocol`, else by the prefix of its name, else unknown and found by looking. */
export type Protocol =
  | "http"
  | "http2"
  | "grpc"
  | "grpc-web"
  | "https"
  | "tls"
  | "tcp"
  | "mongo"
  | "redis"
  | "mysql"
  | "udp"
  | "auto";

const names: ReadonlyMap<string, Protocol> = new Map([
  ["http", "http"],
  ["http1", "http"],
  ["http2", "http2"],
  ["h2c", "http2"],
  ["grpc", "grpc"],
  ["grpc-web", "grpc-web"],
  ["https", "https"],
  ["tls", "tls"],
  ["tcp", "tcp"],
  ["mongo", "mongo"],
  ["redis", "redis"],
  ["mysql", "mysql"],
  ["udp", "udp"],
  ["kubernetes.io/h2c", "http2"],
  ["kubernetes.io/ws", "http"],
  ["kubernetes.io/wss", "https"],
]);

/** A protocol by its name in any case; `auto` for what is not known. */
export const parseProtocol = (text: string): Protocol => names.get(text.toLowerCase()) ?? "auto";

/** `grpc-web-x` is grpc-web, `http-api` is http, `catalog` is auto. */
const protocolOfName = (name: string): Protocol => {
  const lower = name.toLowerCase();
  if (lower === "grpc-web" || lower.startsWith("grpc-web-")) return "grpc-web";
  const dash = lower.indexOf("-");
  return parseProtocol(dash < 0 ? lower : lower.slice(0, dash));
};

/** A port's protocol as Istio selects it; `transport` UDP overrides. */
export const protocolOfPort = (port: {
  readonly appProtocol?: string | undefined;
  readonly name?: string | undefined;
  readonly transport?: string | undefined;
}): Protocol => {
  if (port.transport === "UDP") return "udp";
  if (port.appProtocol) {
    const declared = parseProtocol(port.appProtocol);
    if (declared !== "auto") return declared;
  }
  return protocolOfName(port.name ?? "");
};

/** HTTP that the proxy can read: requests are routed, not connections. */
export const isHttp = (protocol: Protocol): boolean =>
  protocol === "http" || protocol === "http2" || protocol === "grpc" || protocol === "grpc-web";

export const isHttp2 = (protocol: Protocol): boolean =>
  protocol === "http2" || protocol === "grpc" || protocol === "grpc-web";

/** Encrypted by the application: routed by server name only. */
export const isTls = (protocol: Protocol): boolean => protocol === "https" || protocol === "tls";

/** Ports of these protocols carry connections; `auto` carries both. */
export const isTcp = (protocol: Protocol): boolean => !isHttp(protocol) && protocol !== "udp" && protocol !== "auto";
