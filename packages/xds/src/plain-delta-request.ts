/**
 * Reads the requests that make up nearly all of a delta stream without making messages of them: the first, which says who
 * asks and what it holds, ACKs, of which a server reads one per stream and push, and subscriptions, which name hundreds of
 * resources when many clients come at once.
 */
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import { bytesTag, PlainFields } from "./plain-fields.ts";
import { readPlainNode } from "./plain-node.ts";
import { type ResourceType, resourceTypes } from "./resource.ts";

export interface PlainDeltaRequest {
  readonly node: NodeJson | undefined;
  readonly typeUrl: string;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly initialVersions: ReadonlyMap<string, string>;
  /** Empty when it answers nothing. */
  readonly nonce: string;
}

/** Field numbers of DeltaDiscoveryRequest. */
const nodeTag = bytesTag(1);
const typeUrlTag = bytesTag(2);
const subscribeTag = bytesTag(3);
const unsubscribeTag = bytesTag(4);
const versionsTag = bytesTag(5);
const nonceTag = bytesTag(6);

const byUrl: ReadonlyMap<string, ResourceType> = new Map(resourceTypes.map((type) => [type.typeUrl, type]));
const nothing: readonly string[] = [];
const noVersions: ReadonlyMap<string, string> = new Map();

/**
 * Gives a DeltaDiscoveryRequest that has a type URL that we know, once, at most one node, at most one nonce, names, what
 * the client holds, and nothing else, all text in ASCII. `undefined` says only that somebody else must read it: it may be a
 * NACK, or no request at all.
 */
export const readPlainDeltaRequest = (bytes: Uint8Array): PlainDeltaRequest | undefined => {
  const fields = new PlainFields(
    Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  );
  let node: NodeJson | undefined;
  let type: ResourceType | undefined;
  let nonce = "";
  let subscribe: string[] | undefined;
  let unsubscribe: string[] | undefined;
  let versions: Map<string, string> | undefined;
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    if (tag === subscribeTag) {
      subscribe ??= [];
      subscribe.push(fields.text());
    } else if (tag === unsubscribeTag) {
      unsubscribe ??= [];
      unsubscribe.push(fields.text());
    } else if (tag === typeUrlTag && type === undefined) {
      type = byUrl.get(fields.text());
      if (type === undefined) return undefined;
    } else if (tag === nonceTag && nonce === "") {
      nonce = fields.text();
    } else if (tag === nodeTag && node === undefined) {
      const outer = fields.enter();
      node = readPlainNode(fields);
      fields.leave(outer);
    } else if (tag === versionsTag) {
      versions ??= new Map();
      readVersion(fields, versions);
    } else {
      return undefined;
    }
  }
  if (!fields.plain || !type) return undefined;
  return {
    node,
    typeUrl: type.typeUrl,
    subscribe: subscribe ?? nothing,
    unsubscribe: unsubscribe ?? nothing,
    initialVersions: versions ?? noVersions,
    nonce,
  };
};

/** JavaScript does not take it for a member like others, so the full decoder loses it. */
const oddName = "__proto__";

const readVersion = (fields: PlainFields, versions: Map<string, string>): void => {
  let name: string | undefined;
  let version: string | undefined;
  const outer = fields.enter();
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    if (tag === bytesTag(1) && name === undefined) name = fields.text();
    else if (tag === bytesTag(2) && version === undefined) version = fields.text();
    else fields.giveUp();
  }
  fields.leave(outer);
  if (name === undefined || version === undefined || name === oddName) fields.giveUp();
  else versions.set(name, version);
};
