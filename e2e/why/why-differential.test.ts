/**
 * Ten thousand requests made to come near the rules of two hundred hosts: what `weft why` says of each, from the config
 * dump alone, is what the sidecar does with it.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { clientSide } from "@weft/cli/why/client-side";
import { type OfflineProxy, openOffline } from "@weft/cli/why/offline-proxy";
import { parseQuestion } from "@weft/cli/why/question";
import { resourcesOf } from "@weft/cli/why/resources";
import { upstreamOf } from "@weft/cli/why/upstream";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { startSidecar } from "@weft/testkit/sidecar";
import { createAsk } from "../policy-differential/ask.ts";
import { type Case, makeCorpus } from "../policy-differential/make-corpus.ts";

const seed = Number(process.env.WEFT_DIFFERENTIAL_SEED ?? 20_261_121);
const size = { hosts: 200, requestsPerHost: 49 };
const requests = 10_000;
/** So many requests are under way at once. */
const atOnce = 8;
const printedMax = 20;

/** What the sidecar did with a request. */
interface Done {
  readonly status: number;
  readonly location: string | undefined;
  readonly route: string;
  readonly cluster: string;
  readonly flags: string;
  readonly details: string;
  readonly host: string;
  readonly attempts: number;
}

const stack = new AsyncDisposableStack();
let cases: readonly Case[];
let proxy: OfflineProxy;
let ask: ReturnType<typeof createAsk>["ask"];
let logFile: string;

const logFormat = [
  "%REQ(X-CASE)%",
  "%ROUTE_NAME%",
  "%UPSTREAM_CLUSTER_RAW%",
  "%RESPONSE_FLAGS%",
  "%RESPONSE_CODE_DETAILS%",
  "%UPSTREAM_HOST%",
  "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
].join("|-|");

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-why-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  logFile = join(folder, "access.log");
  const backends = [];
  for (const version of ["v1", "v2", "v3"]) {
    const server = stack.use(await startEchoServer(version));
    backends.push({ version, port: server.port });
  }
  const corpus = makeCorpus(seed, size, { backends, closedPort: await findFreePort("127.0.0.1", 0) });
  cases = corpus.cases.slice(0, requests);
  const mesh = {
    apiVersion: "mesh.istio.io/v1alpha1",
    kind: "MeshConfig",
    metadata: { name: "istio", namespace: "istio-system" },
    spec: { accessLogFile: logFile, accessLogFormat: logFormat },
  };
  const cp = stack.use(await startControlPlane({ yaml: `${corpus.yaml}\n---\n${JSON.stringify(mesh)}` }));
  const sidecar = stack.use(await startSidecar(cp, { name: "client", args: ["--log-level", "warn"] }));
  const asker = stack.use(createAsk(sidecar.outbound));
  ask = asker.ask;
  const last = `h${size.hosts - 1}.example`;
  await eventually("the sidecar serves", async () =>
    (await ask({ host: last, method: "GET", path: "/", headers: {} })).outcome.status === 502 ? undefined : true,
  );
  const dump = await (await fetch(`http://${sidecar.admin}/config_dump?include_eds`)).json();
  proxy = openOffline(resourcesOf(dump));
});
after(() => stack.disposeAsync());

const askAll = async (): Promise<ReadonlyMap<string, Done>> => {
  const answers = new Map<string, { readonly status: number; readonly location: string | undefined }>();
  const left = cases.map((each, index) => ({ each, id: String(index) }));
  const askSome = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const { request } = next.each;
      const { outcome } = await ask({ ...request, headers: { ...request.headers, "x-case": next.id } });
      const location = outcome.headers.find((line) => line.startsWith("location: "))?.slice("location: ".length);
      answers.set(next.id, { status: outcome.status, location });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, askSome));
  const lines = await eventually("the log is whole", () => {
    const all = readFileSync(logFile, "utf8").trimEnd().split("\n");
    return all.filter((line) => !line.startsWith("-|-|")).length >= cases.length ? all : undefined;
  });
  return new Map(
    lines.flatMap((line): [string, Done][] => {
      const [id = "", route = "", cluster = "", flags = "", details = "", host = "", tries = ""] = line.split("|-|");
      const answer = answers.get(id);
      return answer === undefined
        ? []
        : [[id, { ...answer, route, cluster, flags, details, host, attempts: Number(tries) }]];
    }),
  );
};

const dash = (text: string): string => (text === "" ? "-" : text);

/** What `weft why` finds wrong with what was done; `undefined`: they agree. */
const disagreement = ({ request: { host, method, path, headers } }: Case, done: Done): unknown => {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const question = parseQuestion({ destination: host, method, path, headers: [...lines, `host: ${host}`] });
  const { decision } = clientSide(proxy, question);
  if (!decision) return "no decision";
  const { told, clusters } = decision;
  const route = dash(told.route?.name ?? "");
  const found = {
    status: told.status,
    flags: told.flags,
    details: told.details,
    route,
    clusters,
    location: told.location,
  };
  if (route !== done.route) return found;
  if (clusters.length === 0) {
    const same = told.status === done.status && told.location === done.location;
    return same && dash(told.flags) === done.flags && told.details === done.details ? undefined : found;
  }
  if (clusters.every(({ known }) => !known)) return done.flags === "NC" ? undefined : found;
  if (!clusters.some(({ name }) => name === done.cluster)) return found;
  const open = proxy.cluster(done.cluster);
  const json = proxy.resources.clusters.get(done.cluster);
  if (!open || !json) return "no cluster";
  const { eligible, byHash } = upstreamOf(json, open, told.hash);
  if (eligible.length === 0) return done.flags.includes("UH") ? undefined : found;
  // Another try may go to another host.
  if (byHash && done.attempts === 1 && done.host !== byHash.address) return { ...found, byHash: byHash.address };
  return eligible.some(({ address }) => address === done.host) ? undefined : { ...found, eligible: eligible.length };
};

test("ten thousand requests go as weft why says", { timeout: 240_000 }, async (t) => {
  assert.equal(cases.length, requests);
  assert.deepEqual(proxy.problems, []);
  const done = await askAll();
  assert.equal(done.size, cases.length);
  const kinds = new Map<string, number>();
  const unlike: unknown[] = [];
  for (const [index, each] of cases.entries()) {
    const one = done.get(String(index));
    if (one === undefined) throw new Error(`case ${index} left no line`);
    const kind = `${one.status} ${one.flags}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    const why = disagreement(each, one);
    if (why !== undefined) unlike.push({ request: each.request, done: one, why });
  }
  t.diagnostic([...kinds].map(([kind, count]) => `${kind}: ${count}`).join(", "));
  assert.equal(unlike.length, 0, `${unlike.length}: ${JSON.stringify(unlike.slice(0, printedMax), null, 1)}`);
});
