/** Replicas with a store that they share and the embedded registry over it; time and store are in the test's hands. */
import { silentLogger } from "@weft/core/world";
import { openReplica } from "../../../store/shared/replica.ts";
import { createManualTime } from "../../../store/shared/testing/manual-time.ts";
import { createMemoryShared } from "../../../store/shared/testing/memory-shared-store.ts";
import { openSharedExpiry } from "../shared-expiry.ts";
import { createSharedRegistry } from "../shared-registry.ts";

export const openSharedWorld = () => {
  const time = createManualTime();
  const shared = createMemoryShared();
  const open = (id: string) => {
    const store = shared.open();
    const { clock, setTimer } = time;
    const replica = openReplica({ store, id, clock, setTimer, log: silentLogger });
    const registry = createSharedRegistry({ store, clock });
    const expiry = openSharedExpiry({ store, replica, registry, clock, setTimer, log: silentLogger });
    /** It is gone with no word; its lease ends as time has it. */
    const die = (): void => {
      const lease = shared.records.get(`replicas/${id}`)?.lease ?? "";
      expiry[Symbol.dispose]();
      registry[Symbol.dispose]();
      // Its timers must not renew any more.
      store.cut();
      shared.expire(lease);
    };
    return { store, replica, registry, die };
  };
  /** Ends the lease of an instance, called `SERVICE/ID`. */
  const expire = (instance: string): void =>
    shared.expire(shared.records.get(`alive/default/${instance}`)?.lease ?? "none");
  return { time, shared, open, expire };
};
