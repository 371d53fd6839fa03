import { WeftError } from "@weft/core/error";
import { joinPath } from "@weft/core/path";
import { type Child, exitWithParentVariable, startChild } from "@weft/net/process/child";
import { controlPlaneNodeFlags, sidecarNodeFlags } from "@weft/net/process/node-flags";
import type { Context } from "../command.ts";

const readyTimeoutMs = 20_000;

/** Where our processes find themselves compiled already. */
export const compileCache = (root: string): Readonly<Record<string, string>> => ({
  NODE_COMPILE_CACHE: joinPath(root, "node_modules/.cache/weft"),
});

export interface ControlPlaneAddresses {
  readonly xds: string;
  readonly secure: string;
  readonly http: string;
  readonly monitoring: string;
}
export interface RunningControlPlane {
  readonly child: Child;
  readonly addresses: ControlPlaneAddresses;
}

interface ControlPlaneOptions {
  readonly context: Context;
  readonly entry: string;
  readonly configFolder: string;
  readonly dataFolder: string;
  readonly ports: { readonly xds: number; readonly secure: number; readonly http: number; readonly monitoring: number };
  readonly onLog: (line: string) => void;
}

/** Starts `weft cp` and waits for its ready line. */
export const startControlPlane = async (options: ControlPlaneOptions): Promise<RunningControlPlane> => {
  const { context, entry, configFolder, dataFolder, ports, onLog } = options;
  const lastLines: string[] = [];
  const { promise: ready, resolve } = Promise.withResolvers<ControlPlaneAddresses>();
  const child = startChild({
    command: process.execPath,
    args: [
      ...[...controlPlaneNodeFlags, entry, "cp", "--config", configFolder, "--data", dataFolder],
      ...["--xds-address", `127.0.0.1:${ports.xds}`, "--secure-address", `127.0.0.1:${ports.secure}`],
      ...["--http-address", `127.0.0.1:${ports.http}`, "--monitoring-address", `127.0.0.1:${ports.monitoring}`],
    ],
    env: { ...context.env, ...compileCache(context.root), [exitWithParentVariable]: "1" },
    onLine: (line) => {
      const found = /\bready\b.*\bxds=(\S+) secure=(\S+) http=(\S+) monitoring=(\S+)/.exec(line);
      if (found)
        resolve({ xds: found[1] ?? "", secure: found[2] ?? "", http: found[3] ?? "", monitoring: found[4] ?? "" });
      else {
        lastLines.push(line);
        if (lastLines.length > 5) lastLines.shift();
        onLog(line);
      }
    },
  });
  const timeout = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => timeout.resolve(undefined), readyTimeoutMs);
  const outcome = await Promise.race([ready, child.exited.then(() => undefined), timeout.promise]);
  clearTimeout(timer);
  if (outcome) return { child, addresses: outcome };
  child.kill("SIGKILL");
  throw new WeftError("WF2001", `the control plane did not start: ${lastLines.join(" | ")}`, {
    next: "weft cp --help",
  });
};

/** Starts one Node program of the shop on its ports. */
export const startProgram = (options: {
  readonly context: Context;
  readonly module: string;
  readonly env: Readonly<Record<string, string>>;
  readonly onLog: (line: string) => void;
  readonly onMessage?: (message: unknown) => void;
}): Child =>
  startChild({
    command: process.execPath,
    args: [...sidecarNodeFlags, options.module],
    env: {
      ...options.context.env,
      ...compileCache(options.context.root),
      ...options.env,
      [exitWithParentVariable]: "1",
    },
    onLine: options.onLog,
    ...(options.onMessage === undefined ? {} : { onMessage: options.onMessage }),
  });
