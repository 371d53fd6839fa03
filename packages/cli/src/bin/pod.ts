/** `weft pod`: what runs within the proxy's container of an injected pod. */
import { formatError, WeftError } from "@weft/core/error";
import { isIPv4 } from "@weft/core/ip";
import { realClock } from "@weft/net/clock";
import { createHttpClient } from "@weft/net/http/client";
import type { Route } from "@weft/net/http/routes";
import { type HttpServer, openHttpServer } from "@weft/net/http/server";
import { createLogger } from "@weft/net/logger";
import { passthroughSource } from "@weft/proxy/intercept/plan";
import { Command, CommanderError } from "commander";
import { parseMetricsPlace, parseProbers } from "../workload/pod-probers.ts";
import { type AskText, podStatusRoutes } from "../workload/pod-status.ts";
import { askProgram, type OtherPlace } from "../workload/probe-program.ts";

const localhost = "127.0.0.1";
const adminDefault = "15000";
/** Kubernetes, load balancers and Istio's scrapers know these. */
const readyPort = 15_021;
const metricsPort = 15_090;
const askTimeoutMs = 5_000;
/** A proxy of a large mesh has some megabytes of metrics. */
const bodyBytesMax = 64 * 1024 * 1024;
const connectionsMax = 16;
const pollMs = 100;

interface Outcome {
  code: number;
}

/** Runs one of its verbs and gives the exit code. */
export const runPod = async (argv: readonly string[]): Promise<number> => {
  const outcome: Outcome = { code: 0 };
  const program = describePod(outcome);
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`${formatError(error)}\n`);
    return 1;
  }
  return outcome.code;
};

/** The command line of `weft pod`. */
export const describePod = (outcome: Outcome): Command => {
  const program = new Command("weft pod")
    .description("Runs in the sidecar's container of an injected Kubernetes pod.")
    .exitOverride()
    .enablePositionalOptions();
  program
    .command("sidecar")
    .description("a sidecar, and the pod's status beside it: readiness, the application's probes, metrics")
    .option("--status-port <port>", "port of the status, beside 15021 and 15090; 0: none", "15020")
    .option("--admin-port <port>", "port of the sidecar's admin interface", adminDefault)
    .argument("[flags...]", "flags of weft sidecar, after --")
    .passThroughOptions()
    .action(async (flags: readonly string[], options: { statusPort: string; adminPort: string }) => {
      outcome.code = await sidecar(flags, portOf(options.statusPort), portOf(options.adminPort));
    });
  program
    .command("wait")
    .description("wait until the sidecar is ready")
    .option("--admin-port <port>", "port of the sidecar's admin interface", adminDefault)
    .option("--timeout <seconds>", "how long", "60")
    .action(async (options: { adminPort: string; timeout: string }) => {
      await wait(portOf(options.adminPort), Number(options.timeout) * 1000);
    });
  program
    .command("drain")
    .description("let the sidecar end its connections before it ends")
    .option("--admin-port <port>", "port of the sidecar's admin interface", adminDefault)
    .action((options: { adminPort: string }) => drain(portOf(options.adminPort)));
  for (const command of program.commands) command.copyInheritedSettings(program);
  return program;
};

const portOf = (text: string): number => {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new WeftError("WF9020", `"${text}" is not a port`);
};

const sidecar = async (flags: readonly string[], statusPort: number, adminPort: number): Promise<number> => {
  await using cleanup = new AsyncDisposableStack();
  const routes = podStatusRoutes({
    adminPort,
    probers: parseProbers(process.env.ISTIO_KUBE_APP_PROBERS),
    metrics: parseMetricsPlace(process.env.ISTIO_PROMETHEUS_ANNOTATIONS),
    ask: askText,
    askProgram: (probe) => askProgram(probe, {}, ownAddress(flags)),
  });
  if (statusPort !== 0) {
    for (const port of new Set([statusPort, readyPort, metricsPort])) {
      const server = await openStatus(port, routes);
      cleanup.defer(() => server.close());
    }
  }
  const { runSidecar } = await import("@weft/proxy/bin/sidecar");
  return await runSidecar(flags);
};

/**
 * The kubelet asks at the pod's address, where alone some programs listen. From this source a connection there is the proxy's to its
 * program, which interception leaves alone.
 */
const ownAddress = (flags: readonly string[]): OtherPlace | undefined => {
  const host = flags[flags.indexOf("--ip") + 1] ?? "";
  return isIPv4(host) && host !== localhost
    ? { host, localAddress: passthroughSource.ipv4.replace("/32", "") }
    : undefined;
};

const openStatus = async (port: number, routes: readonly Route[]): Promise<HttpServer> => {
  const log = createLogger({
    write: (line) => process.stderr.write(line),
    format: "text",
    level: "warn",
    wallMs: realClock.wallMs,
  });
  try {
    return await openHttpServer({ address: { host: "::", port }, routes, log });
  } catch {
    // A machine without IPv6.
    return await openHttpServer({ address: { host: "0.0.0.0", port }, routes, log });
  }
};

const askText: AskText = async (port, path) => {
  using client = createHttpClient({ host: localhost, port, connectionsMax });
  const { status, body } = await client.call({ method: "GET", path, timeoutMs: askTimeoutMs, bodyBytesMax });
  return { status, body: body.toString("utf8") };
};

const wait = async (adminPort: number, timeoutMs: number): Promise<void> => {
  const endMs = realClock.nowMs() + timeoutMs;
  let last = "";
  while (realClock.nowMs() < endMs) {
    try {
      const { status, body } = await askText(adminPort, "/ready");
      if (status === 200) return;
      last = body.trim();
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  throw new WeftError("WF2181", `the sidecar was not ready within ${timeoutMs / 1000} s: ${last}`, {
    next: "see the log of the container istio-proxy",
  });
};

/** What listens keeps serving while it drains; SIGTERM, which comes next, ends it. */
const drain = async (adminPort: number): Promise<void> => {
  using client = createHttpClient({ host: localhost, port: adminPort, connectionsMax });
  for (const path of ["/healthcheck/fail", "/drain_listeners?graceful"]) {
    try {
      await client.call({ method: "POST", path, timeoutMs: askTimeoutMs, bodyBytesMax });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new WeftError("WF2182", `the sidecar cannot be drained: ${why}`, { next: "it may have ended already" });
    }
  }
};
