/** Real programs for tests: started, waited for by what they say, and never left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { nodeFlagsOf } from "@weft/net/process/node-flags";

export const repositoryRoot = join(import.meta.dirname, "../../..");
export const weftEntry = join(repositoryRoot, "packages/cli/src/bin/weft.ts");

export interface Program extends AsyncDisposable {
  readonly pid: number;
  /** Everything it printed so far, both streams, by line. */
  readonly lines: readonly string[];
  /** The first line, past or future, that matches; rejects when the program ends first or `timeoutMs` pass. */
  waitFor(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  /** Resolves with the exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

const defaultTimeoutMs = 30_000;
const stopTimeoutMs = 10_000;

/** Starts a program. Disposing sends SIGTERM, then SIGKILL. */
export const startProgram = (command: string, args: readonly string[], options: ProgramOptions = {}): Program => {
  const child: ChildProcess = spawn(command, [...args], {
    env: { ...process.env, ...options.env } as NodeJS.ProcessEnv,
    cwd: options.cwd ?? repositoryRoot,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  const waiters = new Set<(line: string) => void>();
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      for (const waiter of waiters) waiter(line);
    });
  }
  const exited = new Promise<number | string>((resolve) => {
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "unknown"));
    child.once("error", (error) => resolve(error.message));
  });
  const kill = (signal: NodeJS.Signals): void => void child.kill(signal);
  return {
    pid: child.pid ?? -1,
    lines,
    exited,
    kill,
    waitFor: (pattern, timeoutMs = defaultTimeoutMs) =>
      waitForLine({ lines, waiters, exited, name: `${command} ${args[0] ?? ""}` }, pattern, timeoutMs),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      kill("SIGTERM");
      const timer = setTimeout(() => kill("SIGKILL"), stopTimeoutMs);
      await exited;
      clearTimeout(timer);
    },
  };
};

interface Watched {
  readonly lines: readonly string[];
  readonly waiters: Set<(line: string) => void>;
  readonly exited: Promise<number | string>;
  readonly name: string;
}

const waitForLine = (watched: Watched, pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> =>
  new Promise((resolve, reject) => {
    for (const line of watched.lines) {
      const match = pattern.exec(line);
      if (match) return resolve(match);
    }
    const finish = (settle: () => void): void => {
      watched.waiters.delete(waiter);
      clearTimeout(timer);
      settle();
    };
    const complain = (how: string): void =>
      finish(() =>
        reject(
          new Error(`${watched.name} ${how} before it printed ${pattern}:\n${watched.lines.slice(-20).join("\n")}`),
        ),
      );
    const waiter = (line: string): void => {
      const match = pattern.exec(line);
      if (match) finish(() => resolve(match));
    };
    const timer = setTimeout(() => complain(`took more than ${timeoutMs} ms`), timeoutMs);
    watched.waiters.add(waiter);
    void watched.exited.then((how) => complain(`ended (${how})`));
  });

/** Runs `weft ARGS` on this Node, as the launcher does. */
export const startWeft = (args: readonly string[], options: ProgramOptions = {}): Program =>
  startProgram(process.execPath, [...nodeFlagsOf(args[0]), weftEntry, ...args], options);

export interface ProgramResult {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `weft ARGS` to its end. */
export const runWeft = (args: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> =>
  runProgram(process.execPath, [...nodeFlagsOf(args[0]), weftEntry, ...args], options);

/** Runs a program to its end, and reads what it prints. */
export const runProgram = async (
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> => {
  const child = spawn(command, [...args], {
    env: { ...process.env, ...options.env } as NodeJS.ProcessEnv,
    cwd: options.cwd ?? repositoryRoot,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const read = async (stream: AsyncIterable<Buffer>): Promise<string> => {
    const parts: Buffer[] = [];
    for await (const part of stream) parts.push(part);
    return Buffer.concat(parts).toString("utf8");
  };
  const [stdout, stderr, [code, signal]] = await Promise.all([
    read(child.stdout),
    read(child.stderr),
    once(child, "exit"),
  ]);
  return { code: (code as number | null) ?? (signal as string), stdout, stderr };
};
