/**
 * ClusterLoadAssignments as bytes, from those of the version before: of a service with very many endpoints one or a few
 * change at a time, and only these are encoded. The bytes are those that encoding all of it gives.
 */
import type { JsonValue } from "@bufbuild/protobuf";
import {
  type ClusterLoadAssignmentJson,
  ClusterLoadAssignmentSchema,
} from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import {
  type LbEndpointJson,
  LocalityLbEndpointsSchema,
} from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint_components";
import { encodeMessage } from "./codec.ts";

/** An assignment and its bytes. Endpoints of it that are the same objects in the next are taken over as they are. */
export interface EncodedAssignment {
  readonly json: ClusterLoadAssignmentJson;
  readonly bytes: Uint8Array;
}

type Locality = NonNullable<ClusterLoadAssignmentJson["endpoints"]>[number];

/** Where an endpoint is in the bytes before, with its tag. */
interface Place {
  readonly from: number;
  readonly to: number;
}

const lengthDelimited = 2;
const assignmentTag = { clusterName: (1 << 3) | lengthDelimited, endpoints: (2 << 3) | lengthDelimited };
const localityTag = { locality: (1 << 3) | lengthDelimited, lbEndpoints: (2 << 3) | lengthDelimited };
const noPlaces: ReadonlyMap<object, Place> = new Map();
/** Localities without their endpoints: few differ, and then in their weights. */
const framesMax = 1024;

/** Throws an Error that names what does not fit, as `encodeResource`. */
export type EncodeAssignment = (json: ClusterLoadAssignmentJson, before?: EncodedAssignment) => Uint8Array;

export const createAssignmentEncoder = (): EncodeAssignment => {
  const frames = new Map<string, Uint8Array>();
  const encodeFrame = (frame: Omit<Locality, "lbEndpoints">): Uint8Array => {
    const text = JSON.stringify(frame);
    const known = frames.get(text);
    if (known) return known;
    const made = encodeMessage(LocalityLbEndpointsSchema, frame as JsonValue);
    if (frames.size >= framesMax) frames.clear();
    frames.set(text, made);
    return made;
  };
  return (json, before) => {
    const { clusterName = "", endpoints, ...others } = json;
    if (!before || !endpoints || Object.keys(others).length > 0)
      return encodeMessage(ClusterLoadAssignmentSchema, json as JsonValue);
    const { bytes } = before;
    const places = placesIn(before);
    const parts = [encodeMessage(ClusterLoadAssignmentSchema, { clusterName })];
    for (const { lbEndpoints = [], ...frame } of endpoints) {
      const around = encodeFrame(frame);
      const head = around[0] === localityTag.locality ? endOfField(around, 0) : 0;
      const members = [around.subarray(0, head), ...membersOf(lbEndpoints, bytes, places), around.subarray(head)];
      parts.push(Buffer.from([assignmentTag.endpoints, ...varint(sizeOf(members))]), ...members);
    }
    return joined(parts);
  };
};

/** Endpoints in pieces: runs of those that were there, and between them those that were not. */
const membersOf = (
  lbEndpoints: readonly LbEndpointJson[],
  bytes: Uint8Array,
  places: ReadonlyMap<object, Place>,
): readonly Uint8Array[] => {
  const members: Uint8Array[] = [];
  let fresh: JsonValue[] = [];
  let run: { from: number; to: number } | undefined;
  const flush = (): void => {
    if (run) members.push(bytes.subarray(run.from, run.to));
    if (fresh.length > 0) members.push(encodeMessage(LocalityLbEndpointsSchema, { lbEndpoints: fresh }));
    fresh = [];
    run = undefined;
  };
  for (const endpoint of lbEndpoints) {
    const place = places.get(endpoint);
    if (place && run?.to === place.from) {
      run.to = place.to;
      continue;
    }
    if (run || (place && fresh.length > 0)) flush();
    if (place) run = { ...place };
    else fresh.push(endpoint as JsonValue);
  }
  flush();
  return members;
};

/** Every endpoint of an assignment by its object; none where the bytes are not such as are written here. */
const placesIn = ({ json, bytes }: EncodedAssignment): ReadonlyMap<object, Place> => {
  const places = new Map<object, Place>();
  let at = bytes[0] === assignmentTag.clusterName ? endOfField(bytes, 0) : 0;
  for (const { lbEndpoints = [] } of json.endpoints ?? []) {
    if (bytes[at] !== assignmentTag.endpoints) return noPlaces;
    const end = endOfField(bytes, at);
    let from = startOfValue(bytes, at);
    if (bytes[from] === localityTag.locality) from = endOfField(bytes, from);
    for (const endpoint of lbEndpoints) {
      if (from >= end || bytes[from] !== localityTag.lbEndpoints) return noPlaces;
      const to = endOfField(bytes, from);
      places.set(endpoint, { from, to });
      from = to;
    }
    at = end;
  }
  return places;
};

/** Where the value begins of a field that has a tag of one byte and a length. */
const startOfValue = (bytes: Uint8Array, tagAt: number): number => {
  let at = tagAt + 1;
  while ((bytes[at] as number) > 0x7f) at++;
  return at + 1;
};

const endOfField = (bytes: Uint8Array, tagAt: number): number => {
  let length = 0;
  let shift = 0;
  let at = tagAt + 1;
  for (; (bytes[at] as number) > 0x7f; at++, shift += 7) length |= ((bytes[at] as number) & 0x7f) << shift;
  return at + 1 + (length | ((bytes[at] as number) << shift));
};

const varint = (value: number): readonly number[] => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
};

const sizeOf = (parts: readonly Uint8Array[]): number => parts.reduce((sum, { length }) => sum + length, 0);

/** In memory of its own, which lives as long as it does. */
const joined = (parts: readonly Uint8Array[]): Uint8Array => {
  const bytes = new Uint8Array(sizeOf(parts));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
};
