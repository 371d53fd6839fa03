/** Which of a cluster's namespaces are read: those that `discoverySelectors` of the MeshConfig select, else all. */
import type { Collection, Fetch, Graph, Index, Keyed } from "@weft/core/collection";
import { byKind, type ConfigItem, ofKind } from "../../model/config-item.ts";
import { meshConfigOf } from "../../model/mesh-config.ts";
import type { NamespaceFacts } from "./cluster-facts.ts";
import { type LabelSelector, selectsLabels } from "./label-selectors.ts";

export interface ReadNamespacesOptions {
  /** Everything that may have a MeshConfig. */
  readonly configurations: readonly Collection<ConfigItem>[];
  /** The control plane's own, which is always read. */
  readonly rootNamespace: string;
}

/** Gives the rule that tells of each namespace whether it is read. */
export const readNamespaces = (graph: Graph, { configurations, rootNamespace }: ReadNamespacesOptions) => {
  const kinds: readonly Index<ConfigItem>[] = configurations.map(byKind);
  const selectors = (fetch: Fetch): readonly LabelSelector[] => {
    const configs = kinds.flatMap((index) => ofKind(fetch.where(index, "MeshConfig"), "MeshConfig"));
    return meshConfigOf(configs, rootNamespace)?.spec.discoverySelectors ?? [];
  };
  /**
   * Namespaces that are not read. One that is not known, or whose labels may not be read, is none of them: its services
   * are rather kept than lost.
   */
  return (name: string, namespaces: Collection<NamespaceFacts>): Collection<Keyed> =>
    graph.derive(`${name} namespaces passed over`, namespaces, ({ key, labels }, fetch) => {
      const any = selectors(fetch);
      const isRead = any.length === 0 || key === rootNamespace || any.some((one) => selectsLabels(one, labels));
      return isRead ? undefined : { key };
    });
};
