/**
 * Mutated requests to our sidecar, to Envoy with the same bootstrap, and to `node:http` itself: nothing hangs or
 * crashes, no upstream reads what the proxy did not mean, and every difference from Envoy is of a class that is known.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { seededRandom } from "@weft/core/random";
import { findFreePort } from "@weft/net/process/free-port";
import { envoyPath } from "@weft/testkit/envoy";
import { eventually } from "@weft/testkit/eventually";
import { type Program, startProgram, startWeft } from "@weft/testkit/processes";
import { laneAddress, laneBootstrap } from "./bootstrap.ts";
import { classOf, differences, type Trio } from "./differences.ts";
import { type Lane, type Outcome, runCase, runCases } from "./lanes.ts";
import { caseOf } from "./mutate.ts";
import { requestSeeds } from "./seeds.ts";
import { type RecordingUpstream, startUpstream } from "./upstream.ts";

const laneCount = 96;
const caseCount = Number(process.env.WEFT_DIFFERENTIAL_CASES ?? 20_000);
const seed = 20_261;
/** A difference counts when it is there again each time, with time for stragglers. */
const repeats = 2;
const settleMs = 250;
const failuresShown = 40;

const stack = new AsyncDisposableStack();
const programs = new Map<string, Program>();
const lanesOf = new Map<string, Lane[]>();

const startProxy = async (name: "weft" | "envoy", folder: string): Promise<void> => {
  const upstreams: RecordingUpstream[] = [];
  for (let lane = 0; lane < laneCount; lane++) upstreams.push(stack.use(await startUpstream()));
  const [http, admin] = [await findFreePort("127.0.0.1", 0), await findFreePort("127.0.0.1", 0)];
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(laneBootstrap({ http, admin, upstreams: upstreams.map(({ port }) => port) })));
  const program =
    name === "weft"
      ? startWeft(["sidecar", "--bootstrap", file])
      : startProgram(envoyPath, ["-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
  stack.use(program);
  await eventually(`${name} is ready`, async () =>
    (await fetch(`http://127.0.0.1:${admin}/ready`)).status === 200 ? true : undefined,
  );
  programs.set(name, program);
  lanesOf.set(
    name,
    upstreams.map((upstream, lane) => ({ address: laneAddress(lane), port: http, upstream })),
  );
};

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-differential-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  await startProxy("envoy", folder);
  await startProxy("weft", folder);
  const direct: Lane[] = [];
  for (let lane = 0; lane < laneCount; lane++) {
    const upstream = stack.use(await startUpstream({ timeoutMs: 600 }));
    direct.push({ address: "127.0.0.1", port: upstream.port, upstream });
  }
  lanesOf.set("node", direct);
});
after(() => stack.disposeAsync());

const lanes = (name: string): Lane[] => lanesOf.get(name) ?? [];

/** The same, in whatever order: requests may reach the upstream over several connections. */
const same = (a: readonly unknown[], b: readonly unknown[]): boolean => {
  const sorted = (list: readonly unknown[]): string => JSON.stringify(list.map((each) => JSON.stringify(each)).sort());
  return sorted(a) === sorted(b);
};

/** What no proxy may do, in words; nothing when all is well. */
const broken = ({ node, raw, problems, fromUpstream, statuses }: Outcome): string | undefined => {
  if (statuses.includes(0)) return "the connection hung";
  if (problems.length > 0) return `a strict upstream refused what came: ${problems}`;
  const known = raw.filter(({ method }) => node.some((each) => each.method === method));
  if (!same(node, known)) return `two upstream readings: ${JSON.stringify({ node, raw })}`;
  if (fromUpstream < node.length - 1) return `the upstream read ${node.length}, ${fromUpstream} were answered`;
  return undefined;
};

/** `node:http` behind and before the proxy must read the same, as far as both read. */
const otherReading = ({ weft, node }: Trio): string | undefined => {
  // What asks for * the proxy answers itself.
  for (const [i, read] of node.node.filter(({ target }) => target !== "*").entries()) {
    const ours = weft.node[i];
    if (ours === undefined) return undefined;
    if (ours.method !== read.method || ours.target !== read.target || ours.body !== read.body) {
      return `read directly ${JSON.stringify(read)}, behind the proxy ${JSON.stringify(ours)}`;
    }
  }
  return undefined;
};

interface Verdict {
  readonly failure?: string;
  /** The class of its difference from Envoy. */
  readonly sort?: string;
}

const told = (text: string, { failure, sort }: Verdict = {}, trio?: Trio): string =>
  `${failure ?? `unknown difference ${sort}`}\n  ${JSON.stringify(text)}\n  ${JSON.stringify({ ...trio, node: trio?.node.node })}`;

const judge = (text: string, trio: Trio): Verdict => {
  const failure = broken(trio.weft) ?? otherReading(trio);
  if (failure !== undefined) return { failure };
  const sort = classOf(text, trio);
  return sort === undefined ? {} : { sort };
};

const runAll = async (cases: readonly string[], settledMs: number): Promise<Trio[]> => {
  const [weft = [], envoy = [], node = []] = await Promise.all(
    ["weft", "envoy", "node"].map((name) => runCases(lanes(name), cases, settledMs)),
  );
  return cases.map((_, at) => ({ weft: weft[at], envoy: envoy[at], node: node[at] }) as Trio);
};

const isKnown = ({ failure, sort }: Verdict): boolean =>
  failure === undefined && (sort === undefined || differences.has(sort));

test(`${caseCount} mutated requests are read alike`, { timeout: 420_000 }, async (t) => {
  const random = seededRandom(seed);
  const cases = Array.from({ length: caseCount }, (_, number) => caseOf(requestSeeds, number, random));
  const counts = new Map<string, number>();
  let pending: readonly string[] = cases;
  let failures: string[] = [];
  for (let round = 0; round <= repeats && pending.length > 0; round++) {
    const trios = await runAll(pending, round === 0 ? 0 : settleMs);
    const verdicts = pending.map((text, at) => judge(text, trios[at] as Trio));
    for (const verdict of verdicts) {
      if (isKnown(verdict) && verdict.sort !== undefined) counts.set(verdict.sort, (counts.get(verdict.sort) ?? 0) + 1);
    }
    failures = pending.flatMap((text, at) =>
      isKnown(verdicts[at] as Verdict) ? [] : [told(text, verdicts[at], trios[at])],
    );
    pending = pending.filter((_, at) => !isKnown(verdicts[at] as Verdict));
  }
  for (const [sort, count] of [...counts].sort(([, a], [, b]) => b - a)) t.diagnostic(`${count} ${sort}`);
  const alike = cases.length - [...counts.values()].reduce((sum, count) => sum + count, 0);
  t.diagnostic(`${alike} of ${cases.length} as Envoy`);
  assert.equal(failures.length, 0, `${failures.length} failures:\n${failures.slice(0, failuresShown).join("\n")}`);
});

test("both proxies are alive after it", async () => {
  for (const name of ["weft", "envoy"]) {
    const { statuses } = await runCase(
      lanes(name)[0] as Lane,
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert.deepEqual(statuses, [200], name);
  }
});
