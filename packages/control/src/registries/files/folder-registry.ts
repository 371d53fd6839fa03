/**
 * A folder of YAML as a registry: its Services with their EndpointSlices, its ServiceEntries with their WorkloadEntries.
 * What is taken out of a file, or a file that is deleted, is gone at once. A folder that cannot be read, or that has lost all of
 * its files, as one does that is no longer mounted, keeps what it said: the first for ever, the second for `holdMs`.
 */
import type { Finding } from "@weft/config/finding";
import type { Collection, Graph } from "@weft/core/collection";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import { watchFolder } from "@weft/net/files/watch";
import { type ConfigItem, sameConfigItem } from "../../model/config-item.ts";
import type { RegistryView } from "../../model/merged-services.ts";
import type { EndpointRecord } from "../../model/service.ts";
import { type ConfigFile, createConfigStore } from "../../store/config-store.ts";
import { holdMs, type SourceState } from "../outside/held-instances.ts";
import type { NamedStatus } from "../outside/outside-registries.ts";
import { shownFindings } from "../outside/source-findings.ts";
import { unreadableMax } from "../outside/unreadable-records.ts";
import { keepFolderLastGood, readFolderLastGood } from "./folder-last-good.ts";
import type { NamedFolder } from "./folder-url.ts";
import { kubernetesRegistry } from "./kubernetes.ts";
import { serviceEntryRegistry } from "./service-entries.ts";

/** A change is kept on disk so soon. */
export const keepAfterMs = 100;
const endings = ["yaml", "yml", "json"];
const kinds: ReadonlySet<string> = new Set(["Service", "EndpointSlice", "Endpoints", "ServiceEntry", "WorkloadEntry"]);

