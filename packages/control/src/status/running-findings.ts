/** What is wrong with configuration that only shows on the proxies that are connected. */
import { objectsOfKind } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import { refusedPatches, unmatchedPatches } from "../generate/envoy-filter/envoy-filters.ts";
import type { MeshModel } from "../model/mesh-model.ts";
import type { Publisher } from "../push/publisher.ts";
import type { EmbeddedView } from "../registries/embedded/embedded-view.ts";
import type { OutsideRegistries } from "../registries/outside/outside-registries.ts";
import { heldMessage, registryFinding } from "../registries/outside/source-findings.ts";
import { embeddedSource } from "../registries/outside/source-metrics.ts";
import type { WriteBacks } from "../registries/outside/write-backs.ts";
import type { ConfigStore } from "../store/config-store.ts";

/**
 * What generation could not give as written, what outside registries do, what sources of a service differ in, and patches of
 * EnvoyFilters that change nothing anywhere.
 */
export const runningFindings = ({
  publisher,
  store,
  outside,
  embedded,
  writeBacks,
  model,
}: {
  readonly publisher: Pick<Publisher, "notes" | "matchedPatches">;
  readonly store: Pick<ConfigStore, "list">;
  readonly outside: Pick<OutsideRegistries, "findings">;
  readonly embedded: Pick<EmbeddedView, "held">;
  readonly writeBacks: Pick<WriteBacks, "findings">;
  readonly model: Pick<MeshModel, "findings">;
}): readonly Finding[] => {
  const notes = publisher.notes();
  const envoyFilters = objectsOfKind(store.list(), "EnvoyFilter");
  const found = [
    ...notes,
    ...outside.findings(),
    ...heldFindings(embedded.held()),
    ...writeBacks.findings(),
    ...model.findings(),
  ];
  if (envoyFilters.length === 0) return found;
  const seen = { ...publisher.matchedPatches(), refused: refusedPatches(notes) };
  return [...found, ...unmatchedPatches(envoyFilters, seen)];
};

/** Of weft's own registry; the outside ones have theirs. */
const heldFindings = (held: number): readonly Finding[] =>
  held === 0 ? [] : [registryFinding(embeddedSource, "WF2111", heldMessage("expired", held))];
