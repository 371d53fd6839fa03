/** A cluster's last good view as a file: what a control plane begins with until the API server answers. */
import { createHash } from "node:crypto";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import { makeFolder, readIfThere, writeAtomic } from "@weft/net/files/files";
import { isRecord, type KubernetesObject } from "./kubernetes-object.ts";

/**
 * A change is written so soon after a quiet time, and so often at most: nothing else happens while a large view is
 * printed, and what a crash takes with it the API server still has.
 */
export const writeSoonMs = 200;
export const writeEveryMs = 30_000;
/** Large views are written less often: at most this share of the time goes into it. */
const writingShare = 0.01;
const retryMs = 30_000;
const magic = "weft-kubernetes-objects 1";

/** Objects by the name of their kind. */
export type KeptObjects = ReadonlyMap<string, readonly KubernetesObject[]>;

export type KeptView =
  | { readonly kind: "read"; readonly ageMs: number; readonly objects: KeptObjects }
  /** Of another cluster under the same name. */
  | { readonly kind: "other" }
  | { readonly kind: "corrupt"; readonly problem: string };

export const printKept = (cluster: string, objects: KeptObjects, savedMs: number): string => {
  const body = JSON.stringify({ cluster, savedMs, objects: [...objects] });
  return `${magic} ${checksum(body)}\n${body}\n`;
};

/** Trusts nothing of the text: what is damaged anywhere is not used at all. */
export const parseKept = (text: string, cluster: string, wallMs: number): KeptView => {
  const [head = "", body = ""] = text.split("\n", 2);
  if (!head.startsWith(`${magic} `)) return { kind: "corrupt", problem: "it does not begin as one of weft's" };
  if (head.slice(magic.length + 1) !== checksum(body))
    return { kind: "corrupt", problem: "its checksum does not match" };
  try {
    const file = JSON.parse(body) as unknown;
    if (!isRecord(file) || typeof file.savedMs !== "number" || !Array.isArray(file.objects)) throw new Error();
    if (file.cluster !== cluster) return { kind: "other" };
    const objects = new Map(file.objects as [string, KubernetesObject[]][]);
    // A clock that was set back makes no view younger than now.
    return { kind: "read", ageMs: Math.max(0, wallMs - file.savedMs), objects };
  } catch {
    return { kind: "corrupt", problem: "its content is not as written" };
  }
};

const checksum = (body: string): string => createHash("sha256").update(body).digest("hex");

export interface KeptFile extends Disposable {
  /** `undefined` when there is none that can be used. */
  readonly restored: { readonly ageMs: number; readonly objects: KeptObjects } | undefined;
  changed(): void;
  /** Why the file could not be read or written last; "" where it could. */
  problem(): string;
}

export interface KeptFileOptions {
  readonly folder: string;
  /** The registry's name. */
  readonly name: string;
  /** What tells this cluster from another of the same name. */
  readonly cluster: string;
  /** What to write, and how old that is. */
  readonly current: () => { readonly ageMs: number; readonly objects: KeptObjects };
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

/** Written whole, never often, and never the reason to stop. `current` is asked first after this has returned. */
export const openKeptFile = (options: KeptFileOptions): KeptFile => {
  const { folder, name, cluster, current, clock, setTimer, log } = options;
  const path = `${folder}/${name}.objects`;
  let problem = "";
  let timer: Disposable | undefined;
  let nextMs = Number.NEGATIVE_INFINITY;
  const failed = (text: string): void => {
    if (problem === text) return;
    problem = text;
    log.warn("WF2159 the last good view of a cluster cannot be kept or used", { registry: name, path, problem });
  };
  const read = (): KeptFile["restored"] => {
    try {
      const text = readIfThere(path);
      if (text === undefined) return undefined;
      const found = parseKept(text, cluster, clock.wallMs());
      if (found.kind === "read") return found;
      if (found.kind === "corrupt") failed(`it is damaged and not used: ${found.problem}`);
    } catch (error) {
      failed(`it cannot be read: ${(error as Error).message}`);
    }
    return undefined;
  };
  const write = (): void => {
    timer?.[Symbol.dispose]();
    timer = undefined;
    const startedMs = clock.nowMs();
    try {
      makeFolder(folder);
      const { ageMs, objects } = current();
      writeAtomic(path, printKept(cluster, objects, clock.wallMs() - ageMs));
      problem = "";
    } catch (error) {
      failed(`it cannot be written: ${(error as Error).message}`);
      timer = setTimer(write, retryMs);
    }
    const tookMs = clock.nowMs() - startedMs;
    nextMs = startedMs + Math.max(writeEveryMs, tookMs / writingShare);
  };
  return {
    restored: read(),
    changed: () => {
      timer ??= setTimer(write, Math.max(writeSoonMs, nextMs - clock.nowMs()));
    },
    problem: () => problem,
    [Symbol.dispose]: () => {
      if (timer) write();
      timer?.[Symbol.dispose]();
    },
  };
};
