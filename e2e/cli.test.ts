/** The command line against a small running mesh: what it prints in each form, and its exit codes. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type ProgramResult, runWeft, startWeft } from "@weft/testkit/processes";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { parse } from "yaml";

const yaml = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog}
spec:
  host: catalog
  trafficPolicy: {connectionPool: {http: {http2MaxRequests: 77}}}
  subsets: [{name: v1, labels: {version: v1}}]
`;
const virtualService = (name: string, host = "catalog"): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}}
spec:
  hosts: [${host}]
  http: [{route: [{destination: {host: ${host}, subset: v1}}]}]
`;

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let web: TestSidecar;
let folder: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "weft-cli-test-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  cp = stack.use(await startControlPlane({ yaml }));
  const echo = stack.use(await startEchoServer("catalog"));
  stack.use(await startSidecar(cp, { name: "catalog", labels: { version: "v1" }, appPort: echo.port }));
  web = stack.use(await startSidecar(cp, { name: "web" }));
  await eventually("catalog answers", async () =>
    (await callHttp(web.outbound, { host: "catalog" })).status === 200 ? true : undefined,
  );
});
after(() => stack.disposeAsync());

/** No mesh of this machine's user is taken for ours. */
const env = (): Readonly<Record<string, string>> => ({ WEFT_STATE_DIR: join(folder, "no-mesh") });
const weft = (...args: string[]): Promise<ProgramResult> =>
  runWeft(args, { env: { ...env(), WEFT_CP: cp.http, WEFT_TOKEN_FILE: cp.adminTokenFile } });
const succeed = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await weft(...args);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
};
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

interface Envelope {
  readonly apiVersion: string;
  readonly kind: string;
  readonly items: readonly Record<string, unknown>[];
  readonly summary: Readonly<Record<string, unknown>>;
}

for (const [kind, args, heading] of [
  ["ProxyStatusList", ["proxy-status"], /^NAME +CDS +LDS +EDS +RDS +VERSION/],
  ["ConfigList", ["get"], /^KIND +NAMESPACE +NAME +SOURCE/],
  ["ServiceList", ["registry"], /^NAME +NAMESPACE +HOSTNAME +PORTS/],
  ["EndpointList", ["registry", "catalog"], /^ENDPOINT +SERVICE PORT/],
  ["CheckList", ["check"], /CHECK +FOUND/],
] as const) {
  test(`${args.join(" ")} prints a table, and the same envelope as JSON and YAML`, async () => {
    const forms = ["table", "json", "yaml"].map((form) => succeed(...args, "-o", form));
    const [table = "", jsonText = "", yamlText = ""] = await Promise.all(forms);
    assert.match(table, heading);
    const json = JSON.parse(jsonText) as Envelope;
    assert.deepEqual([json.apiVersion, json.kind], ["weft.dev/v1", kind]);
    assert.ok(json.items.length > 0);
    assert.equal(json.summary.total, json.items.length);
    const asYaml = parse(yamlText) as Envelope;
    assert.deepEqual([asYaml.kind, asYaml.items.length], [kind, json.items.length]);
  });
}

test("proxy-status shows every proxy synced, and one by NAME or NAME.NAMESPACE", async () => {
  const table = await succeed("proxy-status");
  for (const name of ["catalog.default", "web.default"])
    assert.match(table, new RegExp(`^${name} +SYNCED +SYNCED +SYNCED +SYNCED`, "m"));
  for (const name of ["web", "web.default"]) {
    const { items } = JSON.parse(await succeed("ps", name, "-o", "json")) as Envelope;
    assert.deepEqual(
      items.map(({ id }) => id),
      ["sidecar~127.0.0.1~web.default~default.svc.cluster.local"],
    );
  }
  const { code, stderr } = await weft("proxy-status", "web.elsewhere");
  assert.equal(code, 1);
  assert.match(stderr, /^WF9025 no connected proxy is called web\.elsewhere/);
});

const outboundName = "outbound|80||catalog.default.svc.cluster.local";

