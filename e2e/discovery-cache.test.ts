/** A sidecar starts without any control plane from a cache that was damaged, filled up or taken away. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { registerInstance, startSidecar, type TestSidecar } from "@weft/testkit/sidecar";

const services = ["alpha", "beta", "gamma"] as const;
type Service = (typeof services)[number];

/** A sidecar that was alone for a while asks for its control plane with pauses. */
const backMs = 40_000;
const stack = new AsyncDisposableStack();
/** The cache as the first sidecar left it, with what else it had in its folder. */
let good = "";
let first: TestSidecar;
let cpFolder = "";
let cp: TestControlPlane;
const apps = new Map<Service, EchoServer>();

const temporary = (what: string): string => {
  const folder = mkdtempSync(join(tmpdir(), `weft-test-cache-${what}-`));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};
const statusOf = async (sidecar: TestSidecar, service: string): Promise<number> =>
  (await callHttp(sidecar.outbound, { host: service, path: "/" })).status;
const statuses = (sidecar: TestSidecar): Promise<readonly number[]> =>
  Promise.all(services.map((service) => statusOf(sidecar, service)));
const allAnswer = (sidecar: TestSidecar) =>
  eventually(
    "all services answer",
    async () => ((await statuses(sidecar)).every((status) => status === 200) ? true : undefined),
    backMs,
  );

interface Shown {
  readonly l1: { readonly filled: number };
  readonly l2: { readonly hits: number; readonly corrupted: number; readonly errors: number; readonly entries: number };
}
const shown = async (sidecar: TestSidecar): Promise<Shown> =>
  (await (await fetch(`http://${sidecar.admin}/discovery_cache`)).json()) as Shown;
const cacheOf = (folder: string): string => join(folder, "discovery-cache");
const entryFiles = (folder: string): readonly string[] =>
  readdirSync(cacheOf(folder))
    .filter((name) => name.startsWith("entries-"))
    .map((name) => join(cacheOf(folder), name));
const countOf = (sidecar: TestSidecar, pattern: RegExp): number =>
  sidecar.program.lines.filter((line) => pattern.test(line)).length;

