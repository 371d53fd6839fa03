/** Configuration objects as items of a collection. */
import type { ConfigObject, ConfigOf, SpecOf } from "@weft/config/config-object";
import type { Collection, Equal, Index } from "@weft/core/collection";
import { sameValue } from "@weft/core/equal";

export interface ConfigItem {
  /** `KIND/NAMESPACE/NAME`. */
  readonly key: string;
  readonly object: ConfigObject;
}

export const configItem = (object: ConfigObject): ConfigItem => ({
  key: `${object.kind}/${object.namespace}/${object.name}`,
  object,
});

/** The same meaning: where it stands in its file is not part of it, its age against others is. */
export const sameConfigItem: Equal<ConfigItem> = ({ object: a }, { object: b }) =>
  a === b ||
  (a.apiVersion === b.apiVersion &&
    a.creationOrder === b.creationOrder &&
    a.creationTimestamp === b.creationTimestamp &&
    sameValue(a.labels, b.labels) &&
    sameValue(a.annotations, b.annotations) &&
    sameValue(a.spec, b.spec));

/** Objects by `KIND` and by `KIND/NAMESPACE`. */
export const byKind = (config: Collection<ConfigItem>): Index<ConfigItem> =>
  config.index("kind", ({ object }) => [object.kind, `${object.kind}/${object.namespace}`]);

/** The object typed, if it is of that kind. */
export const asKind = <K extends keyof SpecOf>({ object }: ConfigItem, kind: K): ConfigOf<K> | undefined =>
  object.kind === kind ? (object as ConfigOf<K>) : undefined;

/** The objects of a bucket of `byKind`, typed. */
export const ofKind = <K extends keyof SpecOf>(items: readonly ConfigItem[], kind: K): readonly ConfigOf<K>[] =>
  items.flatMap((item) => asKind(item, kind) ?? []);
