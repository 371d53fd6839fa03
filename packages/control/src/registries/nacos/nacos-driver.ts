/** `nacos://H:P[,H:P]?namespace=N&group=G`: what a URL says becomes the settings of a source. */
import { formatAddress, isLoopback, type SocketAddress } from "@weft/core/address";
import { isReadable, readIfThere } from "@weft/net/files/files";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { createHttpClient } from "@weft/net/http/client";
import { answerBytesMax } from "@weft/protocols/nacos/answers";
import type { Driver, SourceCredentials } from "../outside/driver.ts";
import { type RegistryUrl, refuseOtherOptions, wrongUrl } from "../outside/registry-url.ts";
import { type NacosServer, type NacosSourceOptions, openNacosSource } from "./nacos-source.ts";
import { openNacosWriter } from "./nacos-writer.ts";

const options = [
  ...["namespace", "group", "to-namespace", "transport", "grpc-port"],
  ...["ca", "server-name"],
] as const;

/** A server's gRPC port is this much above its HTTP port. */
const grpcPortOffset = 1_000;
export const groupsMax = 16;
const connectionsMax = 8;

export interface NacosSettings {
  readonly addresses: readonly SocketAddress[];
  readonly namespace: string;
  readonly toNamespace: string;
  readonly groups: readonly string[];
  readonly contextPath: string;
  readonly transport: "auto" | "grpc" | "http";
  /** Absent: that of each address. */
  readonly grpcPort: number | undefined;
  /** Files, read anew for each connection. */
  readonly tls: { readonly caFile: string; readonly serverName: string | undefined } | undefined;
  readonly credentials: (() => SourceCredentials) | undefined;
}

/** Throws WF2102 for a URL that cannot be used. */
export const parseNacosUrl = (url: RegistryUrl, credentials: (() => SourceCredentials) | undefined): NacosSettings => {
  refuseOtherOptions(url, options);
  if (url.addresses.length === 0) throw wrongUrl(url.text, "names no HOST:PORT");
  const option = (name: (typeof options)[number]): string | undefined => url.options.get(name);
  const groups = [...new Set((option("group") ?? "DEFAULT_GROUP").split(","))];
  if (groups.length > groupsMax || groups.includes("")) throw wrongUrl(url.text, "has a group that is none");
  const toNamespace = option("to-namespace") ?? "default";
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(toNamespace))
    throw wrongUrl(url.text, `has to-namespace=${toNamespace}, which is no namespace of the mesh`);
  const transport = option("transport") ?? "auto";
  if (transport !== "auto" && transport !== "grpc" && transport !== "http")
    throw wrongUrl(url.text, "has a transport that is none of auto, grpc and http");
  const path = url.path.replace(/\/+$/, "");
  return {
    addresses: url.addresses,
    namespace: option("namespace") || "public",
    ...{ toNamespace, groups, transport, credentials },
    contextPath: path === "" ? "/nacos" : path,
    grpcPort: portIn(option("grpc-port"), url),
    tls: tlsIn(url),
  };
};

const portIn = (text: string | undefined, url: RegistryUrl): number | undefined => {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw wrongUrl(url.text, "has a grpc-port that is not 1 to 65535");
};

const tlsIn = (url: RegistryUrl): NacosSettings["tls"] => {
  const [caFile, serverName] = [url.options.get("ca"), url.options.get("server-name")];
  if (caFile === undefined) {
    if (serverName !== undefined) throw wrongUrl(url.text, "has server-name without ca=FILE, the roots to trust");
    return undefined;
  }
  if (!isReadable(caFile)) throw wrongUrl(url.text, `names ${caFile}, which cannot be read`);
  return { caFile, serverName };
};

/** The next of the servers, each time. */
export const nacosDialer = ({ addresses, grpcPort, tls }: NacosSettings): (() => NacosServer) => {
  let turn = 0;
  return () => {
    const { host, port } = addresses[turn++ % addresses.length] as SocketAddress;
    const trusted = tls && {
      tls: () => ({ roots: readIfThere(tls.caFile) ?? "", serverName: tls.serverName ?? host }),
    };
    const channel = createGrpcChannel({
      target: { kind: "tcp", host, port: grpcPort ?? port + grpcPortOffset },
      ...trusted,
      ...{ connectTimeoutMs: 5_000, keepaliveMs: 10_000, keepaliveTimeoutMs: 25_000 },
      messageBytesMax: answerBytesMax,
    });
    const http = createHttpClient({ host, port, connectionsMax, ...trusted });
    return {
      ...{ channel, http },
      [Symbol.dispose]: () => {
        channel[Symbol.dispose]();
        http[Symbol.dispose]();
      },
    };
  };
};

export const nacosDriver: Driver = {
  scheme: "nacos",
  usage: "nacos://HOST:PORT[,HOST:PORT]?namespace=N&group=G",
  open: (url, credentials) => {
    const settings = parseNacosUrl(url, credentials);
    const sourceOptions: NacosSourceOptions = { ...settings, dial: nacosDialer(settings) };
    const exposed = settings.addresses.find(({ host }) => !isLoopback(host));
    return (tools) => {
      if (credentials && !settings.tls && exposed)
        tools.log.warn("a password goes to Nacos without TLS", { address: formatAddress(exposed) });
      return openNacosSource(sourceOptions)(tools);
    };
  },
  write: (url, credentials) => {
    const settings = parseNacosUrl(url, credentials);
    return openNacosWriter({ ...settings, dial: nacosDialer(settings) });
  },
};