for (const [names, table, nameOf, expected] of [
  [["clusters", "cluster"], /^SERVICE FQDN +PORT +SUBSET +DIRECTION/, "name", outboundName],
  [["listeners", "listener"], /^NAME +ADDRESS +MATCH +DESTINATION/, "name", "127.0.0.1_"],
  [["routes", "route"], /^NAME +VHOST NAME +DOMAINS +MATCH/, "name", "http_proxy"],
  [["endpoints", "endpoint"], /^ENDPOINT +STATUS +OUTLIER CHECK +CLUSTER/, "name", outboundName],
  [["secret", "secrets"], /^RESOURCE NAME +TYPE/, "name", "ROOTCA"],
] as const) {
  test(`proxy-config ${names.join(" or ")}: a table, bare arrays as JSON and YAML, by either name of the proxy`, async () => {
    const [name, singular] = names;
    const [plain = "", short, jsonText = "", yamlText = ""] = await Promise.all([
      succeed("proxy-config", name, "web"),
      succeed("pc", singular, "web.default"),
      succeed("proxy-config", singular, "web.default", "-o", "json"),
      succeed("proxy-config", singular, "web", "-o", "yaml"),
    ]);
    assert.match(plain, table);
    assert.equal(short, plain);
    const json = JSON.parse(jsonText) as Record<string, string>[];
    assert.ok(Array.isArray(json));
    assert.ok(
      json.some((item) => item[nameOf]?.startsWith(expected)),
      JSON.stringify(json).slice(0, 500),
    );
    const asYaml: unknown = parse(yamlText);
    assert.ok(Array.isArray(asYaml));
    assert.equal(asYaml.length, json.length);
  });
}

test("proxy-config cluster -o json is proto JSON, as istioctl prints it", async () => {
  const clusters = JSON.parse(await succeed("proxy-config", "cluster", "web.default", "-o", "json")) as {
    name: string;
    type?: string;
    circuitBreakers?: { thresholds: { maxRequests?: number }[] };
  }[];
  const found = clusters.find(({ name }) => name === outboundName);
  assert.equal(found?.type, "EDS");
  assert.equal(found?.circuitBreakers?.thresholds[0]?.maxRequests, 77);
  const subset = await succeed("pc", "cluster", "web", "--name", "|v1|", "-o", "json");
  assert.deepEqual(
    (JSON.parse(subset) as { name: string }[]).map(({ name }) => name),
    ["outbound|80|v1|catalog.default.svc.cluster.local"],
  );
});

test("proxy-config all shows every section, and no private key is ever printed", async () => {
  const table = await succeed("proxy-config", "all", "web");
  for (const section of ["CLUSTERS", "LISTENERS", "ROUTES", "ENDPOINTS", "SECRET"])
    assert.match(table, new RegExp(`^${section}$`, "m"));
  const json = await succeed("proxy-config", "all", "web", "-o", "json");
  assert.deepEqual(Object.keys(JSON.parse(json) as object), ["clusters", "listeners", "routes", "endpoints", "secret"]);
  const decoded = json.replace(/"inlineBytes": "([^"]*)"/g, (_, bytes: string) =>
    Buffer.from(bytes, "base64").toString("latin1"),
  );
  assert.match(decoded, /BEGIN CERTIFICATE/);
  assert.doesNotMatch(decoded, /PRIVATE KEY/);
  assert.ok(parse(await succeed("proxy-config", "all", "web", "-o", "yaml")));
});

test("proxy-config asks an admin interface by address, and says when nobody is there", async () => {
  assert.match(await succeed("pc", "clusters", "any", "--admin", web.admin), /catalog\.default\.svc/);
  const { code, stderr } = await weft(
    ...["pc", "clusters", "web", "--admin", `127.0.0.1:${await findFreePort("127.0.0.1", 0)}`],
  );
  assert.equal(code, 1);
  assert.match(stderr, /^WF9028 cannot ask the proxy's admin interface/);
  const unknown = await weft("pc", "clusters", "nobody");
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /^WF9025 no connected proxy is called nobody/);
});

test("apply, get and delete: created, unchanged, configured, dry run, gone", async () => {
  const path = file("vs.yaml", virtualService("catalog"));
  assert.equal(await succeed("apply", "-f", path, "--dry-run"), "VirtualService default/catalog created (dry run)\n");
  assert.doesNotMatch(await succeed("get"), /VirtualService/);
  assert.equal(await succeed("apply", "-f", path), "VirtualService default/catalog created\n");
  assert.equal(await succeed("apply", "-f", path), "VirtualService default/catalog unchanged\n");
  writeFileSync(path, `${virtualService("catalog")}  exportTo: ["."]\n`);
  const { kind, items } = JSON.parse(await succeed("apply", "-f", path, "-o", "json")) as Envelope;
  assert.equal(kind, "ChangeList");
  assert.deepEqual(
    items.map(({ name, result }) => [name, result]),
    [["catalog", "configured"]],
  );
  assert.match(await succeed("get", "virtualservices", "catalog"), /^VirtualService +default +catalog/m);
  assert.match(await succeed("get", "VirtualService", "-n", "default"), /catalog/);
  assert.match(await succeed("get", "VirtualService", "-n", "elsewhere"), /^No configuration objects/);
  assert.equal(await succeed("delete", "VirtualService", "catalog"), "VirtualService default/catalog deleted\n");
  const again = await weft("delete", "VirtualService", "catalog");
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^WF8404 there is no VirtualService/);
  await succeed("apply", "-f", path);
  assert.equal(await succeed("delete", "-f", path), "VirtualService default/catalog deleted\n");
  const missing = await weft("get", "VirtualService", "catalog");
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^WF9023 /);
});

