/**
 * Field names that traffic is full of, as ready strings: finding one costs a hash made while the name is scanned
 * anyway, where slicing and lower-casing would make a new string for each field of each message.
 */
import { tokenLower } from "./bytes.ts";

/** Names the codec itself acts on, at the ids below; all others only spare an allocation. */
const acted = [
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "proxy-connection",
  "upgrade",
  "te",
  "expect",
  "http2-settings",
] as const;

export const nameId = {
  host: 0,
  contentLength: 1,
  transferEncoding: 2,
  connection: 3,
  keepAlive: 4,
  proxyConnection: 5,
  upgrade: 6,
  te: 7,
  expect: 8,
  http2Settings: 9,
} as const;

/** Ids up to this one are names the codec acts on. */
export const lastActedId: number = nameId.http2Settings;

/** The id of a name that is not in the table. */
export const unknownName = -1;

const others = `accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
  access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
  access-control-max-age access-control-request-headers access-control-request-method age allow authorization baggage
  b3 cache-control content-disposition content-encoding content-language content-location content-range
  content-security-policy content-type cookie date dnt etag forwarded from grpc-accept-encoding grpc-encoding
  grpc-message grpc-status grpc-timeout if-match if-modified-since if-none-match if-range if-unmodified-since
  last-modified link location max-forwards origin pragma priority proxy-authenticate proxy-authorization range referer
  referrer-policy retry-after sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode
  sec-fetch-site sec-fetch-user sec-websocket-accept sec-websocket-extensions sec-websocket-key
  sec-websocket-protocol sec-websocket-version server set-cookie strict-transport-security traceparent tracestate
  trailer upgrade-insecure-requests user-agent vary via warning www-authenticate x-b3-flags x-b3-parentspanid
  x-b3-sampled x-b3-spanid x-b3-traceid x-content-type-options x-envoy-attempt-count x-envoy-decorator-operation
  x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-internal x-envoy-max-retries
  x-envoy-original-path x-envoy-peer-metadata x-envoy-peer-metadata-id x-envoy-retry-on
  x-envoy-upstream-rq-timeout-ms x-envoy-upstream-service-time x-forwarded-client-cert x-forwarded-for
  x-forwarded-host x-forwarded-port x-forwarded-proto x-frame-options x-ot-span-context x-powered-by x-real-ip
  x-request-id x-requested-with x-xss-protection`.split(/\s+/);

/** What the proxy itself says, or the mesh takes its word for. */
const vouchedFor = /^(x-forwarded-|x-envoy-|x-real-ip$|forwarded$|authorization$|x-request-id$)/;

/**
 * Whether a lower-case name, read by a server that takes `_` for `-`, would be one that frames a message or that the
 * proxy vouches for.
 */
export const isUnderscoreTwin = (name: string): boolean => {
  const twin = name.replaceAll("_", "-");
  return vouchedFor.test(twin) || (acted as readonly string[]).includes(twin);
};

/** Whether naming it in Connection would take away what others decide by: an end-to-end field that is never per hop. */
export const isNeverPerHop = (name: string): boolean => vouchedFor.test(name);

/** By id. */
export const knownNames: readonly string[] = [...acted, ...others];

const slotCount = 1024;
/** All names one after the other, name `id` from `offsets[id]` up to `offsets[id + 1]`. */
const flat = Uint8Array.from(knownNames.join(""), (character) => character.charCodeAt(0));
const offsets = Uint16Array.from({ length: knownNames.length + 1 }, (_, id) => knownNames.slice(0, id).join("").length);

/** One step of the hash over a name's lower-case bytes, from 0. */
export const hashStep = (hash: number, byte: number): number => (Math.imul(hash, 31) + byte) | 0;

const slots = new Int16Array(slotCount).fill(unknownName);
for (const id of knownNames.keys()) {
  let slot = flat.subarray(offsets[id], offsets[id + 1]).reduce(hashStep, 0) & (slotCount - 1);
  while (slots[slot] !== unknownName) slot = (slot + 1) & (slotCount - 1);
  slots[slot] = id;
}

/** Where the known name of that id, which stands at `start` in any case, ends; -1 when it is not what stands there. */
export const nameEndAt = (id: number, bytes: Buffer, start: number): number => {
  const end = offsets[id + 1] as number;
  let at = start;
  for (let i = offsets[id] as number; i < end; i++) {
    if (tokenLower[bytes[at++] as number] !== flat[i]) return -1;
  }
  return at;
};

/** The id of the name at [start, end), whose bytes are all token bytes, given its hash; `unknownName` if not known. */
export const knownNameId = (bytes: Buffer, start: number, end: number, hash: number): number => {
  for (let slot = hash & (slotCount - 1); ; slot = (slot + 1) & (slotCount - 1)) {
    const id = slots[slot] as number;
    if (id === unknownName || nameEndAt(id, bytes, start) === end) return id;
  }
};
