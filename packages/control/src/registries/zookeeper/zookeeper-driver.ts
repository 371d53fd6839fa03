/** `zookeeper://H:P[,H:P…]/PATH?layout=curator|dubbo`: what a URL says becomes the settings of a source. */
import { formatAddress, isLoopback } from "@weft/core/address";
import { dialTcp } from "@weft/net/tcp/dial";
import { frameBytesMaxDefault, frameBytesMaxMost } from "@weft/protocols/zookeeper/limits";
import type { Driver, SourceCredentials } from "../outside/driver.ts";
import { type RegistryUrl, refuseOtherOptions, wrongUrl } from "../outside/registry-url.ts";
import { curatorLayout } from "./curator.ts";
import { dubboLayout } from "./dubbo.ts";
import type { Layout } from "./layout.ts";
import { sessionTimeoutMsDefault, sessionTimeoutMsMax, sessionTimeoutMsMin, zookeeperLimits } from "./limits.ts";
import { openZookeeperSource, type ZookeeperSettings } from "./zookeeper-source.ts";
import { openZookeeperWriter } from "./zookeeper-writer.ts";

const layouts: ReadonlyMap<string, Layout> = new Map([
  ["curator", curatorLayout],
  ["dubbo", dubboLayout],
]);

const optionNames = ["layout", "namespace", "session-timeout-ms", "frame-bytes-max"] as const;

/** Throws WF2102 for a URL that cannot be used. */
export const parseZookeeperUrl = (
  url: RegistryUrl,
  credentials: (() => SourceCredentials) | undefined,
): ZookeeperSettings => {
  refuseOtherOptions(url, optionNames);
  const { options, addresses, text } = url;
  if (addresses.length === 0) throw wrongUrl(text, "names no HOST:PORT");
  const base = url.path.replace(/\/+$/, "") || "/";
  if (!/^\/$|^(\/[^/\0]+)+$/.test(base)) throw wrongUrl(text, "has a path that no node can have");
  if (base === "/") throw wrongUrl(text, "names no path, under which the services are");
  const layout = layouts.get(options.get("layout") ?? "curator");
  if (!layout) throw wrongUrl(text, `has a layout that is none of ${[...layouts.keys()].join(", ")}`);
  return {
    ...{ servers: addresses, base, layout, limits: zookeeperLimits },
    namespace: options.get("namespace") ?? "default",
    timeoutMs: numberIn(url, "session-timeout-ms", {
      ...{ fallback: sessionTimeoutMsDefault, min: sessionTimeoutMsMin, max: sessionTimeoutMsMax },
    }),
    frameBytesMax: numberIn(url, "frame-bytes-max", {
      ...{ fallback: frameBytesMaxDefault, min: 1_024, max: frameBytesMaxMost },
    }),
    login: () => {
      const { username, password } = credentials?.() ?? {};
      return username === undefined ? undefined : `${username}:${password}`;
    },
  };
};

const numberIn = (
  { options, text }: RegistryUrl,
  name: (typeof optionNames)[number],
  { fallback, min, max }: { readonly fallback: number; readonly min: number; readonly max: number },
): number => {
  const value = options.get(name);
  if (value === undefined) return fallback;
  const number = /^\d{1,9}$/.test(value) ? Number(value) : -1;
  if (number < min || number > max) throw wrongUrl(text, `has ${name} that is not a number from ${min} to ${max}`);
  return number;
};

export const zookeeperDriver: Driver = {
  scheme: "zookeeper",
  usage: "zookeeper://HOST:PORT[,HOST:PORT]/PATH?layout=curator|dubbo",
  open: (url, credentials) => {
    const settings = parseZookeeperUrl(url, credentials);
    const exposed = settings.servers.find(({ host }) => !isLoopback(host));
    return (tools) => {
      if (credentials && exposed)
        tools.log.warn("a password goes to ZooKeeper without TLS", { address: formatAddress(exposed) });
      return openZookeeperSource(settings, dialTcp)(tools);
    };
  },
  write: (url, credentials) => {
    const settings = parseZookeeperUrl(url, credentials);
    if (settings.layout !== curatorLayout)
      throw wrongUrl(url.text, "has a layout that is only read; curator is written");
    return openZookeeperWriter(settings, dialTcp);
  },
};
