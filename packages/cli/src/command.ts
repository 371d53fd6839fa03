import type { Command as Program } from "commander";

/** What a command may use of the world; made once in bin/weft.ts. */
export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** The repository's (or package's) root: where `./weft` and `examples/` are. */
  readonly root: string;
  readonly isTty: boolean;
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
  /** Aborts on Ctrl-C and SIGTERM; long-running commands end then. */
  readonly signal: AbortSignal;
  /** Becomes the exit code of the process. */
  readonly finish: (code: ExitCode) => void;
}

/** 0 ok, 1 failed, 2 usage, 3 findings at or above the threshold, 4 control plane unreachable, 5 timeout. */
export type ExitCode = number;
export const exitCodes = { ok: 0, failed: 1, usage: 2, findings: 3, unreachable: 4, timeout: 5 } as const;

/** One command of the tree: one file in commands/, one line in its index. */
export interface Command {
  readonly name: string;
  /** Adds itself, its options and its help to the program. */
  readonly define: (program: Program, context: Context) => void;
}
