/**
 * A route table as its virtual hosts put together. Tables have a host for every service of a mesh, so that one more
 * service would have ten thousand hosts hashed and encoded again: what is known of a host is kept with it instead.
 */
import { createHash } from "node:crypto";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { encodeResource } from "./codec.ts";
import { hashLength } from "./content-hash.ts";
import type { SubscribedJson, SubscribedKind } from "./resource.ts";

export type EncodeResource = (kind: SubscribedKind, json: object) => Uint8Array;

/** A version for a table by the versions of its hosts; `hashOf` is the version of anything else. */
export const createTableVersions = (hashOf: (json: unknown) => string): ((table: object) => string) => {
  const known = new WeakMap<object, string>();
  const versionOf = (host: VirtualHostJson): string => {
    const version = known.get(host) ?? hashOf(host);
    known.set(host, version);
    return version;
  };
  return (table) => {
    const { virtualHosts = [], ...rest } = table as RouteConfigurationJson;
    const hash = createHash("sha256").update(hashOf(rest));
    return hash.update(virtualHosts.map(versionOf).join("")).digest("hex").slice(0, hashLength);
  };
};

/** Where the bytes of a host stand: in the table that had it last. */
interface Place {
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** Tables with fewer hosts are encoded whole. */
const hostsMin = 64;
/** Field 2 of RouteConfiguration, of known length. */
const hostsTag = 0x12;
const lengthBytesMax = 5;

/**
 * As `encodeResource`, to the byte; hosts of large tables are encoded when they are first seen. Their bytes are kept in
 * the table only, not a second time.
 */
export const createResourceEncoder = (): EncodeResource => {
  const places = new WeakMap<object, Place>();
  const fresh = (host: VirtualHostJson): Place => {
    const bytes = encodeResource("virtualHost", host);
    return { bytes, from: 0, to: bytes.length };
  };
  const tableBytes = ({ name, virtualHosts = [], ...rest }: RouteConfigurationJson): Uint8Array => {
    // Fields stand in the order of their numbers: the name is the first, hosts the second.
    const head = encodeResource("route", name === undefined ? {} : { name });
    const tail = encodeResource("route", rest);
    const hosts = virtualHosts.map((host) => places.get(host) ?? fresh(host));
    let size = head.length + tail.length;
    for (const { from, to } of hosts) size += 1 + lengthBytesMax + to - from;
    const bytes = new Uint8Array(size);
    bytes.set(head);
    let at = head.length;
    for (const [index, { bytes: source, from, to }] of hosts.entries()) {
      bytes[at++] = hostsTag;
      let length = to - from;
      for (; length > 0x7f; length >>>= 7) bytes[at++] = (length & 0x7f) | 0x80;
      bytes[at++] = length;
      bytes.set(source.subarray(from, to), at);
      places.set(virtualHosts[index] as object, { bytes, from: at, to: at + to - from });
      at += to - from;
    }
    bytes.set(tail, at);
    return bytes.subarray(0, at + tail.length);
  };
  return (kind, json) => {
    const table = kind === "route" ? (json as RouteConfigurationJson) : undefined;
    return table && (table.virtualHosts?.length ?? 0) >= hostsMin
      ? tableBytes(table)
      : encodeResource(kind, json as SubscribedJson[SubscribedKind]);
  };
};
