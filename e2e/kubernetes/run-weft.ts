import { execFile } from "node:child_process";
import { weftEntry } from "@weft/testkit/processes";

export interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command of the real program to its end. */
export const runWeft = (args: readonly string[]): Promise<Finished> =>
  new Promise((resolve) => {
    const flags = ["--disable-warning=ExperimentalWarning", weftEntry, ...args];
    execFile(process.execPath, flags, { maxBuffer: 64 * 1024 * 1024 }, (error, out, err) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err });
    });
  });
