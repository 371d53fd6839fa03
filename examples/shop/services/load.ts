/**
 * A steady stream of page views at the ingress: RATE requests a second to TARGET, over a few keep-alive connections.
 * Each second it tells its parent (or prints) how many were answered, how many failed, and the latencies.
 */
// As an import it would load more than is needed here, and the shop is to start quickly.
const { Agent, request } = process.getBuiltinModule("node:http");

const target = new URL(process.env.TARGET ?? "http://127.0.0.1:8000/");
const rate = Number(process.env.RATE ?? "40");
const agent = new Agent({ keepAlive: true, maxSockets: 32 });
const inFlightMax = 256;

let inFlight = 0;
let latencies: number[] = [];
let failed = 0;
const statuses = new Map<string, number>();

const finish = (status: string, startedMs: number): void => {
  inFlight--;
  latencies.push(performance.now() - startedMs);
  if (!status.startsWith("2")) failed++;
  statuses.set(status, (statuses.get(status) ?? 0) + 1);
};

const send = (): void => {
  if (inFlight >= inFlightMax) return;
  inFlight++;
  const startedMs = performance.now();
  const sent = request(target, { agent, headers: { host: "shop.example" } }, (response) => {
    response.resume();
    response.on("end", () => finish(String(response.statusCode), startedMs));
    response.on("error", () => finish("reset", startedMs));
  });
  sent.setTimeout(10_000, () => sent.destroy(new Error("timeout")));
  sent.on("error", (error: NodeJS.ErrnoException) => finish(error.code ?? error.message, startedMs));
  sent.end();
};

setInterval(send, 1000 / rate);
setInterval(() => {
  const sorted = latencies.sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const report = {
    answered: sorted.length,
    failed,
    p50: at(0.5),
    p99: at(0.99),
    statuses: Object.fromEntries(statuses),
  };
  if (process.send) process.send(report);
  else process.stdout.write(`${JSON.stringify(report)}\n`);
  latencies = [];
  failed = 0;
  statuses.clear();
}, 1000);
process.on("disconnect", () => process.exit(0));
process.on("SIGTERM", () => process.exit(0));
