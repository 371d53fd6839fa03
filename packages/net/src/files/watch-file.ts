/** Watches one file: events of its folder make it quick (also renames over it), a poll makes it sure. */
import { type FSWatcher, readFileSync, statSync, watch } from "node:fs";
import { dirname } from "node:path";

const pollMs = 2_000;
/** A write is several events. */
const settleMs = 20;
const bytesMax = 64 * 1024 * 1024;

/** Gives the content at once and whenever it differs. What cannot be read is told once per reason, and tried again. */
export const watchFile = (
  path: string,
  onText: (text: string) => void,
  onError: (error: unknown) => void,
): Disposable => {
  let last: string | undefined;
  let lastError: string | undefined;
  let settling: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;

  const read = (): void => {
    let text: string;
    try {
      if (statSync(path).size > bytesMax) throw new Error(`larger than ${bytesMax} bytes`);
      text = readFileSync(path, "utf8");
    } catch (error) {
      if (String(error) !== lastError) onError(error);
      lastError = String(error);
      return;
    }
    lastError = undefined;
    if (text === last) return;
    last = text;
    onText(text);
  };
  const soon = (): void => {
    settling ??= setTimeout(() => {
      settling = undefined;
      read();
    }, settleMs);
  };
  const attach = (): void => {
    if (watcher) return;
    try {
      // The folder, not the file: whoever replaces a file by renaming leaves a watch on the old one behind.
      watcher = watch(dirname(path), { persistent: false }, soon);
      watcher.on("error", () => {
        watcher?.close();
        watcher = undefined;
      });
    } catch {
      // The folder is not there yet, or the system has no watches left: the poll goes on.
    }
  };

  read();
  attach();
  const poll = setInterval(() => {
    attach();
    read();
  }, pollMs);
  poll.unref();
  return {
    [Symbol.dispose]: () => {
      clearInterval(poll);
      clearTimeout(settling);
      watcher?.close();
    },
  };
};
