/**
 * The same Istio objects, through our control plane, in a stock Envoy and in our sidecar: for requests made to come near
 * their rules both answer alike, send the same to the upstream, and choose among the same hosts.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { startMeshEnvoy } from "@weft/testkit/mesh-envoy";
import { startSidecar } from "@weft/testkit/sidecar";
import { type Asked, createAsk } from "./ask.ts";
import { differences } from "./differences.ts";
import { type CaseRequest, type Corpus, makeCorpus, plainHost } from "./make-corpus.ts";

const usualSeed = 20_261_121;
const seed = Number(process.env.WEFT_DIFFERENTIAL_SEED ?? usualSeed);
const size = { hosts: 160, requestsPerHost: 10 };
/** Enough for most cases to meet every host. */
const spreadRequests = 40;
/** Enough for a host with 30 parts in 330, the rarest, to be missed by nobody: both are asked on while they differ. */
const spreadRequestsMost = 600;
/** So many differences are printed. */
const printedMax = 1200;

interface Proxy {
  readonly name: "envoy" | "weft";
  readonly ask: (call: CaseRequest) => Promise<Asked>;
}

const stack = new AsyncDisposableStack();
let corpus: Corpus;
let proxies: readonly [Proxy, Proxy];

before(async () => {
  const backends = [];
  for (const version of ["v1", "v2", "v3"]) {
    const server = stack.use(await startEchoServer(version));
    backends.push({ version, port: server.port });
  }
  corpus = makeCorpus(seed, size, { backends, closedPort: await findFreePort("127.0.0.1", 0) });
  const cp = stack.use(await startControlPlane({ yaml: corpus.yaml }));
  const outboundPort = await findFreePort("127.0.0.1", 0);
  stack.use(await startMeshEnvoy(cp, { name: "client-e", service: "client" }, { mode: "GRPC", outboundPort }));
  const sidecar = stack.use(await startSidecar(cp, { name: "client", args: ["--log-level", "warn"] }));
  const open = async (name: Proxy["name"], address: string): Promise<Proxy> => {
    const { ask } = stack.use(createAsk(address));
    const plain = { host: plainHost, method: "GET", path: "/", headers: {} };
    await eventually(`${name} serves`, async () => ((await ask(plain)).upstream === undefined ? undefined : true));
    return { name, ask };
  };
  proxies = [await open("envoy", `127.0.0.1:${outboundPort}`), await open("weft", sidecar.outbound)];
});

after(() => stack.disposeAsync());

const addUpstreams = async ({ ask }: Proxy, call: CaseRequest, names: Set<string>): Promise<void> => {
  for (let i = 0; i < spreadRequests; i++) names.add((await ask(call)).upstream ?? "none");
};

const upstreamsOf = async (call: CaseRequest): Promise<readonly string[]> => {
  const met = proxies.map(() => new Set<string>());
  const told = (): readonly string[] => met.map((names) => [...names].sort().join(" "));
  for (let asked = 0; asked < spreadRequestsMost; asked += spreadRequests) {
    await Promise.all(proxies.map((proxy, i) => addUpstreams(proxy, call, met[i] ?? new Set())));
    const [one, other] = told();
    if (one === other) break;
  }
  return told();
};

/** All that a proxy does with a request that it may treat in several ways by chance. */
const outcomesOf = async ({ ask }: Proxy, call: CaseRequest): Promise<readonly string[]> => {
  const seen = new Set<string>();
  for (let i = 0; i < spreadRequests; i++) seen.add(JSON.stringify((await ask(call)).outcome));
  return [...seen].sort();
};

test("there are at least fifteen hundred cases", () => assert.ok(corpus.cases.length >= 1500));

test("both answer alike, and send the same on", { timeout: 240_000 }, async (t) => {
  const unexplained: unknown[] = [];
  const used = new Map<string, number>();
  const statuses = new Map<number, number>();
  for (const each of corpus.cases) {
    const [envoy, weft] = await Promise.all(proxies.map(({ ask }) => ask(each.request)));
    if (envoy === undefined || weft === undefined) throw new Error("an answer is missing");
    statuses.set(envoy.outcome.status, (statuses.get(envoy.outcome.status) ?? 0) + 1);
    if (isDeepStrictEqual(weft.outcome, envoy.outcome)) continue;
    const [all, ours] = await Promise.all(proxies.map((proxy) => outcomesOf(proxy, each.request)));
    if (all !== undefined && all.length > 1 && isDeepStrictEqual(ours, all)) continue;
    const known = differences.find(({ holds }) => holds(each, envoy.outcome, weft.outcome));
    if (known) used.set(known.name, (used.get(known.name) ?? 0) + 1);
    else unexplained.push({ case: each.name, request: each.request, envoy: envoy.outcome, weft: weft.outcome });
  }
  assert.ok((statuses.get(200) ?? 0) > corpus.cases.length / 3, "too few requests reach an upstream to tell anything");
  t.diagnostic([...statuses].map(([status, count]) => `${status}: ${count}`).join(", "));
  for (const [name, count] of used) t.diagnostic(`${count} × ${name}`);
  assert.equal(unexplained.length, 0, JSON.stringify(unexplained.slice(0, printedMax), null, 1));
  if (seed === usualSeed)
    for (const { name } of differences) assert.ok(used.has(name), `no case differs by ${name} any more`);
});

test("both choose among the same hosts", { timeout: 240_000 }, async () => {
  const unlike: unknown[] = [];
  for (const { name, request, spread } of corpus.cases) {
    if (!spread) continue;
    const [envoy, weft] = await upstreamsOf(request);
    if (envoy !== weft) unlike.push({ case: name, request, envoy, weft });
  }
  assert.equal(unlike.length, 0, JSON.stringify(unlike.slice(0, printedMax), null, 1));
});
