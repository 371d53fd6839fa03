/** The registries that weft's own registry is written into, as `--register-into` names them. */
import type { Finding } from "@weft/config/finding";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { Metrics, Sample } from "../../metrics/metrics.ts";
import { instanceKey } from "../embedded/instance-table.ts";
import type { RegistryBook } from "../embedded/registry.ts";
import type { NamedTarget } from "./named-targets.ts";
import { registryFinding, shownFindings } from "./source-findings.ts";
import { openWriteBack, type WriteBackStatus } from "./write-back.ts";
import { writtenInstances } from "./written-instances.ts";

export interface NamedWriteStatus extends WriteBackStatus {
  readonly name: string;
  readonly url: string;
}

export interface WriteBacks extends Disposable {
  statuses(): readonly NamedWriteStatus[];
  findings(): readonly Finding[];
}

export interface WriteBacksOptions {
  readonly targets: readonly NamedTarget[];
  readonly registry: Pick<RegistryBook, "watch">;
  /** What the records are marked with. */
  readonly mesh: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

export const openWriteBacks = (options: WriteBacksOptions): WriteBacks => {
  const { targets, registry, mesh } = options;
  using opened = new DisposableStack();
  const writers = targets.map(({ name, url, namespaces, open }) => {
    const writer = opened.use(openWriteBack({ ...options, name, open }));
    const keys = new Map<string, readonly string[]>();
    opened.use(
      registry.watch({}, ({ type, object }) => {
        if (namespaces.length > 0 && !namespaces.includes(object.namespace)) return;
        const records = type === "DELETED" ? [] : writtenInstances(object, mesh);
        const now = records.map(({ key }) => key);
        for (const key of keys.get(instanceKey(object)) ?? []) if (!now.includes(key)) writer.remove(key);
        if (now.length > 0) keys.set(instanceKey(object), now);
        else keys.delete(instanceKey(object));
        for (const record of records) writer.put(record);
      }),
    );
    return { name, url, writer };
  });
  const kept = opened.move();
  const statuses = (): readonly NamedWriteStatus[] =>
    writers.map(({ name, url, writer }) => ({ ...writer.status(), name, url }));
  return {
    statuses,
    findings: () => statuses().flatMap(writeFindings),
    [Symbol.dispose]: () => kept.dispose(),
  };
};

const writeFindings = ({ name, state, reason, refused, left }: NamedWriteStatus): readonly Finding[] => [
  ...(state === "lost" ? [registryFinding(name, "WF2120", `cannot be written to (${reason})`)] : []),
  ...shownFindings(
    name,
    "WF2121",
    [...refused].map(([key, problem]) => `does not take ${key}: ${problem}`),
  ),
  ...(left > 0 ? [registryFinding(name, "WF2122", `${left} records are over what is written into one registry`)] : []),
];

export const collectWriteMetrics = (metrics: Metrics, writeBacks: Pick<WriteBacks, "statuses">): void => {
  const each = (value: (status: NamedWriteStatus) => number) => (): readonly Sample[] =>
    writeBacks.statuses().map((status) => ({ labels: { target: status.name }, value: value(status) }));
  metrics.collect(
    "weft_registry_write_connected",
    "gauge",
    "1 while a registry that is written to takes what is written.",
    each(({ state }) => (state === "live" ? 1 : 0)),
  );
  metrics.collect(
    "weft_registry_write_wanted",
    "gauge",
    "Records that are to stand in a registry that is written to.",
    each(({ wanted }) => wanted),
  );
  metrics.collect(
    "weft_registry_write_written",
    "gauge",
    "Records that stand in a registry that is written to.",
    each(({ written }) => written),
  );
  metrics.collect("weft_registry_writes_total", "counter", "What was done in registries that are written to.", () =>
    writeBacks
      .statuses()
      .flatMap(({ name, events }) =>
        [...events].map(([kind, value]): Sample => ({ labels: { target: name, kind }, value })),
      ),
  );
};