export interface FolderRegistryOptions extends NamedFolder {
  readonly rank: number;
  readonly domain: string;
  /** Endpoints of workloads that registered themselves, which selectors pick too. */
  readonly instances: Collection<EndpointRecord>;
  /** Where last good views are kept. */
  readonly dataFolder: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

export interface FolderRegistry extends Disposable {
  readonly view: RegistryView;
  /** Reads the folder and follows it. Once; `changed` is told when a commit is due. */
  open(changed: () => void): void;
  status(): NamedStatus;
  findings(): readonly Finding[];
}

const nothingStored = { load: () => [], save: () => {}, remove: () => {} };

export const createFolderRegistry = (graph: Graph, options: FolderRegistryOptions): FolderRegistry => {
  const { name, url, folder, rank, domain, dataFolder, clock, setTimer, log } = options;
  const path = `${dataFolder}/${name}.json`;
  const objects = graph.source<ConfigItem>(`${name} files`, { equal: sameConfigItem });
  const view = viewOf(graph, objects, { name, rank, domain, instances: options.instances });
  let commit = (): void => {};
  const store = createConfigStore({ source: objects, commit: () => commit(), persistence: nothingStored, log });
  let files: readonly ConfigFile[] = [];
  let [state, reason, diskProblem]: [SourceState, string, string] = ["starting", "", ""];
  let sinceWallMs = clock.wallMs();
  let heardWallMs: number | undefined;
  let staleSinceMs: number | undefined = clock.nowMs();
  let changes = 0;
  const timers = new Map<"keep" | "empty", Disposable>();
  let watching: Disposable | undefined;

  const enter = (next: SourceState, why: string): void => {
    if (next === state && why === reason) return;
    if (next === "lost")
      log.warn("WF2110 a registry is out of reach, its last view stays", { registry: name, reason: why });
    staleSinceMs = next === "live" ? undefined : (staleSinceMs ?? clock.nowMs());
    sinceWallMs = clock.wallMs();
    [state, reason] = [next, why];
  };
  const stop = (which: "keep" | "empty"): void => {
    timers.get(which)?.[Symbol.dispose]();
    timers.delete(which);
  };
  const keep = (): void => {
    stop("keep");
    const problem = keepFolderLastGood(path, folder, files);
    if (problem !== "" && problem !== diskProblem)
      log.warn("WF2115 the last good view of a registry cannot be kept or used", { registry: name, path, problem });
    diskProblem = problem;
  };
  const take = (given: readonly ConfigFile[]): void => {
    stop("empty");
    files = given;
    changes++;
    enter("live", "");
    store.setFiles(given);
    if (!timers.has("keep")) timers.set("keep", setTimer(keep, keepAfterMs));
  };
  const read = (given: readonly ConfigFile[]): void => {
    if (given.length > 0 || files.length === 0) {
      take(given);
      return;
    }
    enter("lost", "the folder has no files any more");
    timers.set(
      "empty",
      setTimer(() => take([]), holdMs),
    );
  };
  const heard = (): void => {
    heardWallMs = clock.wallMs();
    if (state === "lost" && !timers.has("empty")) enter("live", "");
  };
  const failed = (at: string, error: unknown): void => {
    const problem = error instanceof Error ? error.message : String(error);
    if (at === folder) enter("lost", problem);
    else log.error("cannot read a file of a registry, its last content stays", { registry: name, file: at, problem });
  };
  const others = () => store.list().filter(({ kind }) => !kinds.has(kind));
  return {
    view,
    open(changed) {
      commit = changed;
      const kept = readFolderLastGood(path, folder);
      diskProblem = kept.problem === "" ? "" : `its last good view: ${kept.problem}`;
      if (kept.problem !== "")
        log.warn("WF2115 the last good view of a registry is not used", { registry: name, path });
      files = kept.files;
      store.setFiles(files);
      watching = watchFolder({ folder, endings, changed: read, failed, read: heard });
    },
    status: () => ({
      ...{ name, url, state, reason, sinceWallMs, heardWallMs, diskProblem },
      ageMs: staleSinceMs === undefined ? 0 : clock.nowMs() - staleSinceMs,
      instances: view.endpoints.size,
      services: view.services.size,
      held: new Map(),
      ...{ damped: 0, refused: 0, leftOut: new Map(), problems: [], events: new Map([["listed", changes]]) },
      unreadable: new Map(
        store
          .findings()
          .filter(({ level }) => level === "error")
          .slice(0, unreadableMax)
          .map(({ file, line, column, message }) => [`${file}:${line}:${column}`, message]),
      ),
    }),
    findings: () => [
      ...(state === "lost" ? shownFindings(name, "WF2110", [`out of reach (${reason}); its last view stays`]) : []),
      ...(diskProblem === "" ? [] : shownFindings(name, "WF2115", [diskProblem])),
      ...store.findings(),
      ...others().map(({ kind, namespace, name: own, source }): Finding => {
        const message = `${kind} ${namespace}/${own} is no object of a registry: it has an effect only in the folder of --config`;
        return { code: "WF2263", level: "warning", message, kind, namespace, name: own, ...source, also: [] };
      }),
    ],
    [Symbol.dispose]: () => {
      watching?.[Symbol.dispose]();
      if (timers.has("keep")) keep();
      stop("empty");
    },
  };
};

interface ViewOptions extends Pick<FolderRegistryOptions, "name" | "rank" | "domain" | "instances"> {}

const viewOf = (
  graph: Graph,
  objects: Collection<ConfigItem>,
  { name, rank, domain, instances }: ViewOptions,
): RegistryView => {
  const plain = kubernetesRegistry(graph, objects, domain, {
    ...{ source: name, rank, podOf: () => undefined, isHeld: () => false, isRead: () => true },
  });
  const entries = serviceEntryRegistry(graph, objects, instances, { source: name, rank });
  return {
    name,
    services: graph.union(`${name} all services`, [plain.services, entries.services]),
    endpoints: graph.union(`${name} all endpoints`, [plain.endpoints, entries.endpoints]),
  };
};
