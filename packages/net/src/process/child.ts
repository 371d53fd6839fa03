/** Child processes that never outlive their parent and whose output comes line by line. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Lines of standard output and standard error, whole and without their end. */
  readonly onLine?: (line: string, stream: "stdout" | "stderr") => void;
  /** Messages of a Node child with an IPC channel. */
  readonly onMessage?: (message: unknown) => void;
  /** The child shares our terminal instead of being read by line. */
  readonly inheritOutput?: boolean;
}

export interface Child {
  readonly pid: number;
  readonly exited: Promise<ChildExit>;
  readonly hasExited: () => boolean;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL after `graceMs`. */
  stop(graceMs: number): Promise<ChildExit>;
}
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The program could not be started. */
  readonly error?: Error;
}

/** Environment variable that tells a weft process to end when the IPC channel to its parent closes. */
export const exitWithParentVariable = "WEFT_EXIT_WITH_PARENT";

/** In a child: ends this process when the parent is gone, however it went. */
export const exitWithParent = (env: Readonly<Record<string, string | undefined>>): void => {
  if (env[exitWithParentVariable] !== "1" || !process.connected) return;
  process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
  process.channel?.unref();
};

/** Starts a program; a Node child (`onMessage` or the variable above) also gets an IPC channel. */
export const startChild = (options: ChildOptions): Child => {
  const { command, args, env, cwd, onLine, onMessage, inheritOutput = false } = options;
  const withChannel = onMessage !== undefined || env[exitWithParentVariable] === "1";
  const output = inheritOutput ? "inherit" : "pipe";
  const child: ChildProcess = spawn(command, [...args], {
    env: env as NodeJS.ProcessEnv,
    ...(cwd === undefined ? {} : { cwd }),
    stdio: withChannel ? [inheritOutput ? "inherit" : "ignore", output, output, "ipc"] : ["inherit", output, output],
  });
  let done = false;
  const exited = new Promise<ChildExit>((resolve) => {
    child.once("error", (error) => {
      done = true;
      resolve({ code: null, signal: null, error });
    });
    child.once("exit", (code, signal) => {
      done = true;
      resolve({ code, signal });
    });
  });
  if (child.stdout) createInterface({ input: child.stdout }).on("line", (line) => onLine?.(line, "stdout"));
  if (child.stderr) createInterface({ input: child.stderr }).on("line", (line) => onLine?.(line, "stderr"));
  if (onMessage) child.on("message", onMessage);
  const kill = (signal: NodeJS.Signals): void => {
    if (!done) child.kill(signal);
  };
  return {
    pid: child.pid ?? -1,
    exited,
    hasExited: () => done,
    kill,
    async stop(graceMs) {
      kill("SIGTERM");
      const timer = setTimeout(() => kill("SIGKILL"), graceMs);
      const exit = await exited;
      clearTimeout(timer);
      return exit;
    },
  };
};