test("analyze exits 3 at its threshold, and prints findings with all their members", async () => {
  const bad = file("bad.yaml", virtualService("lost", "nowhere"));
  const { code, stdout } = await weft("analyze", bad, "-o", "json");
  assert.equal(code, 3);
  const { kind, items, summary } = JSON.parse(stdout) as Envelope;
  assert.equal(kind, "FindingList");
  assert.ok(Number(summary.errors) > 0);
  const [finding = {}] = items;
  for (const member of ["code", "level", "message", "kind", "namespace", "name", "file", "line", "column", "also"])
    assert.ok(member in finding, `${member} is missing from ${JSON.stringify(finding)}`);
  assert.deepEqual([finding.file, finding.name], [bad, "lost"]);
  assert.match((await weft("analyze", bad)).stdout, /^error +WF\d{4} .*bad\.yaml:\d+:\d+ /m);
  const alone = await weft("analyze", bad, "--offline");
  assert.equal(alone.code, 0, "who does not know the mesh cannot be sure");
  assert.match(alone.stdout, /^warning WF1101 /m);
  assert.equal((await weft("analyze", bad, "--offline", "--fail-on", "warning")).code, 3);

  const good = file("good.yaml", virtualService("fine"));
  assert.equal((await weft("analyze", good)).code, 3, "the subset is not in the files");
  const both = file("both.yaml", `${virtualService("fine")}---${yaml}`);
  assert.match(await succeed("analyze", both), /0 errors/);
  const strange = await weft("analyze", both, "--fail-on", "sometimes");
  assert.equal(strange.code, 2);
  const absent = await weft("analyze", join(folder, "absent.yaml"));
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /^WF9029 cannot read .*absent\.yaml/);
});

test("check tells what it looked at", async () => {
  assert.match(await succeed("check"), /no problems/);
  const { kind, items } = JSON.parse(await succeed("check", "-o", "json")) as Envelope;
  assert.equal(kind, "CheckList");
  assert.ok(items.some(({ area, check, level }) => area === "identity" && check === "web.default" && level === "ok"));
});

test("registry watches, token lets a workload in as often as it says", { timeout: 60_000 }, async () => {
  const watched = startWeft(["registry", "--watch"], { env: { ...env(), WEFT_CP: cp.http } });
  await using _watched = watched;
  await watched.waitFor(/"type":"ADDED".*catalog/);
  const token = file("token", await succeed("token", "--uses", "1", "--ttl", "5m", "--service-account", "late"));
  const once = { ...cp, joinTokenFile: token };
  {
    await using late = await startSidecar(once, { name: "late", appPort: 9 });
    await watched.waitFor(/"late"/);
    const [chain] = JSON.parse(await succeed("pc", "secret", "late", "-o", "json")) as { name: string }[];
    assert.equal(chain?.name, "default");
    late.program.kill("SIGTERM");
    assert.equal(await late.program.exited, 0);
  }
  watched.kill("SIGINT");
  assert.equal(await watched.exited, 0);
  const bad = await weft("token", "--ttl", "soon");
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /^WF9022 "soon" is not a duration/);
});

test("without a control plane commands exit 4, without the token 1, without sense 2", async () => {
  const nobody = `127.0.0.1:${await findFreePort("127.0.0.1", 0)}`;
  const path = file("any.yaml", virtualService("any"));
  const asking = [["proxy-status"], ["get"], ["registry"], ["check"], ["token"], ["apply", "-f", path]];
  for (const { code, stderr } of await Promise.all(asking.map((args) => weft(...args, "--cp", nobody)))) {
    assert.equal(code, 4, stderr);
    assert.match(stderr, /^WF9030 cannot reach the control plane/m);
  }
  const wrong = await weft("apply", "-f", path, "--token-file", file("wrong-token", "wrong"));
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /^WF8\d{3} /);
  assert.doesNotMatch(await succeed("get"), /\bany\b/);
  const xml = await weft("get", "-o", "xml");
  assert.equal(xml.code, 2);
  assert.match(xml.stderr, /^WF9020 unknown output format "xml"/);
  const senseless = [["no-such-command"], ["get", "--no-such-flag"], ["proxy-config", "clusters"], ["apply"], []];
  for (const { code, stdout } of await Promise.all(senseless.map((args) => weft(...args))))
    assert.equal(code, 2, stdout);
});
