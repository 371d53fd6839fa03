/** A process that holds thousands of sidecars and times how they go from one control plane to another. */
import { createSecureContext, type SecureContext } from "node:tls";
import type { Answer, Command, FailedOver, Opened, OpenSidecars } from "./messages.ts";
import { type BenchSidecar, startBenchSidecar } from "./sidecar.ts";

const openingAtOnce = 50;
const burstMs = 100;

const sidecars: BenchSidecar[] = [];
let tls: SecureContext | undefined;
/** Those whose stream is not answered whole. */
let behind = 0;
let settled: (() => void) | undefined;
let lostAtMs: number | undefined;
let syncedMs: number[] = [];
let resources = 0;
let connections = 0;

const onLost = (isSynced: boolean): void => {
  lostAtMs ??= performance.now();
  if (isSynced) behind++;
};

const openOne = (index: number, command: OpenSidecars): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isSynced = false;
  behind++;
  sidecars.push(
    startBenchSidecar({
      index,
      addresses: command.addresses,
      names: namesOf(index, command),
      tls,
      onConnect: () => connections++,
      onLost: () => {
        onLost(isSynced);
        isSynced = false;
      },
      onSync: (count) => {
        isSynced = true;
        behind--;
        resources += count;
        if (lostAtMs !== undefined) syncedMs.push(performance.now() - lostAtMs);
        if (behind === 0) settled?.();
        resolve();
      },
    }),
  );
  return promise;
};

const namesOf = (index: number, { names, each }: OpenSidecars): readonly string[] => {
  const first = (index * 37) % names.length;
  return Array.from({ length: each }, (_, i) => names[(first + i * 13) % names.length] ?? "");
};

/** A replica in service has sidecars of every kind, so what they are told is made already. */
const warm = (address: string, command: OpenSidecars): Promise<void> =>
  new Promise((resolve) => {
    const nothing = (): void => {};
    const told = { onSync: () => resolve(), onLost: nothing, onConnect: nothing };
    startBenchSidecar({ index: command.sidecars, addresses: [address], names: namesOf(0, command), tls, ...told });
  });

const allBytes = (): number => sidecars.reduce((sum, one) => sum + one.bytes(), 0);
const handshakes = (): number => sidecars.reduce((sum, one) => sum + one.handshakeBytes(), 0);

const open = async (command: OpenSidecars): Promise<Opened> => {
  tls = command.tls && createSecureContext(command.tls);
  await Promise.all(command.addresses.map((address) => warm(address, command)));
  const startedMs = performance.now();
  let next = 0;
  const some = async (): Promise<void> => {
    while (next < command.sidecars) await openOne(next++, command);
  };
  await Promise.all(Array.from({ length: openingAtOnce }, some));
  return { tookMs: performance.now() - startedMs, bytes: allBytes() };
};

const failover = async (): Promise<FailedOver> => {
  lostAtMs = undefined;
  syncedMs = [];
  resources = 0;
  connections = 0;
  process.send?.({ watching: true });
  await new Promise<void>((resolve) => {
    settled = () => {
      if (syncedMs.length >= sidecars.length) resolve();
    };
  });
  settled = undefined;
  const inSyncMs = syncedMs.sort((a, b) => a - b);
  const bursts = Map.groupBy(inSyncMs, (ms) => Math.floor(ms / burstMs));
  const burst = Math.max(...[...bursts.values()].map(({ length }) => length));
  return { inSyncMs, bytes: allBytes(), handshakeBytes: handshakes(), resources, connections, burst };
};

process.on("message", (command: Command) => {
  const work: Promise<Answer> =
    command.kind === "open"
      ? open(command).then((opened) => ({ opened }))
      : failover().then((failedOver) => ({ failedOver }));
  work.then(
    (answer) => process.send?.(answer),
    (error: Error) => process.send?.({ failed: error.message }),
  );
});
process.on("disconnect", () => process.exit(0));
