import { spawnSync } from "node:child_process";

export interface ExecResult {
  /** `undefined` when the program could not be started. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

const outputBytesMax = 16 * 1024 * 1024;
const timeoutMs = 30_000;

/** Runs a program to its end with `input` on its standard input. For set-up commands, never per request. */
export const exec = (command: string, args: readonly string[], input = ""): ExecResult => {
  const { status, stdout, stderr, error } = spawnSync(command, [...args], {
    input,
    encoding: "utf8",
    maxBuffer: outputBytesMax,
    timeout: timeoutMs,
  });
  return {
    code: error ? undefined : (status ?? undefined),
    stdout: stdout ?? "",
    stderr: error ? error.message : (stderr ?? ""),
  };
};
