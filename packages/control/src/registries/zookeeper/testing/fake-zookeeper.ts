/** A ZooKeeper in memory, of one or several servers, and a clock to run it with: for tests of the driver. */
import type { SocketAddress } from "@weft/core/address";
import { seededRandom } from "@weft/core/random";
import { silentLogger } from "@weft/core/world";
import type { Dial, DialHandler } from "@weft/net/tcp/dial";
import { frameReader } from "@weft/protocols/zookeeper/frame-reader";
import type { ReplyBody, WatchEvent, ZookeeperRequest } from "@weft/protocols/zookeeper/messages";
import {
  decodeConnectRequest,
  decodeRequest,
  emptyStat,
  encodeConnectResponse,
  encodeEvent,
  encodeReply,
} from "@weft/protocols/zookeeper/testing/server-side";
import type { SourceEvent, SourceTools } from "../../outside/source-events.ts";

export interface FakeZookeeper {
  readonly dial: Dial;
  readonly nodes: Map<string, string>;
  /** Each request that came, in order. */
  readonly requests: readonly ZookeeperRequest[];
  readonly sessions: Set<bigint>;
  /** Sessions that nodes go with, by path. */
  readonly owners: Map<string, bigint>;
  /** Where the client is connected, or tries to. */
  readonly dialed: readonly SocketAddress[];
  /** Before 3.6: no watch of a whole tree. */
  old: boolean;
  /** `refuses` closes each connection, `mute` takes it and says nothing. */
  mode: "serves" | "refuses" | "mute" | "closes-greetings" | "no-sessions";
  /** Answers with this in place of what it should, by path. */
  readonly errors: Map<string, number>;
  put(path: string, data?: string): void;
  delete(path: string): void;
  breakConnection(): void;
  /** Sends these bytes as they are. */
  say(bytes: Buffer): void;
  readOnly: boolean;
  /** How much later everything it says arrives. */
  delayMs: number;
  outstanding(): number;
  /** Answers are held back until `release`. */
  hold: boolean;
  /** Sends what was held back; all of it, or so many answers. */
  release(count?: number): void;
}

