import type { Command, ExitCode } from "../command.ts";

type RunProcess = (argv: readonly string[]) => Promise<ExitCode>;

/** A long-running process of the mesh: it parses its own flags, `--help` too, and is loaded only when asked for. */
export interface ProcessCommand extends Command {
  readonly load: () => Promise<RunProcess>;
}

const processCommand = (name: string, summary: string, load: () => Promise<RunProcess>): ProcessCommand => ({
  name,
  load,
  define(program) {
    // For the list of commands only: main hands these over before the flags are looked at.
    program.command(name).description(summary).argument("[flags...]");
  },
});

export const cpCommand: ProcessCommand = processCommand(
  "cp",
  "run a control plane in the foreground (--help lists its flags)",
  async () => (await import("@weft/control/bin/cp")).runControlPlane,
);

export const sidecarCommand: ProcessCommand = processCommand(
  "sidecar",
  "run a sidecar in the foreground, from an Envoy bootstrap or flags (--help lists them)",
  async () => async (argv) =>
    argv.some((word) => /^--group(=|$)/.test(word))
      ? (await import("../bin/sidecar-of-group.ts")).runSidecarOfGroup(argv)
      : (await import("@weft/proxy/bin/sidecar")).runSidecar(argv),
);

export const agentCommand: ProcessCommand = processCommand(
  "agent",
  "give a stock Envoy its keys over SDS, and gRPC processes their PEM files (--help lists its flags)",
  async () => (await import("@weft/proxy/bin/agent")).runAgent,
);

export const podCommand: ProcessCommand = processCommand(
  "pod",
  "run in an injected Kubernetes pod: a sidecar with the pod's probes, wait, drain (--help lists its verbs)",
  async () => (await import("../bin/pod.ts")).runPod,
);

export const processCommands: readonly ProcessCommand[] = [cpCommand, sidecarCommand, agentCommand, podCommand];