/** Starts the sidecar again with a copy of what it had, after something was done to that. */
const startAlone = async (what: string, damage: (folder: string) => void): Promise<TestSidecar> => {
  const folder = temporary(what);
  cpSync(good, folder, { recursive: true });
  damage(folder);
  return startSidecar(cp, { name: "web", again: { ...first, folder } });
};
const damageIn = (file: string, needle: string, at: number): boolean => {
  const bytes = readFileSync(file);
  const found = bytes.indexOf(needle);
  if (found < 0) return false;
  bytes[found + at] = (bytes[found + at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
  return true;
};
const restartControlPlane = (): Promise<TestControlPlane> =>
  startControlPlane({ folder: cpFolder, addresses: { xds: cp.xds, secure: cp.secure, http: cp.http } });

before(async () => {
  cpFolder = temporary("cp");
  cp = await startControlPlane({ folder: cpFolder });
  for (const service of services) {
    const app = stack.use(await startEchoServer(service));
    apps.set(service, app);
    await registerInstance(cp, { service, id: "i", port: app.port, appPort: app.port, mesh: false });
  }
  good = temporary("good");
  first = await startSidecar(cp, { name: "web", folder: good });
  await allAnswer(first);
  await eventually("the cache is written", async () => {
    const { l2 } = await shown(first);
    return services.every((service) => entryFiles(good).some((file) => readFileSync(file).includes(`||${service}.`))) &&
      l2.entries > 0
      ? true
      : undefined;
  });
  await first[Symbol.asyncDispose]();
  await cp[Symbol.asyncDispose]();
});
after(async () => {
  await cp?.[Symbol.asyncDispose]();
  await stack.disposeAsync();
});

test("alone, with all its files whole, it serves all, and the second level has answered", async () => {
  await using sidecar = await startAlone("whole", () => undefined);
  assert.deepEqual(await statuses(sidecar), [200, 200, 200]);
  assert.equal(countOf(sidecar, /WF3306/), 1);
  assert.equal(countOf(sidecar, /WF332\d/), 0);
  const { l1, l2 } = await shown(sidecar);
  assert.ok(l2.hits > 0 && l1.filled >= l2.hits && l2.corrupted === 0);
  const lines = await (await fetch(`http://${sidecar.admin}/stats/prometheus`)).text();
  assert.match(lines, /^weft_discovery_cache_hits_total\{level="l2"\} [1-9]/m);
  assert.match(await (await fetch(`http://${sidecar.admin}/stats`)).text(), /^discovery_cache\.l2\.hits: [1-9]/m);
});

test("one flipped bit in one resource costs that one only; when the control plane is back it is healed", async () => {
  const endpoints = "outbound|80||beta.default.svc.cluster.local";
  await using sidecar = await startAlone("bit", (folder) => {
    const hit = entryFiles(folder).filter((file) => damageIn(file, `{"clusterName":"${endpoints}`, 20));
    assert.equal(hit.length, 1);
  });
  assert.deepEqual(await statuses(sidecar), [200, 503, 200]);
  assert.ok(sidecar.program.lines.some((line) => line.includes("WF3320") && line.includes(`endpoints ${endpoints}`)));
  assert.equal(countOf(sidecar, /WF3323/), 1);
  assert.equal((await shown(sidecar)).l2.corrupted, 1);
  await using back = await restartControlPlane();
  await allAnswer(sidecar);
  const { folder } = sidecar;
  await eventually("the lost entry is on disk again", () =>
    entryFiles(folder).some((file) => readFileSync(file).includes(`{"clusterName":"${endpoints}`)) ? true : undefined,
  );
  await sidecar[Symbol.asyncDispose]();
  await back[Symbol.asyncDispose]();
  await using again = await startSidecar(cp, { name: "web", again: { ...first, folder } });
  assert.deepEqual(await statuses(again), [200, 200, 200]);
  assert.equal(countOf(again, /WF332\d/), 0);
});

test("every file damaged at a mark, cut off at its end or with rubbish behind it: nothing is lost", async () => {
  let files = 0;
  await using sidecar = await startAlone("all", (folder) => {
    for (const file of entryFiles(folder)) {
      const bytes = readFileSync(file);
      const rubbish = Buffer.concat([bytes.subarray(0, -10), Buffer.from("\0\n<garbage>\n"), bytes.subarray(40, 60)]);
      if (files % 3 === 0) damageIn(file, "\n>", 10);
      else writeFileSync(file, files % 3 === 1 ? bytes.subarray(0, -10) : rubbish);
      files++;
    }
    writeFileSync(join(cacheOf(folder), "stray"), "what is this?");
  });
  assert.deepEqual(await statuses(sidecar), [200, 200, 200]);
  assert.equal((await shown(sidecar)).l2.corrupted, files);
});

test("a cache of which nothing is left, or that is another proxy's, is as none; the control plane fills it anew", async () => {
  const folder = temporary("none");
  cpSync(good, folder, { recursive: true });
  for (const [index, file] of entryFiles(folder).entries()) {
    const bytes = readFileSync(file);
    const contents = [Buffer.alloc(bytes.length), Buffer.alloc(0), Buffer.from('{"format":"weft-last-good-9"}\n[]')];
    const other = '# weft discovery cache 1 "sidecar~10.0.0.1~other.default~x"\n';
    writeFileSync(file, contents[index] ?? Buffer.from(other));
  }
  await using back = await restartControlPlane();
  await using sidecar = await startSidecar(cp, { name: "web", again: { ...first, folder } });
  await allAnswer(sidecar);
  await sidecar.program.waitFor(/WF3305.*sidecar~10\.0\.0\.1~other/);
  await sidecar.program.waitFor(/WF3320/);
  await eventually("the cache is whole again", () =>
    services.every((service) => entryFiles(folder).some((file) => readFileSync(file).includes(`||${service}.`)))
      ? true
      : undefined,
  );
  await sidecar[Symbol.asyncDispose]();
  await back[Symbol.asyncDispose]();
  await using again = await startSidecar(cp, { name: "web", again: { ...first, folder } });
  assert.deepEqual(await statuses(again), [200, 200, 200]);
  assert.equal(countOf(again, /WF33(05|2\d)/), 0);
});

const mountTiny = (folder: string): string => {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", folder], { stdio: "pipe" });
    return "";
  } catch (error) {
    return `a small file system cannot be mounted here: ${(error as Error).message.split("\n")[1] ?? error}`;
  }
};

test("a full disk and one that is read-only stop nothing but the writing, which goes on by itself", async (t) => {
  const folder = temporary("tiny");
  const why = mountTiny(folder);
  if (why !== "") return t.skip(why);
  using _mounted = { [Symbol.dispose]: () => execFileSync("umount", ["-l", folder]) };
  await using back = await restartControlPlane();
  await using sidecar = await startSidecar(cp, { name: "web", again: { ...first, folder } });
  await allAnswer(sidecar);
  await eventually("the cache is written", () =>
    existsSync(cacheOf(folder)) && entryFiles(folder).length > 3 ? true : undefined,
  );
  const filler = join(folder, "filler");
  assert.throws(() => {
    for (let size = 0; ; size += 4_096) writeFileSync(filler, Buffer.alloc(4_096), { flag: size === 0 ? "w" : "a" });
  }, /ENOSPC/);
  const port = apps.get("alpha")?.port ?? 0;
  /** Many of them: each takes more than what is left of a page. */
  for (let i = 0; i < 40; i++)
    await registerInstance(back, { service: `more-${i}`, id: "i", port, appPort: port, mesh: false });
  await sidecar.program.waitFor(/WF3304.*ENOSPC/);
  await eventually("what came meanwhile serves", async () =>
    (await statusOf(sidecar, "more-39")) === 200 ? true : undefined,
  );
  assert.ok((await shown(sidecar)).l2.errors > 0);
  rmSync(filler);
  await sidecar.program.waitFor(/written again/);
  execFileSync("mount", ["-o", "remount,ro", folder]);
  await registerInstance(back, { service: "last", id: "i", port, appPort: port, mesh: false });
  await sidecar.program.waitFor(/WF3304.*EROFS/);
  assert.equal(await eventually("it serves", async () => (await statusOf(sidecar, "last")) === 200 || undefined), true);
  await sidecar[Symbol.asyncDispose]();
  await back[Symbol.asyncDispose]();
  execFileSync("mount", ["-o", "remount,rw", folder]);
  await using again = await startSidecar(cp, { name: "web", again: { ...first, folder } });
  assert.deepEqual(await statuses(again), [200, 200, 200]);
  assert.equal(await statusOf(again, "more-39"), 200);
});

test("what a sidecar of a large mesh has called before it can call after a restart alone", async () => {
  const [forMesh, folder] = [temporary("large"), temporary("scoped")];
  const large = await startControlPlane({ folder: forMesh, args: ["--on-demand-above", "0"] });
  await using _large = large;
  for (const service of services) {
    const port = apps.get(service)?.port ?? 0;
    await registerInstance(large, { service, id: "i", port, appPort: port, mesh: false });
  }
  const sidecar = await startSidecar(large, { name: "web", folder });
  await using _sidecar = sidecar;
  await eventually("alpha answers", async () => (await statusOf(sidecar, "alpha")) === 200 || undefined);
  assert.equal(await statusOf(sidecar, "beta"), 200);
  const onDisk = (name: string): boolean =>
    entryFiles(folder).some((file) => readFileSync(file).includes(`{"clusterName":"outbound|80||${name}.`));
  await eventually("both are on disk", () => (onDisk("alpha") && onDisk("beta") ? true : undefined));
  assert.equal(onDisk("gamma"), false, "what was not called is not here");
  await sidecar[Symbol.asyncDispose]();
  await large[Symbol.asyncDispose]();
  await using alone = await startSidecar(large, { name: "web", again: { ...sidecar, folder } });
  assert.deepEqual([await statusOf(alone, "alpha"), await statusOf(alone, "beta")], [200, 200]);
  const { l2 } = await shown(alone);
  assert.ok(l2.hits > 0);
});
