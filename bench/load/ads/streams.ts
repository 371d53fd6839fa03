/** Many sidecars as far as discovery sees them: a connection and a delta stream each, everything acknowledged. */
import { createSecureContext } from "node:tls";
import type { Opened, OpenStreams } from "./messages.ts";
import { type DataFrame, dataFrames, RawStream, type RawTarget } from "./raw-stream.ts";
import { encodeNode, encodeRequest, type ResponseHead, readResponse, resourceName, sequenceOf } from "./shallow.ts";

export const endpointsType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/** Told of each assignment that comes after a stream had its first. */
export type OnAssignment = (name: string, sequence: number) => void;

export interface Streams {
  readonly opened: Opened;
  /** How many streams ask for a name. */
  readonly subscribersOf: (name: string) => number;
  readonly close: () => void;
}

/** The same numbers for the same seed; which are good enough to draw names. */
const createDraw = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
};

const drawNames = (index: number, { names, each }: OpenStreams): readonly string[] => {
  if (each >= names.length) return names;
  const draw = createDraw(index + 1);
  const drawn = new Set<string>();
  while (drawn.size < each) drawn.add(names[draw(names.length)] ?? "");
  return [...drawn];
};

const nodeOf = (index: number): Buffer => {
  const ip = `10.200.${index >> 8}.${index & 255}`;
  return encodeNode(`sidecar~${ip}~bench-${index}.default~default.svc.cluster.local`, "default");
};

const knownTypes: { readonly bytes: Buffer; readonly text: string }[] = [];
const typeOf = (bytes: Buffer, from: number, to: number): string => {
  for (const known of knownTypes) if (known.bytes.compare(bytes, from, to) === 0) return known.text;
  const text = bytes.toString("latin1", from, to);
  knownTypes.push({ bytes: Buffer.from(text), text });
  return text;
};

/** Streams that are told the same under the same nonce acknowledge it by the same bytes. */
const createAcks = () => {
  let [lastType, lastNonce] = ["", ""];
  let last: readonly DataFrame[] = dataFrames(Buffer.alloc(0));
  return (typeUrl: string, nonce: string): readonly DataFrame[] => {
    if (typeUrl !== lastType || nonce !== lastNonce) {
      [lastType, lastNonce] = [typeUrl, nonce];
      last = dataFrames(encodeRequest({ typeUrl, nonce }));
    }
    return last;
  };
};

const targetOf = ({ address, tls }: OpenStreams): RawTarget => {
  const [host = "", port = ""] = address.split(":");
  return { host, port: Number(port), path, ...(tls ? { tls: createSecureContext(tls) } : {}) };
};

interface Opening {
  readonly command: OpenStreams;
  readonly target: RawTarget;
  readonly ackOf: ReturnType<typeof createAcks>;
  /** Names, and how many streams ask for each. */
  readonly wanted: Map<string, number>;
  readonly all: RawStream[];
  readonly onAssignment: OnAssignment;
}

/** Used again for each message of whichever stream. */
const head: ResponseHead = { typeUrl: "", nonce: "", resources: [] };

/** Opens one stream, which asks for one type after the other; resolves when it has all. */
const openStream = (index: number, opening: Opening): Promise<void> => {
  const { command, target, ackOf, wanted, all, onAssignment } = opening;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const names = index < (command.subscribers ?? command.streams) ? drawNames(index, command) : [];
  for (const name of names) wanted.set(name, (wanted.get(name) ?? 0) + 1);
  const missing = new Set(names);
  const types = [...command.wholeTypes, ...(names.length > 0 ? [endpointsType] : [])];
  let node: Buffer | undefined = nodeOf(index);
  const ask = (): void => {
    const [typeUrl] = types;
    if (typeUrl === undefined) {
      resolve();
      return;
    }
    const subscribe = typeUrl === endpointsType ? names : [];
    stream.send(dataFrames(encodeRequest({ typeUrl, subscribe, ...(node ? { node } : {}) })));
    node = undefined;
  };
  const assigned = (name: string, sequence: () => number): void => {
    if (missing.size === 0) {
      onAssignment(name, sequence());
      return;
    }
    missing.delete(name);
    if (missing.size === 0) resolve();
  };
  const stream = new RawStream(target, {
    message: (bytes) => {
      readResponse(bytes, head, typeOf);
      const { typeUrl, resources } = head;
      stream.send(ackOf(typeUrl, head.nonce));
      if (typeUrl === endpointsType) {
        for (let at = 0; at < resources.length; at += 2) {
          const [from = 0, to = 0] = [resources[at], resources[at + 1]];
          assigned(resourceName(bytes, from, to), () => sequenceOf(bytes, from, to));
        }
      } else if (typeUrl === types[0]) {
        types.shift();
        ask();
      }
    },
    ended: (reason) => reject(new Error(`stream ${index}: ${reason}`)),
  });
  all.push(stream);
  ask();
  return promise;
};

/** Opens all streams and resolves when each has all that it asked for. */
export const openStreams = async (command: OpenStreams, onAssignment: OnAssignment): Promise<Streams> => {
  const opening: Opening = {
    ...{ command, target: targetOf(command), ackOf: createAcks(), wanted: new Map(), all: [], onAssignment },
  };
  const { all, wanted } = opening;
  const startedMs = performance.now();
  let next = 0;
  const openSome = async (): Promise<void> => {
    while (next < command.streams) await openStream(next++, opening);
  };
  await Promise.all(Array.from({ length: Math.min(command.atOnce, command.streams) }, openSome));
  return {
    opened: { tookMs: performance.now() - startedMs, bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) },
    subscribersOf: (name) => wanted.get(name) ?? 0,
    close: () => {
      for (const stream of all) stream.close();
    },
  };
};
