/** Which endpoints a mesh's clusters ask for in vain. */
import { VersionedMap } from "@weft/core/versioned-map";
import { createDiffer } from "./diff.ts";
import type { TypeSnapshot } from "./snapshot.ts";

/** Names of endpoints that the clusters ask for and that are not there; costs what changed since it was last asked. */
export type MissingNames = (clusters: TypeSnapshot, endpoints: TypeSnapshot) => ReadonlySet<string>;

/** Names of endpoints that clusters ask for and that were not in those given. */
interface Missing {
  /**
   * Of the endpoints given: their names are the same for as long as they are versions of one map. Clusters outlive those
   * who were given them, and must not hold on to endpoints that are long others, with all that came after them: neither by
   * these nor by what others know of their line.
   */
  readonly line: WeakRef<object> | undefined;
  readonly given: WeakRef<TypeSnapshot>;
  readonly names: ReadonlySet<string>;
}

const missing = (given: TypeSnapshot, line: object | undefined, names: ReadonlySet<string>): Missing => ({
  line: line && new WeakRef(line),
  given: new WeakRef(given),
  names,
});

/** Of clusters that ask for no endpoints at all. */
const noNames: ReadonlySet<string> = new Set();

/** `layersOf` gives what clusters were put together from, where they were. */
export const createMissingNames = (
  layersOf: (clusters: TypeSnapshot) => readonly TypeSnapshot[] | undefined,
): MissingNames => {
  const differ = createDiffer();
  const missingFor = new WeakMap<TypeSnapshot, Missing>();
  const missingOf: MissingNames = (clusters, endpoints) => {
    const known = missingFor.get(clusters);
    const line = VersionedMap.lineOf(endpoints.entries);
    if (known && (known.names === noNames || (line !== undefined && known.line?.deref() === line))) return known.names;
    const given = known?.given.deref();
    if (known && given === endpoints) return known.names;
    const layers = layersOf(clusters);
    if (layers) {
      const [shared, ...own] = layers.map((layer) => missingOf(layer, endpoints)) as [ReadonlySet<string>];
      const names = own.every((each) => each === noNames)
        ? shared
        : new Set([shared, ...own].flatMap((each) => [...each]));
      missingFor.set(clusters, missing(endpoints, line, names));
      return names;
    }
    let names = known?.names;
    const moved = given && differ(given.entries, endpoints.entries);
    if (!names || !moved || moved.removed.length > 0 || moved.changed.some(({ name }) => known?.names.has(name))) {
      const wanted = [...clusters.entries.values()].flatMap(({ endpointsName }) => endpointsName ?? []);
      names = wanted.length === 0 ? noNames : new Set(wanted.filter((name) => !endpoints.entries.has(name)));
    }
    missingFor.set(clusters, missing(endpoints, line, names));
    return names;
  };
  return missingOf;
};
