/** Follows all services of a server until it fails: their names now and then, their instances by pushes or by asking. */
import type { SourceTools } from "../outside/source-events.ts";
import { isOver, type NacosCalls, NacosRefusal, pageNames } from "./nacos-calls.ts";
import type { NacosService } from "./nacos-record.ts";
import { type NacosServices, nacosLimits, serviceKey } from "./nacos-services.ts";

/** How often all names are read, and with pushes a few services are asked for, lest a push was lost. */
export const resyncMs = 30_000;
/** How often it is asked how many services there are, which is one small answer, and keeps a connection in use. */
export const countMs = 2_000;
/** With pushes: services that are asked for at each resync. */
export const verifiedServices = 50;
/** Without pushes: how often each service is asked for, and how much longer it takes for each of them. */
export const pollMs = 5_000;
export const pollPerServiceMs = 10;
export const askedAtOnceMax = 32;
/** So many services that lose their last instance within this time, and are more than half of all, are no matter of theirs. */
export const emptiedAtOnceMin = 3;
export const emptiedWindowMs = 30_000;
const listTries = 3;
/** So many services that are not answered for, one after the other, are no matter of these services. */
const failedInRowMax = 3;

export interface FollowOptions {
  readonly calls: NacosCalls;
  readonly services: NacosServices;
  readonly groups: readonly string[];
  /** Whether changes come by themselves. */
  readonly pushes: boolean;
  readonly tools: SourceTools;
  /** The first list is through. */
  readonly worked: () => void;
  readonly pause: (ms: number) => Promise<void>;
}

/** Rejects when the server fails; nothing else ends it, but its pauses need not end. */
export const followNacos = async (options: FollowOptions): Promise<never> => {
  const { services, tools, pushes, worked, pause } = options;
  const follower = createFollower(options);
  const { calls } = options;
  /** As after a new connection: what lacks then only seems to be gone. */
  const readAll = async (): Promise<number> => {
    services.begin();
    const first = await follower.list();
    tools.emit({ kind: "connected" });
    services.complete(await follower.take(first));
    calls.restarted?.();
    return tools.clock.nowMs();
  };
  let listedMs = await readAll();
  worked();
  for (;;) {
    await pause(countMs);
    if (pushes) await follower.confirmEmptied();
    const changed = await follower.countChanged();
    const everyMs = pushes ? resyncMs : pollMs + pollPerServiceMs * services.count();
    const due = tools.clock.nowMs() - listedMs >= everyMs;
    const names = due || changed ? await follower.list() : undefined;
    if (calls.restarted?.()) {
      listedMs = await readAll();
      continue;
    }
    if (!names) continue;
    await follower.take(names);
    if (due) {
      await follower.verify(pushes ? verifiedServices : services.count());
      listedMs = tools.clock.nowMs();
    }
  }
};

interface Follower {
  /** All names. */
  list(): Promise<readonly NacosService[]>;
  countChanged(): Promise<boolean>;
  /** Follows what is new, leaves what is gone; gives those that were refused, by key. */
  take(names: readonly NacosService[]): Promise<ReadonlySet<string>>;
  verify(count: number): Promise<void>;
  /**
   * Asks once more for services that were told to have nothing left. Only on a connection that pushes, as that does not
   * outlive a server that starts anew and has forgotten.
   */
  confirmEmptied(): Promise<void>;
}

const createFollower = ({ calls, services, groups, tools: { clock } }: FollowOptions): Follower => {
  /** How many there were by the last list, of each group. */
  const counts = new Map<string, number>();
  let refused = new Set<string>();
  /** When services lost their last instance. */
  let emptiedMs: readonly number[] = [];

  const listGroup = async (group: string): Promise<readonly NacosService[]> => {
    const found = new Map<string, NacosService>();
    for (let attempt = 0; attempt < listTries; attempt++) {
      let count = 0;
      for (let page = 1; ; page++) {
        const answer = await calls.names(group, page, pageNames);
        count = answer.count;
        for (const { service } of answer.names) found.set(service, { group, service });
        if (answer.names.length === 0 || page * pageNames >= Math.min(count, nacosLimits.servicesMax)) break;
      }
      counts.set(group, count);
      // Names that come or go between two pages shift the others.
      if (found.size >= count || found.size > nacosLimits.servicesMax) break;
    }
    return [...found.values()];
  };
  const askAll = async (
    wanted: readonly NacosService[],
    ask: (service: NacosService) => Promise<void>,
  ): Promise<void> => {
    let next = 0;
    let failedInRow = 0;
    const one = async (): Promise<void> => {
      for (let service = wanted[next++]; service; service = wanted[next++]) {
        try {
          await ask(service);
          failedInRow = 0;
        } catch (error) {
          if (!(error instanceof NacosRefusal)) failedInRow++;
          if (isOver(error) || failedInRow >= failedInRowMax) throw error;
          refused.add(serviceKey(service));
          services.refused(service, (error as Error).message);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(askedAtOnceMax, wanted.length) }, one));
  };
  const followAll = (wanted: readonly NacosService[]): Promise<void> =>
    askAll(wanted, async (service) => {
      const heard = services.heard(service);
      const hosts = await calls.follow(service);
      // A push that came meanwhile is newer.
      if (services.heard(service) === heard) services.told(service, hosts);
    });
  /** As they are now, whatever is known of them. */
  const queryAll = async (wanted: readonly NacosService[], then: (service: NacosService) => void): Promise<void> => {
    const before = refused;
    await askAll(wanted, async (service) => {
      const heard = services.heard(service);
      const hosts = await calls.query(service);
      // A push that came meanwhile is newer.
      if (services.heard(service) !== heard) return;
      services.told(service, hosts);
      then(service);
    });
    refused = before;
  };
  return {
    async list() {
      const found: NacosService[] = [];
      for (const group of groups) found.push(...(await listGroup(group)));
      return found;
    },
    async countChanged() {
      for (const group of groups) {
        const { count } = await calls.names(group, 1, 1);
        if (count !== counts.get(group)) return true;
      }
      return false;
    },
    async take(names) {
      const { come, gone } = services.named(names);
      refused = new Set();
      await followAll(come);
      await askAll(gone, (service) => calls.leave(service));
      for (const service of gone) refused.delete(serviceKey(service));
      return refused;
    },
    async verify(count) {
      await queryAll(services.stalest(count), () => {});
    },
    async confirmEmptied() {
      const emptied = services.takeEmptied();
      if (emptied.length === 0) return;
      const nowMs = clock.nowMs();
      emptiedMs = [...emptiedMs.filter((ms) => nowMs - ms < emptiedWindowMs), ...emptied.map(() => nowMs)];
      const atOnce = emptiedMs.length;
      if (atOnce >= emptiedAtOnceMin && atOnce > services.filled()) return;
      await queryAll(emptied, services.confirmEmpty);
    },
  };
};
