/** `etcd://H:P[,H:P]/PREFIX`: what a URL says becomes the settings of a source. */
import { formatAddress, isLoopback, type SocketAddress } from "@weft/core/address";
import { isReadable, readIfThere } from "@weft/net/files/files";
import { createGrpcChannel, type GrpcChannel, type GrpcTls } from "@weft/net/grpc/client";
import type { Driver, SourceCredentials } from "../outside/driver.ts";
import { type RegistryUrl, refuseOtherOptions, wrongUrl } from "../outside/registry-url.ts";
import { openEtcdSource } from "./etcd-source.ts";
import { openEtcdWriter } from "./etcd-writer.ts";

const options = ["prefix", "tls", "ca", "cert", "key", "server-name"] as const;

export interface EtcdSettings {
  readonly addresses: readonly SocketAddress[];
  /** What all keys begin with, to the last slash. */
  readonly prefix: string;
  readonly tls: EtcdTls | undefined;
  readonly credentials: (() => SourceCredentials) | undefined;
}

/** Files, read anew for each connection. */
export interface EtcdTls {
  readonly caFile: string;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly serverName: string | undefined;
}

/** Throws WF2102 for a URL that cannot be used. */
export const parseEtcdUrl = (url: RegistryUrl, credentials: (() => SourceCredentials) | undefined): EtcdSettings => {
  refuseOtherOptions(url, options);
  if (url.addresses.length === 0) throw wrongUrl(url.text, "names no HOST:PORT");
  const prefix = url.options.get("prefix") ?? `${url.path.replace(/\/+$/, "")}/`;
  if (prefix === "" || prefix === "/") throw wrongUrl(url.text, "names no path, under which the services are");
  return { addresses: url.addresses, prefix, tls: tlsIn(url), credentials };
};

const tlsIn = (url: RegistryUrl): EtcdTls | undefined => {
  const [ca, cert, key, serverName] = ["ca", "cert", "key", "server-name"].map((name) => url.options.get(name));
  const wanted = url.options.get("tls");
  if (wanted !== undefined && wanted !== "true" && wanted !== "false")
    throw wrongUrl(url.text, "has tls that is neither true nor false");
  if (ca === undefined) {
    if (wanted === "true" || cert !== undefined || key !== undefined || serverName !== undefined)
      throw wrongUrl(url.text, "asks for TLS without ca=FILE, the roots to trust");
    return undefined;
  }
  if (wanted === "false") throw wrongUrl(url.text, "has ca and says tls=false");
  if ((cert === undefined) !== (key === undefined)) throw wrongUrl(url.text, "has one of cert and key only");
  for (const file of [ca, cert, key]) {
    if (file !== undefined && !isReadable(file)) throw wrongUrl(url.text, `names ${file}, which cannot be read`);
  }
  return { caFile: ca, certFile: cert, keyFile: key, serverName };
};

const fileText = (path: string): string => readIfThere(path) ?? "";

const grpcTls = ({ caFile, certFile, keyFile, serverName }: EtcdTls, host: string): GrpcTls => ({
  roots: fileText(caFile),
  ...(certFile === undefined ? {} : { certificate: fileText(certFile) }),
  ...(keyFile === undefined ? {} : { key: fileText(keyFile) }),
  serverName: serverName ?? host,
});

/** An etcd that takes 10 s to answer still serves. */
const slowestMs = 15_000;

/** A channel to the next of the servers, each time. */
export const etcdDialer = (
  { addresses, tls }: EtcdSettings,
  keepaliveMs = 10_000,
  keepaliveTimeoutMs = keepaliveMs,
): (() => GrpcChannel) => {
  let turn = 0;
  let host = "";
  return () => {
    const address = addresses[turn++ % addresses.length] as SocketAddress;
    host = address.host;
    return createGrpcChannel({
      target: { kind: "tcp", ...address },
      ...(tls ? { tls: () => grpcTls(tls, host) } : {}),
      ...{ connectTimeoutMs: 5_000, keepaliveMs, keepaliveTimeoutMs },
    });
  };
};

export const etcdDriver: Driver = {
  scheme: "etcd",
  usage: "etcd://HOST:PORT[,HOST:PORT]/PREFIX",
  open: (url, credentials) => {
    const settings = parseEtcdUrl(url, credentials);
    const { addresses, tls } = settings;
    const exposed = addresses.find(({ host }) => !isLoopback(host));
    return (tools) => {
      if (credentials && !tls && exposed)
        tools.log.warn("a password goes to etcd without TLS", { address: formatAddress(exposed) });
      const dial = etcdDialer(settings, undefined, slowestMs);
      return openEtcdSource({ prefix: settings.prefix, credentials, dial })(tools);
    };
  },
  write: (url, credentials) => {
    const settings = parseEtcdUrl(url, credentials);
    return openEtcdWriter({ prefix: settings.prefix, credentials, dial: etcdDialer(settings) });
  },
};
