/**
 * Reads the node that a stream's first request carries without making messages of it. Thousands of proxies say who they
 * are at the same time when a control plane comes back.
 */
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { BuildVersionJson, ExtensionJson, LocalityJson, NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { SemanticVersionJson } from "@weft/xds/gen/envoy/type/v3/semantic_version";
import { bytesTag, doubleTag, numberTag, type PlainFields } from "./plain-fields.ts";

type Written<T> = { -readonly [K in keyof T]?: T[K] };

const depthMax = 32;
/** JavaScript does not take it for a member like others. */
const oddKey = "__proto__";

/**
 * The node between where `fields` is and its end, as the full decoder gives it. Something that is not plain, repeated or
 * unknown makes `fields` give up.
 */
export const readPlainNode = (fields: PlainFields): NodeJson => {
  const node: Written<NodeJson> = {};
  const features: string[] = [];
  let last = 0;
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    // All write them in order. Then none comes twice, and members have the decoder's order.
    if (tag < last || (tag === last && tag !== featuresTag)) fields.giveUp();
    last = tag;
    switch (tag) {
      case idTag:
        put(node, "id", fields.text());
        break;
      case clusterTag:
        put(node, "cluster", fields.text());
        break;
      case metadataTag:
        node.metadata = readStruct(fields, 0);
        break;
      case localityTag:
        node.locality = readLocality(fields);
        break;
      case agentTag:
        put(node, "userAgentName", fields.text());
        break;
      case agentVersionTag:
        node.userAgentVersion = fields.text();
        break;
      case agentBuildTag:
        // Either this or a plain version.
        if (node.userAgentVersion !== undefined) fields.giveUp();
        node.userAgentBuildVersion = readBuildVersion(fields);
        break;
      case extensionsTag:
        node.extensions = readExtensions(fields);
        break;
      case featuresTag:
        features.push(fields.text());
        node.clientFeatures = features;
        break;
      default:
        fields.giveUp();
    }
  }
  return node;
};

const idTag = bytesTag(1);
const clusterTag = bytesTag(2);
const metadataTag = bytesTag(3);
const localityTag = bytesTag(4);
const agentTag = bytesTag(6);
const agentVersionTag = bytesTag(7);
const agentBuildTag = bytesTag(8);
const extensionsTag = bytesTag(9);
const featuresTag = bytesTag(10);

/** An empty text reads as none. */
const put = <K extends string>(into: { [key in K]?: string }, key: K, text: string): void => {
  if (text !== "") into[key] = text;
};

const readLocality = (fields: PlainFields): LocalityJson => {
  const locality: Written<LocalityJson> = {};
  const outer = fields.enter();
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    if (tag === bytesTag(1)) put(locality, "region", fields.text());
    else if (tag === bytesTag(2)) put(locality, "zone", fields.text());
    else if (tag === bytesTag(3)) put(locality, "subZone", fields.text());
    else fields.giveUp();
  }
  fields.leave(outer);
  return locality;
};

const readBuildVersion = (fields: PlainFields): BuildVersionJson => {
  const build: Written<BuildVersionJson> = {};
  const outer = fields.enter();
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    if (tag === bytesTag(1) && build.version === undefined) build.version = readVersion(fields);
    else if (tag === bytesTag(2) && build.metadata === undefined) build.metadata = readStruct(fields, 0);
    else fields.giveUp();
  }
  fields.leave(outer);
  return build;
};

const readVersion = (fields: PlainFields): SemanticVersionJson => {
  const version: Written<SemanticVersionJson> = {};
  const outer = fields.enter();
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    const value = fields.number();
    // What is written though it is nothing is none.
    if (tag === numberTag(1) && value > 0) version.majorNumber = value;
    else if (tag === numberTag(2) && value > 0) version.minorNumber = value;
    else if (tag === numberTag(3) && value > 0) version.patch = value;
    else fields.giveUp();
  }
  fields.leave(outer);
  return version;
};

