/**
 * How far the registry was, in a file beside its database: so that a database that lost its last changes, or is an older
 * copy, is noticed. A write-ahead log that is damaged looks like one that ends there.
 */
import type { Logger, SetTimer } from "@weft/core/world";
import { readIfThere, writeAtomic, writeAtomicBeside } from "@weft/net/files/files";
import type { EmbeddedRegistry } from "./registry.ts";

/** A change is marked so soon. */
export const markAfterMs = 1_000;

export interface VersionMarkOptions {
  readonly path: string;
  readonly registry: Pick<EmbeddedRegistry, "version" | "watch">;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

/** Says WF2262 where the registry has gone back. A mark that cannot be read or written is none. */
export const openVersionMark = ({ path, registry, setTimer, log }: VersionMarkOptions): Disposable => {
  let timer: Disposable | undefined;
  const marked = read(path);
  const found = registry.version();
  if (found < marked)
    log.error("WF2262 the registry's database has gone back: registrations may be missing", {
      path,
      was: marked,
      is: found,
    });
  const failed = (error: unknown): void =>
    log.debug("the registry's version cannot be marked", { path, problem: String(error) });
  const text = (): string => `${registry.version()}\n`;
  let closed = false;
  /** Since the last write began. */
  let changed = false;
  const write = async (): Promise<void> => {
    changed = false;
    await writeAtomicBeside(path, text()).catch(failed);
    timer = undefined;
    if (changed && !closed) arm();
  };
  const writeNow = (): void => {
    try {
      writeAtomic(path, text());
    } catch (error) {
      failed(error);
    }
  };
  const arm = (): void => {
    changed = true;
    timer ??= setTimer(() => void write(), markAfterMs);
  };
  const following = registry.watch({ since: found }, arm);
  return {
    [Symbol.dispose]: () => {
      closed = true;
      following[Symbol.dispose]();
      if (!timer) return;
      timer[Symbol.dispose]();
      writeNow();
    },
  };
};

const read = (path: string): number => {
  try {
    const text = readIfThere(path)?.trim() ?? "";
    return /^\d{1,15}$/.test(text) ? Number(text) : 0;
  } catch {
    return 0;
  }
};
