import type { Command } from "../command.ts";

/** Every command, in the order the help shows them. One alone is loaded in a fraction of the time of all. */
export const commandLoaders: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ["demo", async () => (await import("./demo.ts")).demoCommand],
  ["run", async () => (await import("./run.ts")).runCommand],
  ["get", async () => (await import("./get.ts")).getCommand],
  ["apply", async () => (await import("./apply.ts")).applyCommand],
  ["delete", async () => (await import("./delete.ts")).deleteCommand],
  ["analyze", async () => (await import("./analyze.ts")).analyzeCommand],
  ["explain", async () => (await import("./explain.ts")).explainCommand],
  ["why", async () => (await import("./why.ts")).whyCommand],
  ["check", async () => (await import("./check.ts")).checkCommand],
  ["proxy-status", async () => (await import("./proxy-status.ts")).proxyStatusCommand],
  ["proxy-config", async () => (await import("./proxy-config.ts")).proxyConfigCommand],
  ["registry", async () => (await import("./registry.ts")).registryCommand],
  ["join", async () => (await import("./join.ts")).joinCommand],
  ["token", async () => (await import("./token.ts")).tokenCommand],
  ["install", async () => (await import("./install.ts")).installCommand],
  ["inject", async () => (await import("./inject.ts")).injectCommand],
  ["intercept", async () => (await import("./intercept.ts")).interceptCommand],
  ["cp", async () => (await import("./processes.ts")).cpCommand],
  ["sidecar", async () => (await import("./processes.ts")).sidecarCommand],
  ["agent", async () => (await import("./processes.ts")).agentCommand],
  ["pod", async () => (await import("./processes.ts")).podCommand],
]);

/** All of them, for what shows or looks through the whole list. */
export const loadCommands = (): Promise<readonly Command[]> =>
  Promise.all([...commandLoaders.values()].map((load) => load()));
