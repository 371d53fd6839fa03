/** `consul://H:P[,H:P]?OPTION=VALUE`: what a URL says becomes the settings of a source, and of a writer. */
import { formatAddress, isLoopback, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { createHttpClient } from "@weft/net/http/client";
import type { Driver, SourceCredentials } from "../outside/driver.ts";
import { type RegistryUrl, refuseOtherOptions, wrongUrl } from "../outside/registry-url.ts";
import type { SourceTools } from "../outside/source-events.ts";
import { readTlsFiles, type TlsFiles, tlsFilesIn, tlsOptions } from "../outside/tls-files.ts";
import { type ConsulCalls, type ConsulScope, createConsulCalls } from "./consul-calls.ts";
import type { ConsulRules } from "./consul-record.ts";
import { readsAtOnceMax, watchesDefault, watchesMax } from "./consul-session.ts";
import { openConsulSource } from "./consul-source.ts";
import { sweepsAtOnceMax } from "./consul-sweep.ts";
import { openConsulWriter } from "./consul-writer.ts";

const scopeOptions = ["datacenter", "namespace", "partition", "to-namespace", ...tlsOptions] as const;
const readOptions = [...scopeOptions, "tag", "passing", "watches"] as const;

export interface ConsulSettings {
  readonly addresses: readonly SocketAddress[];
  readonly scope: ConsulScope;
  readonly rules: ConsulRules;
  readonly watches: number;
  readonly tls: TlsFiles | undefined;
}

/** Throws WF2102 for a URL that cannot be used. */
export const parseConsulUrl = (url: RegistryUrl, options: readonly string[] = readOptions): ConsulSettings => {
  refuseOtherOptions(url, options);
  if (url.addresses.length === 0) throw wrongUrl(url.text, "names no HOST:PORT");
  if (url.path.replace(/^\/+$/, "") !== "") throw wrongUrl(url.text, "has a path, which means nothing in Consul");
  const given = (name: string): string | undefined => {
    const value = url.options.get(name);
    if (value === "") throw wrongUrl(url.text, `has an empty ${name}`);
    return value;
  };
  const passing = given("passing") ?? "false";
  if (passing !== "true" && passing !== "false") throw wrongUrl(url.text, "has passing that is neither true nor false");
  const watches = Number(given("watches") ?? watchesDefault);
  if (!Number.isInteger(watches) || watches < 1 || watches > watchesMax)
    throw wrongUrl(url.text, `has watches that is not 1 to ${watchesMax}`);
  return {
    addresses: url.addresses,
    scope: { datacenter: given("datacenter"), namespace: given("namespace"), partition: given("partition") },
    rules: {
      toNamespace: given("to-namespace") ?? "default",
      tags: given("tag")?.split(",") ?? [],
      passingOnly: passing === "true",
    },
    watches,
    tls: tlsFilesIn(url),
  };
};

/** The user of a credentials file whose password is an ACL token. */
const tokenUser = "token";

const tokenFrom = (credentials: (() => SourceCredentials) | undefined): (() => string) | undefined =>
  credentials &&
  (() => {
    const { username, password } = credentials();
    if (username === tokenUser) return password;
    throw new WeftError("WF2103", `the credentials for Consul do not begin with ${tokenUser}:`);
  });

/** Calls to the next of the agents, each time. */
const dialer = (
  { addresses, scope, watches, tls }: ConsulSettings,
  token: (() => string) | undefined,
): (() => ConsulCalls) => {
  let turn = 0;
  // The catalogue, checks that fail and that warn.
  const connectionsMax = watches + Math.max(readsAtOnceMax, sweepsAtOnceMax) + 3;
  return () => {
    const { host, port } = addresses[turn++ % addresses.length] as SocketAddress;
    const secure = tls ? { tls: () => readTlsFiles(tls, host) } : {};
    return createConsulCalls(createHttpClient({ host, port, connectionsMax, ...secure }), scope, token);
  };
};

const warnOfToken = ({ addresses, tls }: ConsulSettings, token: unknown, { log }: Pick<SourceTools, "log">): void => {
  const exposed = addresses.find(({ host }) => !isLoopback(host));
  if (token && !tls && exposed)
    log.warn("an ACL token goes to Consul without TLS", { address: formatAddress(exposed) });
};

export const consulDriver: Driver = {
  scheme: "consul",
  usage: "consul://HOST:PORT[,HOST:PORT]",
  open: (url, credentials) => {
    const settings = parseConsulUrl(url);
    const token = tokenFrom(credentials);
    return (tools) => {
      warnOfToken(settings, token, tools);
      return openConsulSource({ ...settings, dial: dialer(settings, token) })(tools);
    };
  },
  write: (url, credentials) => {
    const settings = parseConsulUrl(url, scopeOptions);
    const token = tokenFrom(credentials);
    const dial = dialer({ ...settings, watches: 0 }, token);
    const openWriter = openConsulWriter({ dial, toNamespace: settings.rules.toNamespace });
    let warned = false;
    return (tools) => {
      if (!warned) warnOfToken(settings, token, tools);
      warned = true;
      return openWriter(tools);
    };
  },
};
