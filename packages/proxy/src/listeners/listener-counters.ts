/** What a listener counts, under Envoy's names. */
import type { SocketAddress } from "@weft/core/address";
import type { TlsPeer } from "@weft/net/tls/peer";
import type { Counter, Histogram, Stats } from "../observe/stats.ts";

export interface ListenerCounters {
  readonly connections: Counter;
  readonly destroyed: Counter;
  readonly length: Histogram;
  /** Closed at once because there were too many. */
  readonly overflow: Counter;
  readonly noChain: Counter;
  /** Made when the first handshake begins: a listener without TLS has none. */
  readonly tls: () => TlsCounters;
}

export interface TlsCounters {
  readonly handshakes: Counter;
  readonly connectionErrors: Counter;
  readonly noCertificate: Counter;
  readonly failVerifyError: Counter;
  readonly failVerifyNoCert: Counter;
  readonly failVerifySan: Counter;
  /** `TLSv1.3` and the like, each made when it is first seen. */
  readonly version: (name: string) => Counter;
}

/** `listener.127.0.0.1_80`: the address as a stat name can have it, or the listener's own prefix. */
export const listenerStatName = (statPrefix: string | undefined, address: SocketAddress | undefined): string => {
  if (statPrefix) return `listener.${statPrefix}`;
  if (address === undefined) return "listener.unnamed";
  const { host, port } = address;
  return `listener.${host.includes(":") ? `[${host.replaceAll(":", "_")}]` : host}_${port}`;
};

/** Versions of TLS there can be: a bound for names that come from outside. */
const versions: ReadonlySet<string> = new Set(["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]);

const tlsCounters = (stats: Stats, name: string): TlsCounters => ({
  handshakes: stats.counter(`${name}.ssl.handshake`),
  connectionErrors: stats.counter(`${name}.ssl.connection_error`),
  noCertificate: stats.counter(`${name}.ssl.no_certificate`),
  failVerifyError: stats.counter(`${name}.ssl.fail_verify_error`),
  failVerifyNoCert: stats.counter(`${name}.ssl.fail_verify_no_cert`),
  failVerifySan: stats.counter(`${name}.ssl.fail_verify_san`),
  version: (version) => stats.counter(`${name}.ssl.versions.${versions.has(version) ? version : "other"}`),
});

export const listenerCounters = (stats: Stats, name: string): ListenerCounters => {
  let tls: TlsCounters | undefined;
  return {
    connections: stats.counter(`${name}.downstream_cx_total`),
    destroyed: stats.counter(`${name}.downstream_cx_destroy`),
    length: stats.histogram(`${name}.downstream_cx_length_ms`),
    overflow: stats.counter(`${name}.downstream_cx_overflow`),
    noChain: stats.counter(`${name}.no_filter_chain_match`),
    tls: () => {
      tls ??= tlsCounters(stats, name);
      return tls;
    },
  };
};

/** Counts a finished handshake, and why its peer was refused where it was. */
export const countHandshake = (counters: ListenerCounters, peer: TlsPeer, refusal: string | undefined): void => {
  const tls = counters.tls();
  if (refusal === undefined) {
    tls.handshakes.add(1);
    tls.version(peer.version).add(1);
    if (!peer.hasCertificate) tls.noCertificate.add(1);
    return;
  }
  if (!peer.hasCertificate) tls.failVerifyNoCert.add(1);
  else if (!peer.verified) tls.failVerifyError.add(1);
  else tls.failVerifySan.add(1);
};
