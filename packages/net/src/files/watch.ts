/**
 * Watches a folder of configuration: the system's events make it quick, reading all again from time to time makes it
 * sure, also where events do not come (network file systems, Kubernetes' swapped symbolic links).
 */
import { createHash } from "node:crypto";
import { type FSWatcher, globSync, readFileSync, statSync, watch } from "node:fs";
import { join } from "node:path";

export interface WatchedFile {
  readonly path: string;
  readonly text: string;
}

export interface FolderWatch extends Disposable {
  /** Reads now; tells of a change as usual. */
  refresh(): void;
}

export interface FolderWatchOptions {
  readonly folder: string;
  /** File name endings without the dot. */
  readonly endings: readonly string[];
  /** All files, sorted by path, at the first reading and whenever any of them differs. */
  readonly changed: (files: readonly WatchedFile[]) => void;
  /** A file or folder that could not be read; the last content stays. */
  readonly failed: (path: string, error: unknown) => void;
  /** The folder could be read, whether anything differs or not. */
  readonly read?: () => void;
  readonly pollMs?: number;
}

const pollDefaultMs = 2_000;
/** An editor's save is several events. */
const settleMs = 20;
const filesMax = 20_000;
const fileBytesMax = 16 * 1024 * 1024;

/** Reads the folder at once, then follows it until disposed. */
export const watchFolder = (options: FolderWatchOptions): FolderWatch => {
  let last: string | undefined;
  let lastFiles: ReadonlyMap<string, WatchedFile> = new Map();
  let settling: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;

  const refresh = (): void => {
    const files = readFolder(options, lastFiles);
    if (!files) return;
    lastFiles = new Map(files.map((file) => [file.path, file]));
    options.read?.();
    const hash = createHash("sha256");
    for (const { path, text } of files) hash.update(`${path}\0${text.length}\0${text}`);
    const digest = hash.digest("hex");
    if (digest === last) return;
    last = digest;
    options.changed(files);
  };
  const soon = (): void => {
    settling ??= setTimeout(() => {
      settling = undefined;
      refresh();
    }, settleMs);
  };
  const attach = (): void => {
    if (watcher) return;
    try {
      watcher = watch(options.folder, { recursive: true }, soon);
      watcher.on("error", () => {
        watcher?.close();
        watcher = undefined;
      });
    } catch {
      // The folder may come later, or the system has no watches left; the poll goes on.
    }
  };

  refresh();
  attach();
  const poll = setInterval(() => {
    attach();
    refresh();
  }, options.pollMs ?? pollDefaultMs);
  poll.unref();
  return {
    refresh,
    [Symbol.dispose]: () => {
      clearInterval(poll);
      clearTimeout(settling);
      watcher?.close();
    },
  };
};

const readFolder = (
  { folder, endings, failed }: FolderWatchOptions,
  before: ReadonlyMap<string, WatchedFile>,
): readonly WatchedFile[] | undefined => {
  try {
    if (!statSync(folder).isDirectory()) return [{ path: folder, text: readFileSync(folder, "utf8") }];
    const names = globSync(`**/*.{${endings.join(",")},}`, { cwd: folder })
      .filter((name) => endings.some((ending) => name.endsWith(`.${ending}`)) && !isHidden(name))
      .sort();
    if (names.length > filesMax) throw new Error(`more than ${filesMax} files`);
    return names.flatMap((name) => readOne(join(folder, name), failed, before) ?? []);
  } catch (error) {
    failed(folder, error);
    return undefined;
  }
};

/** Kubernetes mounts each file twice: as itself and under `..data`, which is hidden. */
const isHidden = (name: string): boolean => name.split(/[\\/]/).some((part) => part.startsWith("."));

const readOne = (
  path: string,
  failed: FolderWatchOptions["failed"],
  before: ReadonlyMap<string, WatchedFile>,
): WatchedFile | undefined => {
  try {
    if (statSync(path).size > fileBytesMax) throw new Error(`larger than ${fileBytesMax} bytes`);
    return { path, text: readFileSync(path, "utf8") };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    failed(path, error);
    return before.get(path);
  }
};
