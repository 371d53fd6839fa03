/** The program of a real server, which tests stop, kill and start again. */
import { rmSync } from "node:fs";
import type { Program } from "@weft/testkit/processes";

export interface ServerProgram extends AsyncDisposable {
  signal(signal: NodeJS.Signals): void;
  /** Kills it with no warning. */
  kill(): Promise<void>;
  /** Starts it again on the same ports, with its data or with none. */
  restart(options?: { readonly empty?: boolean }): Promise<void>;
}

export interface ServerProgramOptions {
  /** Goes with it. */
  readonly folder: string;
  readonly dataFolder: string;
  readonly start: () => Program;
  /** Resolves once it answers. */
  readonly serves: () => Promise<unknown>;
}

/** Resolves when it serves. */
export const startServerProgram = async (options: ServerProgramOptions): Promise<ServerProgram> => {
  const { folder, dataFolder, start, serves } = options;
  let program = start();
  await serves();
  return {
    signal: (signal) => program.kill(signal),
    kill: async () => {
      program.kill("SIGKILL");
      await program.exited;
    },
    restart: async ({ empty = false } = {}) => {
      if (empty) rmSync(dataFolder, { recursive: true, force: true });
      program = start();
      await serves();
    },
    [Symbol.asyncDispose]: async () => {
      program.kill("SIGCONT");
      await program[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
};
