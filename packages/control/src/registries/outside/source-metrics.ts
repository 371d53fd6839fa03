/** Metrics of registries, by source. */
import type { Metrics, Sample } from "../../metrics/metrics.ts";
import type { NamedStatus, OutsideRegistries } from "./outside-registries.ts";

/** weft's own registry, as its services name it. */
export const embeddedSource = "Registry";

export const collectSourceMetrics = (
  metrics: Metrics,
  outside: Pick<OutsideRegistries, "statuses">,
  embedded: { readonly instances: () => number; readonly held: () => number },
): void => {
  const each = (value: (status: NamedStatus) => number) => (): readonly Sample[] =>
    outside.statuses().map((status) => ({ labels: { source: status.name }, value: value(status) }));
  metrics.collect("weft_registry_instances", "gauge", "Instances in force, by source.", () => [
    { labels: { source: embeddedSource }, value: embedded.instances() },
    ...each(({ instances }) => instances)(),
  ]);
  metrics.collect(
    "weft_registry_connected",
    "gauge",
    "1 while an outside registry's list is read and its changes come.",
    each(({ state }) => (state === "live" ? 1 : 0)),
  );
  metrics.collect(
    "weft_registry_age_seconds",
    "gauge",
    "How old the view of an outside registry is; 0 while it is connected.",
    each(({ ageMs }) => ageMs / 1_000),
  );
  metrics.collect("weft_registry_held", "gauge", "Instances that seem gone and are kept as a last resort.", () => [
    { labels: { source: embeddedSource }, value: embedded.held() },
    ...each(({ held }) => [...held.values()].reduce((sum, count) => sum + count, 0))(),
  ]);
  metrics.collect(
    "weft_registry_left_out",
    "gauge",
    "What an outside registry has over the bounds, and is not used.",
    each(leftOutOf),
  );
  metrics.collect("weft_registry_events_total", "counter", "What outside registries told, by kind.", () =>
    outside
      .statuses()
      .flatMap(({ name, events }) =>
        [...events].map(([kind, value]): Sample => ({ labels: { source: name, kind }, value })),
      ),
  );
};

/** All that is left out of a source, wherever that was. */
export const leftOutOf = ({ leftOut, refused }: Pick<NamedStatus, "leftOut" | "refused">): number =>
  [...leftOut.values()].reduce((sum, { count }) => sum + count, refused);
