/** A small management server of the incremental protocol whose answers are the test's, for several proxies at once. */
import { silentLogger } from "@weft/core/world";
import type { BidiCall, BidiEvents } from "@weft/net/grpc/calls";
import { frameMessage } from "@weft/net/grpc/message-reader";
import { openGrpcServer } from "@weft/net/grpc/server";
import { encodeResource } from "@weft/xds/codec";
import { adsDeltaPath, type DeltaRequest, decodeDeltaRequest, encodeDeltaResponse } from "@weft/xds/discovery";
import { resourceType, type SubscribedJson, type SubscribedKind, subscribedTypes } from "@weft/xds/resource";

export interface DeltaStream {
  readonly node: string;
  readonly requests: readonly DeltaRequest[];
  /** Names of clusters and virtual hosts that it is subscribed to now. */
  readonly names: ReadonlySet<string>;
}

export interface DeltaServer extends AsyncDisposable {
  readonly port: number;
  /** Streams of that node, the present one last. */
  readonly streams: (node: string) => readonly DeltaStream[];
  /** Gives a resource to whoever asked for it, and to whoever will. */
  readonly put: (of: SubscribedKind, name: string, json: object, aliases?: readonly string[]) => void;
  readonly remove: (of: SubscribedKind, name: string) => void;
  /** Questions for that name are not answered at all, until it is put. */
  readonly hush: (name: string) => void;
  /** Ends all streams. */
  readonly hangUp: () => void;
}

interface Held {
  readonly typeUrl: string;
  readonly name: string;
  readonly aliases: readonly string[];
  readonly version: string;
  readonly value: Uint8Array;
}

const urlOf = (of: SubscribedKind): string => subscribedTypes.find(({ kind }) => kind === of)?.typeUrl ?? "";

interface Open {
  readonly call: BidiCall;
  node: string;
  readonly requests: DeltaRequest[];
  readonly names: Set<string>;
  readonly subscribed: Map<string, Set<string>>;
  open: boolean;
}

export const startDeltaServer = async (): Promise<DeltaServer> => {
  const resources = new Map<string, Held>();
  const hushed = new Set<string>();
  const all: Open[] = [];
  let count = 0;

  const find = (typeUrl: string, asked: string): Held | undefined =>
    [...resources.values()].find(
      (held) => held.typeUrl === typeUrl && (held.name === asked || held.aliases.includes(asked)),
    );
  const send = (stream: Open, typeUrl: string, names: readonly string[]): void => {
    const found = new Set(names.map((name) => find(typeUrl, name)).filter((held) => held !== undefined));
    const missing = names.filter((name) => !find(typeUrl, name));
    // That there is no such virtual host is said by one that has a name and no body.
    const empty = typeUrl === urlOf("virtualHost") ? missing : [];
    const none = empty.map((name) => ({ name, aliases: [name], version: "", typeUrl, value: undefined }));
    const nonce = String(++count);
    const removed = empty.length > 0 ? [] : missing;
    const response = { systemVersion: "", typeUrl, nonce, resources: [...found, ...none], removed };
    stream.call.send(frameMessage(encodeDeltaResponse(response)));
  };

  const take = (stream: Open, request: DeltaRequest): void => {
    stream.requests.push(request);
    stream.node ||= request.node?.id ?? "";
    const names = stream.subscribed.get(request.typeUrl) ?? new Set();
    stream.subscribed.set(request.typeUrl, names);
    for (const name of request.unsubscribe) names.delete(name);
    for (const name of request.subscribe) names.add(name);
    if (request.typeUrl === resourceType("cluster").typeUrl || request.typeUrl === urlOf("virtualHost")) {
      for (const name of request.unsubscribe) stream.names.delete(name);
      for (const name of request.subscribe) stream.names.add(name);
    }
    const first = request.responseNonce === "" && request.subscribe.length === 0 && request.unsubscribe.length === 0;
    const wanted = request.subscribe.filter((name) => name !== "*" && !hushed.has(name));
    // Everything there is is nothing: what this server has is to be asked for by name.
    if (first || request.subscribe.includes("*") || wanted.length > 0) send(stream, request.typeUrl, wanted);
  };

  const open = (call: BidiCall): BidiEvents => {
    const stream: Open = { call, node: "", requests: [], names: new Set(), subscribed: new Map(), open: true };
    all.push(stream);
    return {
      message: (bytes) => take(stream, decodeDeltaRequest(bytes)),
      drained: () => undefined,
      halfClosed: () => call.end(0),
      closed: () => {
        stream.open = false;
      },
    };
  };
  const server = await openGrpcServer({
    address: { host: "127.0.0.1", port: 0 },
    log: silentLogger,
    random: Math.random,
    handlers: new Map([[adsDeltaPath, { kind: "bidi", open }]]),
  });
  const tell = (of: SubscribedKind, names: readonly string[]): void => {
    const typeUrl = urlOf(of);
    for (const stream of all) {
      const asked = names.find((name) => stream.subscribed.get(typeUrl)?.has(name));
      if (stream.open && asked !== undefined) send(stream, typeUrl, [asked]);
    }
  };
  /** Of a virtual host that was given it is said by its own name, not by those that it was asked for by. */
  const withdraw = (name: string, aliases: readonly string[]): void => {
    const typeUrl = urlOf("virtualHost");
    const response = { systemVersion: "", typeUrl, nonce: String(++count), resources: [], removed: [name] };
    for (const stream of all)
      if (stream.open && aliases.some((alias) => stream.subscribed.get(typeUrl)?.has(alias)))
        stream.call.send(frameMessage(encodeDeltaResponse(response)));
  };
  return {
    port: server.address.port,
    streams: (node) => all.filter((stream) => stream.node === node),
    put: (of, name, json, aliases = []) => {
      const names = [name, ...aliases];
      for (const one of names) hushed.delete(one);
      const value = encodeResource(of, json as SubscribedJson[typeof of]);
      resources.set(`${of} ${name}`, { typeUrl: urlOf(of), name, aliases, version: String(++count), value });
      tell(of, names);
    },
    remove: (of, name) => {
      const held = resources.get(`${of} ${name}`);
      resources.delete(`${of} ${name}`);
      if (of === "virtualHost") withdraw(name, held?.aliases ?? []);
      else tell(of, [name]);
    },
    hush: (name) => void hushed.add(name),
    hangUp: () => {
      for (const { call, open: isOpen } of all) if (isOpen) call.end(14, "the test hangs up");
    },
    [Symbol.asyncDispose]: () => server.close(0),
  };
};
