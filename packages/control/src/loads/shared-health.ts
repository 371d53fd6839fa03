/**
 * Reported health that all replicas agree on: what each replica's proxies found is in the shared store, and what counts
 * as failed follows from the records there and nothing else. Only ports of which somebody finds an endpoint failed have
 * records; then every replica says what its proxies found, so that those who find nothing are counted too.
 */
import type { Logger, SetTimer } from "@weft/core/world";
import type { MeshModel } from "../model/mesh-model.ts";
import type { ReportedHealth } from "../model/service.ts";
import { type Replica, replicaGroup } from "../store/shared/replica.ts";
import type { SharedRecord } from "../store/shared/shared-mirror.ts";
import { recordsPerWriteMax, type SharedPut, type SharedStore } from "../store/shared/shared-store.ts";
import {
  formatOpinions,
  healthGroup,
  healthRecordKey,
  nobodysOpinion,
  parseHealthRecordKey,
  parseOpinions,
} from "./health-record.ts";
import {
  type CheckedPorts,
  isFailed,
  type PortOpinions,
  reportedHealthLimits,
  type SeenEndpoint,
  withoutSpared,
} from "./reported-health.ts";

export interface SharedHealthOptions {
  readonly store: SharedStore;
  readonly replica: Pick<Replica, "id" | "all" | "lease">;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

export interface SharedHealth extends Disposable {
  /** What counts as failed, given what the proxies of this replica found; that is written where it is of use. */
  judge(own: CheckedPorts, model: Pick<MeshModel, "endpoints">): readonly ReportedHealth[];
  /**
   * What the proxies of all replicas found of a service's endpoints, by `endpointId`: of those of ports where one fails for
   * somebody, as nothing is shared of others.
   */
  heard(service: string): ReadonlyMap<string, HeardEndpoint>;
  /** Calls when other replicas say something else than before. */
  follow(tell: () => void): Disposable;
  /** There are findings that may go stale. */
  isBusy(): boolean;
}

export type HeardEndpoint = Pick<SeenEndpoint, "checking" | "failing">;

export const sharedHealthLimits = {
  /** Ports of services that one replica writes of, and all they take together. */
  portsMax: 500,
  bytesMax: 2 * 1024 * 1024,
  /** One write at most in so long. */
  writeMs: 1_000,
  /** Of one write: etcd takes requests of 1.5 MiB. */
  writeBytesMax: 512 * 1024,
} as const;

/** A record that cannot be written now is tried again after so long. */
const retryMs = 2_000;

interface Told {
  readonly replica: string;
  readonly revision: number;
  readonly opinions: PortOpinions;
}

export const createSharedHealth = ({ store, replica, setTimer, log }: SharedHealthOptions): SharedHealth => {
  const read = new WeakMap<SharedRecord, PortOpinions>();
  let wanted: ReadonlyMap<string, string> = new Map();
  /** What was found of a port last, for as long as not every replica has said what it thinks. */
  let before: ReadonlyMap<string, ReadonlySet<string>> = new Map();
  let timer: Disposable | undefined;
  let disposed = false;

  const opinionsIn = (record: SharedRecord): PortOpinions => {
    const known = read.get(record) ?? parseOpinions(record.value) ?? nobodysOpinion;
    read.set(record, known);
    return known;
  };
  /** By port; what this replica itself says is as it is written. */
  const told = (): Map<string, Told[]> => {
    const { connected, ageMs } = store.status();
    const isStale = !connected && ageMs > reportedHealthLimits.reportLifeMs;
    const ports = new Map<string, Told[]>();
    for (const record of store.group(healthGroup).values()) {
      const name = parseHealthRecordKey(record.key);
      if (!name || (isStale && name.replica !== replica.id)) continue;
      const port = portKey(name);
      const of = ports.get(port) ?? [];
      of.push({ replica: name.replica, revision: record.revision, opinions: opinionsIn(record) });
      ports.set(port, of);
    }
    return ports;
  };

  const wish = (own: CheckedPorts, ports: ReadonlyMap<string, readonly Told[]>): ReadonlyMap<string, string> => {
    const failing = new Set<string>();
    for (const [port, all] of ports)
      if (all.some((one) => one.replica !== replica.id && one.opinions.failing.size > 0)) failing.add(port);
    for (const [service, found] of own)
      for (const [port, { failing: of }] of found) if (of.size > 0) failing.add(portKey({ service, port }));
    const { portsMax, bytesMax } = sharedHealthLimits;
    const records = new Map<string, string>();
    let bytes = 0;
    for (const name of [...failing].sort().slice(0, portsMax).map(portIn)) {
      const key = healthRecordKey({ replica: replica.id, ...name });
      const value = formatOpinions(own.get(name.service)?.get(name.port) ?? nobodysOpinion);
      bytes += key.length + value.length;
      if (bytes > bytesMax) break;
      records.set(key, value);
    }
    return records;
  };

  const write = async (): Promise<void> => {
    const lease = replica.lease();
    const { writeBytesMax } = sharedHealthLimits;
    const mine = `${healthGroup}/${replica.id}/`;
    const deletes = [...store.group(healthGroup).keys()]
      .filter((key) => key.startsWith(mine) && !wanted.has(key))
      .slice(0, recordsPerWriteMax);
    const puts: SharedPut[] = [];
    let bytes = 0;
    for (const [key, value] of lease === undefined ? [] : wanted) {
      if (store.get(key)?.value === value) continue;
      bytes += key.length + value.length;
      if (bytes > writeBytesMax || puts.length + deletes.length >= recordsPerWriteMax) break;
      puts.push({ key, value, lease });
    }
    if (puts.length + deletes.length === 0) return;
    const outcome = await store.write({ seen: [], puts, deletes });
    if (outcome.kind === "conflict") throw new Error("this replica's lease is over");
  };
  const isWritten = (): boolean => {
    const mine = `${healthGroup}/${replica.id}/`;
    const there = [...store.group(healthGroup).keys()].filter((key) => key.startsWith(mine));
    return (
      there.every((key) => wanted.has(key)) && [...wanted].every(([key, value]) => store.get(key)?.value === value)
    );
  };
  const writeSoon = (delayMs: number): void => {
    if (disposed || isWritten()) return;
    timer ??= setTimer(() => {
      write().then(
        () => {
          timer = setTimer(next, sharedHealthLimits.writeMs);
        },
        (error: unknown) => {
          log.debug("what proxies find cannot be shared now", { error: String(error) });
          timer = setTimer(next, retryMs);
        },
      );
    }, delayMs);
  };
  const next = (): void => {
    timer = undefined;
    writeSoon(0);
  };

  return {
    judge(own, model) {
      const ports = told();
      wanted = wish(own, ports);
      writeSoon(0);
      const isAlone = !store.status().connected;
      if (isAlone) standIn(ports, wanted, replica.id);
      const there = replica.all();
      const now = new Map<string, ReadonlySet<string>>();
      for (const [port, all] of ports) {
        if (!all.some(({ opinions }) => opinions.failing.size > 0)) continue;
        const isWhole = isAlone || there.every((id) => all.some((one) => one.replica === id));
        const found = isWhole ? failedOf(all) : (before.get(port) ?? new Set());
        now.set(port, found);
      }
      before = now;
      const services = Map.groupBy(now, ([port]) => portIn(port).service);
      return [...services].flatMap(([service, found]) => {
        const failed = new Set(found.flatMap(([, ids]) => [...ids]));
        return withoutSpared(service, failed, model);
      });
    },
    heard(service) {
      const ports = told();
      const found = new Map<string, HeardEndpoint>();
      for (const [port, all] of ports) {
        if (portIn(port).service !== service) continue;
        const { checking, failing } = voicesOf(all);
        for (const [id, count] of failing) found.set(id, { checking, failing: count });
      }
      return found;
    },
    follow(tell) {
      const following = new DisposableStack();
      following.use(store.follow(healthGroup, tell));
      // Who has come has to say what it thinks of what is asked already.
      const told = () => store.group(healthGroup).size > 0;
      following.use(store.follow(replicaGroup, () => told() && tell()));
      return following;
    },
    isBusy: () => wanted.size > 0 || before.size > 0,
    [Symbol.dispose]: () => {
      disposed = true;
      timer?.[Symbol.dispose]();
    },
  };
};

const portKey = ({ service, port }: { readonly service: string; readonly port: number }): string =>
  `${port}/${service}`;
const portIn = (key: string): { readonly service: string; readonly port: number } => {
  const at = key.indexOf("/");
  return { port: Number(key.slice(0, at)), service: key.slice(at + 1) };
};

/** While the store is away, what this replica finds counts without being written. */
const standIn = (ports: Map<string, Told[]>, wanted: ReadonlyMap<string, string>, id: string): void => {
  for (const [port, all] of ports)
    ports.set(
      port,
      all.filter((one) => one.replica !== id),
    );
  for (const [key, value] of wanted) {
    const name = parseHealthRecordKey(key);
    const opinions = parseOpinions(value);
    if (!name || !opinions) continue;
    const others = ports.get(portKey(name)) ?? [];
    ports.set(portKey(name), [...others, { replica: id, revision: Number.MAX_SAFE_INTEGER, opinions }]);
  }
};

/** One voice counts once, as its last replica has it: a proxy that went over is still with the one that died. */
const voicesOf = (
  all: readonly Told[],
): { readonly checking: number; readonly failing: ReadonlyMap<string, number> } => {
  const heard = new Map<string, PortOpinions>();
  for (const { opinions } of all.toSorted((a, b) => a.revision - b.revision))
    for (const voice of opinions.voices) heard.set(voice, opinions);
  const failing = new Map<string, number>();
  for (const [voice, { failing: of }] of heard)
    for (const [id, by] of of) if (by.has(voice)) failing.set(id, (failing.get(id) ?? 0) + 1);
  return { checking: heard.size, failing };
};

const failedOf = (all: readonly Told[]): ReadonlySet<string> => {
  const { checking, failing } = voicesOf(all);
  return new Set([...failing].flatMap(([id, count]) => (isFailed({ checking, failing: count }) ? [id] : [])));
};