/** Proxies of one release have the same hundreds of them, and share the list. */
const knownExtensions: { readonly bytes: Buffer; readonly extensions: ExtensionJson[] }[] = [];
const knownMax = 8;
const knownBytesMax = 128 * 1024;

/** From behind the tag of the first to the last. */
const readExtensions = (fields: PlainFields): ExtensionJson[] => {
  const start = fields.at;
  let end = start;
  let count = 0;
  for (let tag = extensionsTag; tag === extensionsTag; tag = fields.next()) {
    fields.skip();
    end = fields.at;
    count++;
  }
  fields.back(end);
  const bytes = fields.since(start);
  const known = knownExtensions.find((each) => each.bytes.equals(bytes));
  if (known) return known.extensions;
  fields.back(start);
  const extensions = [readExtension(fields)];
  while (extensions.length < count && fields.next() === extensionsTag) extensions.push(readExtension(fields));
  if (!fields.plain || bytes.length > knownBytesMax) return extensions;
  if (knownExtensions.length >= knownMax) knownExtensions.shift();
  knownExtensions.push({ bytes: Buffer.from(bytes), extensions });
  return extensions;
};

const readExtension = (fields: PlainFields): ExtensionJson => {
  const extension: Written<ExtensionJson> = {};
  const typeUrls: string[] = [];
  const outer = fields.enter();
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    if (tag === bytesTag(1)) put(extension, "name", fields.text());
    else if (tag === bytesTag(2)) put(extension, "category", fields.text());
    else if (tag === bytesTag(3)) put(extension, "typeDescriptor", fields.text());
    else if (tag === bytesTag(4) && extension.version === undefined) extension.version = readBuildVersion(fields);
    else if (tag === numberTag(5) && fields.number() === 1) extension.disabled = true;
    else if (tag === bytesTag(6)) typeUrls.push(fields.text());
    else fields.giveUp();
  }
  fields.leave(outer);
  if (typeUrls.length > 0) extension.typeUrls = typeUrls;
  return extension;
};

const readStruct = (fields: PlainFields, depth: number): JsonObject => {
  const struct: JsonObject = {};
  const outer = fields.enter();
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    if (tag === bytesTag(1)) readMember(fields, struct, depth);
    else fields.giveUp();
  }
  fields.leave(outer);
  return struct;
};

const readMember = (fields: PlainFields, struct: JsonObject, depth: number): void => {
  let key: string | undefined;
  let value: JsonValue | undefined;
  const outer = fields.enter();
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    if (tag === bytesTag(1) && key === undefined) key = fields.text();
    else if (tag === bytesTag(2) && value === undefined) value = readValue(fields, depth);
    else fields.giveUp();
  }
  fields.leave(outer);
  if (key === undefined || key === oddKey || value === undefined) fields.giveUp();
  else struct[key] = value;
};

/** One that says nothing, or two things, is not plain. */
const readValue = (fields: PlainFields, depth: number): JsonValue => {
  let value: JsonValue | undefined;
  const outer = fields.enter();
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    if (value !== undefined || depth > depthMax) fields.giveUp();
    if (tag === stringTag) value = fields.text();
    else if (tag === structTag) value = readStruct(fields, depth + 1);
    else if (tag === listTag) value = readList(fields, depth + 1);
    else if (tag === doubleTag(2)) value = fields.double();
    else if (tag === numberTag(4)) value = fields.flag();
    else if (tag === numberTag(1) && fields.number() === 0) value = null;
    else fields.giveUp();
  }
  fields.leave(outer);
  if (value !== undefined) return value;
  fields.giveUp();
  return null;
};

const stringTag = bytesTag(3);
const structTag = bytesTag(5);
const listTag = bytesTag(6);

const readList = (fields: PlainFields, depth: number): JsonValue[] => {
  const list: JsonValue[] = [];
  const outer = fields.enter();
  for (let tag = fields.next(); tag !== 0; tag = fields.next()) {
    if (tag === bytesTag(1)) list.push(readValue(fields, depth));
    else fields.giveUp();
  }
  fields.leave(outer);
  return list;
};