interface Client {
  readonly handler: DialHandler;
  readonly watches: Set<string>;
  recursive: string | undefined;
  greeted: boolean;
  readonly held: Buffer[];
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/";

export const createFakeZookeeper = (world: VirtualWorld): FakeZookeeper => {
  let client: Client | undefined;
  let sessionSeq = 0n;
  let zxid = 1n;
  const requests: ZookeeperRequest[] = [];
  const dialed: SocketAddress[] = [];
  const deliver = (to: Client, bytes: Buffer): void => {
    // Cut where the network might.
    const cut = Math.floor(world.random() * bytes.length);
    for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
      if (to === client && part.length > 0) to.handler.onRead(part);
    }
  };
  const sendNow = (to: Client, bytes: Buffer): void => world.later(() => deliver(to, bytes), fake.delayMs);
  const send = (to: Client, bytes: Buffer): void => {
    // Answers keep their order, also when no more are held back.
    if (to.greeted && (fake.hold || to.held.length > 0)) to.held.push(bytes);
    else sendNow(to, bytes);
  };
  const tell = (event: WatchEvent): void => {
    if (!client) return;
    const { recursive } = client;
    const covered = recursive !== undefined && event.path.startsWith(recursive) && event.change !== "children";
    // One that is told of is gone.
    const once = client.watches.delete(`${event.change === "children" ? "children" : "node"} ${event.path}`);
    // Also past answers that are held back: those are old then.
    if (covered || once) sendNow(client, encodeEvent(event));
  };
  const change = (
    request: Extract<ZookeeperRequest, { kind: "create" | "set" | "delete" }>,
  ): { error: number; body: ReplyBody } => {
    const { kind, path } = request;
    const nothing = { kind: "nothing" } as const;
    const isThere = fake.nodes.has(path);
    const above = parentOf(path);
    if (kind === "create" && isThere) return { error: -110, body: nothing };
    if (kind === "create" ? above !== "/" && !fake.nodes.has(above) : !isThere) return { error: -101, body: nothing };
    if (kind === "delete") {
      if ([...fake.nodes.keys()].some((one) => one !== path && parentOf(one) === path))
        return { error: -111, body: nothing };
      fake.nodes.delete(path);
      return { error: 0, body: nothing };
    }
    fake.nodes.set(path, request.data.toString());
    return { error: 0, body: kind === "create" ? { kind, path } : { kind, stat: emptyStat } };
  };
  const answer = (to: Client, request: ZookeeperRequest): { error: number; body: ReplyBody } => {
    const nothing = { kind: "nothing" } as const;
    if (!("path" in request)) return { error: 0, body: nothing };
    const { path } = request;
    const wrong = fake.errors.get(path);
    if (wrong !== undefined) return { error: wrong, body: nothing };
    if (request.kind === "add-watch") {
      if (fake.old) return { error: -6, body: nothing };
      to.recursive = path;
      return { error: 0, body: nothing };
    }
    if (request.kind === "create" || request.kind === "set" || request.kind === "delete") return change(request);
    const data = fake.nodes.get(path);
    if (request.watch && (data !== undefined || request.kind === "exists")) {
      to.watches.add(`${request.kind === "children" ? "children" : "node"} ${path}`);
    }
    if (data === undefined) return { error: -101, body: nothing };
    if (request.kind === "exists") return { error: 0, body: { kind: "exists", stat: emptyStat } };
    if (request.kind === "data") {
      const stat = { ...emptyStat, ephemeralOwner: fake.owners.get(path) ?? 0n };
      return { error: 0, body: { kind: "data", data: Buffer.from(data), stat } };
    }
    const children = [...fake.nodes.keys()].filter((one) => parentOf(one) === path && one !== "/");
    const names = children.map((one) => one.slice(one.lastIndexOf("/") + 1));
    return { error: 0, body: { kind: "children", children: names, stat: emptyStat } };
  };
  const greet = (to: Client, bytes: Buffer): void => {
    const asked = decodeConnectRequest(bytes);
    if (fake.mode === "closes-greetings") {
      client = undefined;
      to.handler.onClose("the peer closed the connection");
      return;
    }
    if (fake.mode === "no-sessions") {
      send(to, encodeReply({ xid: 0, zxid: 0n, error: -119 }));
      return;
    }
    const expired = asked.sessionId !== 0n && !fake.sessions.has(asked.sessionId);
    const sessionId = expired ? 0n : asked.sessionId || ++sessionSeq;
    if (!expired) fake.sessions.add(sessionId);
    send(
      to,
      encodeConnectResponse({
        timeoutMs: expired ? 0 : asked.timeoutMs,
        sessionId,
        password: Buffer.alloc(16, 1),
        readOnly: fake.readOnly,
      }),
    );
    to.greeted = true;
  };
  const take = (to: Client, bytes: Buffer): void => {
    if (fake.mode === "mute") return;
    if (!to.greeted) {
      greet(to, bytes);
      return;
    }
    const { xid, request } = decodeRequest(bytes);
    requests.push(request);
    if (request.kind === "ping" && fake.hold) return;
    const { error, body } = answer(to, request);
    send(to, encodeReply({ xid, zxid, error }, body));
  };
  const fake: FakeZookeeper = {
    ...{ nodes: new Map([["/", ""]]), requests, sessions: new Set(), dialed, old: false, mode: "serves" },
    ...{ owners: new Map(), errors: new Map(), readOnly: false, delayMs: 0, hold: false },
    dial: (address, handler) => {
      dialed.push(address);
      const made: Client = { handler, watches: new Set(), recursive: undefined, greeted: false, held: [] };
      client = made;
      const read = frameReader(1 << 20);
      world.soon(() => {
        if (client !== made) return;
        if (fake.mode !== "refuses") {
          handler.onConnected();
          return;
        }
        client = undefined;
        handler.onClose("connect ECONNREFUSED");
      });
      const close = (): void => {
        if (client === made) client = undefined;
      };
      return { write: (bytes) => read(bytes).forEach((one) => void take(made, one)), close, finish: close };
    },
    put(path, data = "") {
      const known = fake.nodes.has(path);
      if (!known && parentOf(path) !== path && !fake.nodes.has(parentOf(path))) fake.put(parentOf(path));
      fake.nodes.set(path, data);
      zxid++;
      tell({ change: known ? "data" : "created", path });
      if (!known) tell({ change: "children", path: parentOf(path) });
    },
    delete(path) {
      for (const one of [...fake.nodes.keys()]) if (parentOf(one) === path && one !== path) fake.delete(one);
      if (!fake.nodes.delete(path)) return;
      zxid++;
      client?.watches.delete(`children ${path}`);
      tell({ change: "deleted", path });
      tell({ change: "children", path: parentOf(path) });
    },
    breakConnection() {
      const broken = client;
      client = undefined;
      broken?.handler.onClose("the peer closed the connection");
    },
    say: (bytes) => client && deliver(client, bytes),
    outstanding: () => client?.held.length ?? 0,
    release(count = Number.POSITIVE_INFINITY) {
      const to = client;
      if (!to) return;
      for (const bytes of to.held.splice(0, count)) world.soon(() => deliver(to, bytes));
    },
  };
  return fake;
};

/** Time that passes only when it is told to, and everything that waits for it. */
export interface VirtualWorld {
  readonly tools: SourceTools;
  readonly events: SourceEvent[];
  readonly random: () => number;
  soon(run: () => void): void;
  later(run: () => void, delayMs: number): void;
  /** Runs what is due now and within so long. */
  run(ms?: number): void;
}

export const createVirtualWorld = (seed: number): VirtualWorld => {
  const random = seededRandom(seed);
  const events: SourceEvent[] = [];
  let now = 0;
  let order = 0;
  let timers: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = [];
  const at = (run: () => void, delayMs: number): Disposable => {
    const timer = { atMs: now + delayMs, order: order++, run };
    timers.push(timer);
    return {
      [Symbol.dispose]: () => {
        timers = timers.filter((one) => one !== timer);
      },
    };
  };
  return {
    ...{ events, random },
    tools: {
      emit: (event) => void events.push(event),
      clock: { nowMs: () => now, wallMs: () => now },
      setTimer: at,
      random,
      log: silentLogger,
    },
    soon: (run) => void at(run, 0),
    later: (run, delayMs) => void at(run, delayMs),
    run(ms = 0) {
      const end = now + ms;
      for (;;) {
        const [next] = timers.filter(({ atMs }) => atMs <= end).sort((a, b) => a.atMs - b.atMs || a.order - b.order);
        if (!next) break;
        timers = timers.filter((one) => one !== next);
        now = Math.max(now, next.atMs);
        next.run();
      }
      now = end;
    },
  };
};
