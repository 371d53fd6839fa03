/** 1,000 registrations a second over the HTTP API, with sidecars that follow them; then kill -9, and what is there after it. */
import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startProgram } from "@weft/testkit/processes";
import { adsDeltaPath, decodeDeltaResponse, encodeDeltaRequest } from "@weft/xds/discovery";
import { addressOf, registerAtRate, serviceOf } from "../e2e/faults/registration-load.ts";
import { startEtcd } from "../e2e/registries/real-etcd.ts";
import { endpointNames } from "./control-planes.ts";
import { endpointsType } from "./load/ads/streams.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop } from "./peers.ts";
import { exactCpuMicrosOf, loadCore, pin, rssMbOf, systemCore } from "./process-usage.ts";

const perSecond = 1_000;
const services = 300;
const streams = 30;
/** Of how many registrations one is looked for at the sidecars. */
const sampleEvery = 50;
const settleMs = 10_000;

interface Following extends Disposable {
  readonly seenMs: Map<number, number>;
  bytes: number;
}

/** Streams that each follow ten services, and when the samples came to them. */
const followServices = (xds: string, total: number): Following => {
  const [host = "", port = ""] = xds.split(":");
  const names = endpointNames(services);
  const none = { unsubscribe: [], initialVersions: new Map<string, string>(), errorDetail: undefined };
  const following = { seenMs: new Map<number, number>(), bytes: 0 };
  const channels = Array.from({ length: streams }, (_, own) => {
    const channel = createGrpcChannel({ target: { kind: "tcp", host, port: Number(port) } });
    const waiting = new Map<string, Map<number, Buffer>>();
    for (let at = 0; at < total; at += sampleEvery) {
      const service = at % services;
      if (service % streams !== own) continue;
      const name = names[service] ?? "";
      waiting.set(name, (waiting.get(name) ?? new Map()).set(at, Buffer.from(addressOf(at))));
    }
    const stream = channel.open(
      { path: adsDeltaPath },
      {
        onMessage: (message) => {
          following.bytes += message.length;
          const { typeUrl, nonce, resources } = decodeDeltaResponse(message);
          const bytes = Buffer.from(message);
          stream.send(encodeDeltaRequest({ ...none, node: undefined, typeUrl, subscribe: [], responseNonce: nonce }));
          for (const { name } of resources) {
            for (const [at, address] of waiting.get(name) ?? []) {
              if (!bytes.includes(address)) continue;
              waiting.get(name)?.delete(at);
              following.seenMs.set(at, performance.now());
            }
          }
        },
        onEnd: () => {},
      },
    );
    const node = {
      id: `sidecar~10.250.0.${own}~b.default~default.svc.cluster.local`,
      metadata: { NAMESPACE: "default" },
    };
    const subscribe = names.filter((_, at) => at % streams === own);
    stream.send(encodeDeltaRequest({ ...none, node, typeUrl: endpointsType, subscribe, responseNonce: "" }));
    return channel;
  });
  return Object.assign(following, {
    [Symbol.dispose]: () => {
      for (const channel of channels) channel[Symbol.dispose]();
    },
  });
};

const idsIn = async (cp: TestControlPlane): Promise<ReadonlySet<string>> => {
  const ids = new Set<string>();
  for (let at = 0; at < services; at++) {
    const answer = await cp.api("GET", `/v1/registry/${serviceOf(at, services)}/endpoints`);
    for (const { workload } of (answer as { items: readonly { workload: string }[] }).items) ids.add(workload);
  }
  return ids;
};

const share = (sorted: readonly number[], part: number): number =>
  sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
const inOrder = (values: readonly number[]): readonly number[] => values.toSorted((a, b) => a - b);

const measure = async (name: string, cp: TestControlPlane, seconds: number, again: () => Promise<TestControlPlane>) => {
  pin(cp.program.pid, systemCore);
  const sentMs = new Map<number, number>();
  const total = perSecond * seconds;
  using following = followServices(cp.xds, total);
  const before = exactCpuMicrosOf(cp.program.pid);
  const token = readFileSync(cp.adminTokenFile, "utf8").trim();
  const sent = (at: number): void => void (at % sampleEvery === 0 && sentMs.set(at, performance.now()));
  const load = await registerAtRate({ address: cp.http, token, perSecond, seconds, services, sent });
  const endMs = performance.now() + settleMs;
  while (following.seenMs.size < sentMs.size && performance.now() < endMs)
    await new Promise((go) => setTimeout(go, 20));
  const cpuMs = (exactCpuMicrosOf(cp.program.pid) - before) / 1_000;
  const rssMb = rssMbOf(cp.program.pid);
  cp.program.kill("SIGKILL");
  await cp.program.exited;
  await using later = await again();
  const ids = await idsIn(later);
  const answers = inOrder(load.answerMs);
  const seen = inOrder([...following.seenMs].map(([at, ms]) => ms - (sentMs.get(at) ?? 0)));
  return {
    system: name,
    perSecond: load.taken.length / (load.tookMs / 1_000),
    refused: [...load.refused.values()].reduce((sum, one) => sum + one, 0),
    answerP50Ms: share(answers, 0.5),
    answerP99Ms: share(answers, 0.99),
    seenP50Ms: share(seen, 0.5),
    seenP99Ms: share(seen, 0.99),
    unseen: sentMs.size - seen.length,
    cpuMicrosEach: (cpuMs * 1_000) / load.taken.length,
    busy: cpuMs / load.tookMs,
    rssMb,
    lost: load.taken.filter((at) => !ids.has(`i${at}`)).length,
  };
};

/** `--seconds 30` is the full length. */
export const benchRegistrations = async ({ seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  pin(process.pid, loadCore);
  const rows = [];
  {
    const folder = mkdtempSync(join(workshop.folder, "own-"));
    const start = () => startControlPlane({ folder, args: ["--log-level", "warn"] });
    await using cp = await start();
    rows.push(await measure("own registry", cp, seconds, start));
  }
  {
    await using etcd = await startEtcd();
    const folder = mkdtempSync(join(workshop.folder, "shared-"));
    const key = join(folder, "key");
    const made = workshop.own(startProgram("openssl", ["rand", "-base64", "-out", key, "32"]));
    await made.exited;
    const args = ["--log-level", "warn", "--store", `etcd://${etcd.address}/mesh`, "--store-key", key];
    const start = () => startControlPlane({ folder, args });
    await using cp = await start();
    rows.push(await measure("shared store", cp, seconds, start));
  }
  if (json) {
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  const head = `| ${perSecond}/s for ${seconds} s, ${streams} streams | taken/s | refused | answer p50, p99 ms | at the sidecar p50, p99 ms | unseen | CPU µs each | core | RSS MB | lost by kill -9 |\n|---|---|---|---|---|---|---|---|---|---|\n`;
  const lines = rows.map(
    (row) =>
      `| ${row.system} | ${row.perSecond.toFixed(0)} | ${row.refused} | ${row.answerP50Ms.toFixed(1)}, ${row.answerP99Ms.toFixed(1)} | ${row.seenP50Ms.toFixed(0)}, ${row.seenP99Ms.toFixed(0)} | ${row.unseen} | ${row.cpuMicrosEach.toFixed(0)} | ${(100 * row.busy).toFixed(0)} % | ${row.rssMb.toFixed(0)} | ${row.lost} |\n`,
  );
  process.stdout.write(head + lines.join(""));
};
