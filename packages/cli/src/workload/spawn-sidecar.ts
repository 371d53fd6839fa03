import { WeftError } from "@weft/core/error";
import { type Child, exitWithParentVariable, startChild } from "@weft/net/process/child";
import { sidecarNodeFlags } from "@weft/net/process/node-flags";

/** One application port: the mesh dials `port` (the sidecar's), the sidecar dials `appPort` (the application's). */
export interface Inbound {
  readonly name: string;
  readonly protocol: string;
  /** Where the sidecar takes the port: loopback, or this machine's address for other machines. */
  readonly address: string;
  readonly port: number;
  readonly appPort: number;
}

export interface SidecarSettings {
  /** Path of the `weft` entry module, run with this process's Node. */
  readonly entry: string;
  readonly workload: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly gateway: boolean;
  /** Secure xDS address of the control plane. */
  readonly cp: string;
  readonly rootCertFile: string;
  readonly tokenFile: string;
  readonly outbound: string;
  /** Where it answers DNS, H:P of loopback; not at all when absent. */
  readonly dns?: string | undefined;
  readonly inbound: readonly Inbound[];
  readonly adminPort: number;
  readonly dataFolder: string;
  readonly logLevel: string;
  /** Worker threads, 0 one for each core; the sidecar's own default where absent. */
  readonly concurrency?: number | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onLog: (line: string) => void;
}

export interface RunningSidecar {
  readonly child: Child;
  /** Its admin interface, H:P, as it said in its ready line. */
  readonly admin: string;
}

/** The command line that the settings mean. */
export const sidecarArguments = (settings: SidecarSettings): readonly string[] => [
  "sidecar",
  ...["--cp", settings.cp, "--root-cert", settings.rootCertFile, "--token-file", settings.tokenFile],
  ...["--name", settings.workload, "--namespace", settings.namespace, "--service-account", settings.serviceAccount],
  ...[
    "--labels",
    Object.entries(settings.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
  ],
  ...(settings.gateway ? ["--gateway"] : ["--outbound", settings.outbound]),
  ...(settings.dns === undefined ? [] : ["--dns", settings.dns]),
  ...settings.inbound.flatMap(({ name, protocol, address, port, appPort }) => [
    "--inbound",
    `${name}:${protocol}:${address}:${port}:${appPort}`,
  ]),
  ...(settings.concurrency === undefined ? [] : ["--concurrency", String(settings.concurrency)]),
  ...["--admin", `127.0.0.1:${settings.adminPort}`, "--data", settings.dataFolder, "--log-level", settings.logLevel],
];

/** Starts a sidecar and waits until it says it is ready. `stopping`, an early exit and `timeoutMs` are errors. */
export const spawnSidecar = async (
  settings: SidecarSettings,
  timeoutMs: number,
  stopping?: AbortSignal,
): Promise<RunningSidecar> => {
  const lastLines: string[] = [];
  let ready: (admin: string) => void = () => {};
  const becameReady = new Promise<string>((resolve) => {
    ready = resolve;
  });
  const child = startChild({
    command: process.execPath,
    args: [...sidecarNodeFlags, settings.entry, ...sidecarArguments(settings)],
    env: { ...settings.env, [exitWithParentVariable]: "1" },
    onLine: (line) => {
      const admin = /\bready\b.*\badmin=(\S+)/.exec(line)?.[1];
      if (admin !== undefined) ready(admin);
      else {
        lastLines.push(line);
        if (lastLines.length > 5) lastLines.shift();
        settings.onLog(line);
      }
    },
  });
  const { promise: timedOut, resolve: expire } = Promise.withResolvers<"timeout">();
  const timer = setTimeout(() => expire("timeout"), timeoutMs);
  const end = (): void => child.kill("SIGTERM");
  stopping?.addEventListener("abort", end, { once: true });
  const outcome = await Promise.race([becameReady, child.exited, timedOut]);
  clearTimeout(timer);
  stopping?.removeEventListener("abort", end);
  if (typeof outcome === "string" && outcome !== "timeout") return { child, admin: outcome };
  child.kill("SIGKILL");
  const how = outcome === "timeout" ? `was not ready within ${timeoutMs / 1000} s` : "ended before it was ready";
  throw new WeftError(
    outcome === "timeout" ? "WF9040" : "WF9041",
    `the sidecar of ${settings.workload} ${how}: ${lastLines.join(" | ")}`,
    {
      next: "weft check",
    },
  );
};
