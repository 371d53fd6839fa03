/** A worker's side: a data plane on its own thread that does as the main thread says. */
import type { SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import type { Clock, Random, SetTimer } from "@weft/core/world";
import type { LineLogger } from "@weft/net/logger";
import { listenTcp, type OpenListener, type TcpListener } from "@weft/net/tcp/accept";
import { closeDescriptors, holdTcp } from "@weft/net/tcp/hold";
import type { FoundAddress, ResolveName } from "../dns/resolve-name.ts";
import { createStats, type SharedSeries, type StatsStore } from "../observe/create-stats.ts";
import { createDataPlane } from "../runtime/create-data-plane.ts";
import type { ListenerState, PreparedBatch, ResourceChange, SteppedDataPlane } from "../runtime/data-plane.ts";
import { createOpenSockets } from "../takeover/open-sockets.ts";
import { createConnectionGauges } from "./connection-gauges.ts";
import type { Claim, ErrorText, FromWorker, ToWorker, WorkerStart } from "./protocol.ts";
import { openSharedBuckets } from "./shared-buckets.ts";
import { openSharedCounts } from "./shared-counts.ts";
import { createWorkerDemands } from "./worker-demands.ts";

export interface WorkerWorld {
  readonly post: (message: FromWorker) => void;
  readonly log: LineLogger;
  readonly clock: Clock;
  readonly random: Random;
  readonly setTimer: SetTimer;
  /** Runs a function when the requests that wait have been looked at. */
  readonly afterTurn: (callback: () => void) => void;
}

/** Compiling goes on for so long before requests are looked at again. */
const sliceMs = 4;
/** How often changed states of listeners are told. */
const tellMs = 500;

/** Questions to the main thread that wait for their answers. */
class Questions<T> {
  private readonly waiting = new Map<number, PromiseWithResolvers<T>>();
  private last = 0;

  ask(send: (id: number) => void): Promise<T> {
    const id = ++this.last;
    const answer = Promise.withResolvers<T>();
    this.waiting.set(id, answer);
    send(id);
    return answer.promise;
  }
  take(id: number): PromiseWithResolvers<T> | undefined {
    const answer = this.waiting.get(id);
    this.waiting.delete(id);
    return answer;
  }
}

/** Gathers the series made in one turn into one message. */
const createSeriesTeller = ({ post, afterTurn }: WorkerWorld): ((series: SharedSeries) => void) => {
  let batch: SharedSeries[] = [];
  return (series) => {
    batch.push(series);
    if (batch.length > 1) return;
    afterTurn(() => {
      const told = batch;
      batch = [];
      post({ kind: "series", series: told });
    });
  };
};

const toError = ({ code, message, next }: ErrorText): WeftError =>
  new WeftError(code, message, next === undefined ? {} : { next });

interface Grant {
  readonly address: SocketAddress;
  readonly descriptors: readonly number[];
}

/** Listens where the main thread says, beside the other workers. */
const claimedListen =
  ({ post, log }: WorkerWorld, claims: Questions<Grant>, accepting: Promise<void>): OpenListener =>
  (options, onConnection) => {
    const { address, ipv6Only = false, name = "" } = options;
    const claim: Claim = { listener: name, address: { host: address.host, port: address.port }, ipv6Only };
    let open: TcpListener | undefined;
    let closed = false;
    const granted = claims.ask((id) => post({ kind: "claim", id, claim }));
    return {
      bound: granted.then((grant) => {
        const { descriptors } = grant;
        if (closed) {
          closeDescriptors(descriptors);
          throw new WeftError("WF5004", "the listener was closed before it was bound");
        }
        const at = { ...options, address: grant.address };
        const onError = (error: Error): void => log.error("cannot accept", { code: "WF5004", detail: error.message });
        open =
          descriptors.length > 0
            ? holdTcp(at, { descriptors, accepting, onError }, onConnection)
            : listenTcp({ ...at, reusePort: true }, onConnection);
        return open.bound;
      }),
      close: () => {
        if (closed) return;
        closed = true;
        open?.close();
        post({ kind: "release", claim });
      },
      get descriptors() {
        return open?.descriptors ?? [];
      },
    };
  };

export interface ServingWorker {
  readonly stats: StatsStore;
  handle(message: ToWorker): void;
}

/** Starts a data plane with nothing configured and says `ready`. */
export const serveWorker = (start: WorkerStart, world: WorkerWorld): ServingWorker => {
  const { post, log } = world;
  const stats = createStats(createSeriesTeller(world));
  const names = new Questions<readonly FoundAddress[]>();
  const claims = new Questions<Grant>();
  const accepting = Promise.withResolvers<void>();
  if (start.accepting) accepting.resolve();
  const open = createOpenSockets(claimedListen(world, claims, accepting.promise));
  const resolve: ResolveName = (question) => names.ask((id) => post({ kind: "resolve", id, question }));
  const onFull = (what: string): void =>
    log.warn("no room to share counts: each worker counts its own", { code: "WF5024", what });
  const demands = createWorkerDemands({ post, stats, setTimer: world.setTimer });
  const plane = createDataPlane({
    node: start.node,
    overload: start.overload,
    stats,
    log,
    clock: world.clock,
    random: world.random,
    setTimer: world.setTimer,
    resolve,
    onDemand: demands.onDemand,
    judged: true,
    listen: open.listen,
    counts: openSharedCounts(start.counts, start.lane, onFull).counts,
    sharedBuckets: openSharedBuckets(start.buckets, start.lane, { onFull: () => onFull("rate limits") }).of,
    retryMemory: start.retries,
    connectionGauge: createConnectionGauges(start.connections, start.lane),
  });
  const batches = createBatches(plane, world);
  const tell = createListenerTeller(plane, world);
  post({ kind: "ready" });
  const handle = (message: ToWorker): void => {
    switch (message.kind) {
      case "prepare":
        batches.prepare(message.batch, message.text);
        return;
      case "commit":
        batches.commit(message.batch, message.except, tell);
        return;
      case "granted":
        claims.take(message.id)?.resolve(message);
        return;
      case "refused":
        claims.take(message.id)?.reject(toError(message.error));
        return;
      case "unresolved":
        names.take(message.id)?.reject(new Error(message.reason));
        return;
      case "resolved":
        names.take(message.id)?.resolve(message.addresses);
        return;
      case "demanded":
        demands.answer(message.id, message.outcome);
        return;
      case "level":
        log.setLevel(message.scope, message.level);
        return;
      case "accept":
        accepting.resolve();
        return;
      case "listSockets":
        post({ kind: "sockets", sockets: open.duplicates() });
        return;
      case "reopenLogs":
        plane.reopenLogs();
        return;
      case "discourage":
        plane.discourage(message.why);
        return;
      case "drain":
        void plane.drain(message.timeoutMs, message.scope).then(() => post({ kind: "drained", id: message.id }));
        tell();
        return;
      case "close":
        void plane.close().then(() => post({ kind: "closed" }));
        return;
      default:
        message satisfies never;
    }
  };
  return { stats, handle };
};

/** Compiles a batch in slices, then holds it until it is to take effect. */
const createBatches = (plane: SteppedDataPlane, { post, clock, afterTurn, log }: WorkerWorld) => {
  const prepared = new Map<number, PreparedBatch>();
  const prepare = (batch: number, text: string): void => {
    const work = plane.prepare(JSON.parse(text) as ResourceChange[]);
    const slice = (): void => {
      const until = clock.nowMs() + sliceMs;
      for (;;) {
        const step = work.next();
        if (step.done) {
          prepared.set(batch, step.value);
          post({ kind: "prepared", batch, rejections: step.value.rejections });
          return;
        }
        if (clock.nowMs() >= until) break;
      }
      afterTurn(slice);
    };
    slice();
  };
  const commit = (batch: number, except: readonly string[], tell: () => void): void => {
    prepared.get(batch)?.commit(new Set(except));
    prepared.delete(batch);
    log.debug("batch in force", { batch });
    post({ kind: "committed", batch });
    void plane.settled().then(() => {
      tell();
      post({ kind: "settled", batch });
    });
  };
  return { prepare, commit };
};

/** Tells the states of listeners when they have changed, at once when asked and now and then besides. */
const createListenerTeller = (plane: SteppedDataPlane, { post, setTimer }: WorkerWorld): (() => void) => {
  let told = "";
  const tell = (): void => {
    // Connections are counted in shared memory.
    const states = plane.listeners().map((state): ListenerState => ({ ...state, connections: 0 }));
    const text = JSON.stringify(states);
    if (text === told) return;
    told = text;
    post({ kind: "listeners", states });
  };
  const again = (): void => {
    tell();
    setTimer(again, tellMs);
  };
  setTimer(again, tellMs);
  return tell;
};
