/** All outside registries of a control plane: their views for the model, and what there is to say about them. */
import type { Finding } from "@weft/config/finding";
import type { Graph } from "@weft/core/collection";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { RegistryView } from "../../model/merged-services.ts";
import type { NamedRegistry } from "./named-registries.ts";
import { type OutsideSource, openOutsideSource, type SourceStatus } from "./outside-source.ts";
import { type OutsideView, outsideRank, outsideView } from "./outside-view.ts";
import { sourceFindings } from "./source-findings.ts";

/** How long a start waits for the first answer of registries of which nothing was kept. */
export const firstAnswerMs = 5_000;

export interface NamedStatus extends SourceStatus {
  readonly name: string;
  readonly url: string;
}

export interface OutsideRegistries extends Disposable {
  /** For the model, in the order of their ranks. */
  readonly views: readonly RegistryView[];
  /** Begins with what was kept and connects. Once, after the model is made; `changed` is told when a commit is due. */
  open(changed: () => void): void;
  /** Settles when no registry without a kept view is still to be heard, at the latest after `firstAnswerMs`. */
  firstAnswers(): Promise<void>;
  statuses(): readonly NamedStatus[];
  findings(): readonly Finding[];
}

export interface OutsideRegistriesOptions {
  readonly registries: readonly NamedRegistry[];
  readonly domain: string;
  /** What this mesh marks its own with, where it writes into registries. */
  readonly mesh: string;
  /** Where last good views are kept. */
  readonly folder: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

export const createOutsideRegistries = (graph: Graph, options: OutsideRegistriesOptions): OutsideRegistries => {
  const { registries, domain, setTimer } = options;
  const opening = registries.map((registry, at): { readonly registry: NamedRegistry; readonly view: OutsideView } => ({
    registry,
    view: outsideView(graph, { name: registry.name, domain, rank: outsideRank + at }),
  }));
  let sources: readonly OutsideSource[] = [];
  let settle: (() => void) | undefined;
  const heard = (): boolean =>
    sources.every((source) => {
      const { state, instances } = source.status();
      return instances > 0 || state === "live" || state === "lost";
    });
  const statuses = (): readonly NamedStatus[] =>
    sources.map((source) => ({ ...source.status(), name: source.name, url: source.url }));
  return {
    views: opening.map(({ view }) => view),
    open: (changed) => {
      sources = opening.map(({ registry: { name, url, content, open }, view }) =>
        openOutsideSource({
          ...options,
          ...{ name, url, open, view, changed },
          registry: content,
          told: () => {
            if (settle && heard()) settle();
          },
        }),
      );
    },
    firstAnswers: () =>
      new Promise((resolve) => {
        if (heard()) {
          resolve();
          return;
        }
        const timer = setTimer(() => settle?.(), firstAnswerMs);
        settle = () => {
          settle = undefined;
          timer[Symbol.dispose]();
          resolve();
        };
      }),
    statuses,
    findings: () => statuses().flatMap((status) => sourceFindings(status.name, status)),
    [Symbol.dispose]: () => {
      for (const source of sources) source[Symbol.dispose]();
    },
  };
};
