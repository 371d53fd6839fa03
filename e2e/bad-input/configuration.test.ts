/** Configuration that cannot be used, each in a running mesh: it is refused with code and place, and the rest goes on. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type ProgramResult, runWeft } from "@weft/testkit/processes";
import { registerInstance, startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { type SteadyLoad, startLoad } from "@weft/testkit/steady-load";

/** Answers of catalog carry this value. */
const marked = (value: string): string => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog}
spec:
  hosts: [catalog]
  http:
    - route: [{destination: {host: catalog}}]
      headers: {response: {set: {x-mark: ${value}}}}
`;

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let web: TestSidecar;
let load: SteadyLoad;
let folder: string;
let catalog: EchoServer;

const mark = async (): Promise<string | undefined> =>
  (await callHttp(web.outbound, { host: "catalog" })).headers["x-mark"];
const untilMarked = (value: string): Promise<unknown> =>
  eventually(`answers are marked ${value}`, async () => ((await mark()) === value ? true : undefined));

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "weft-bad-config-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  cp = stack.use(await startControlPlane({ yaml: marked("one") }));
  catalog = stack.use(await startEchoServer("catalog"));
  stack.use(await startSidecar(cp, { name: "catalog", appPort: catalog.port }));
  web = stack.use(await startSidecar(cp, { name: "web" }));
  await untilMarked("one");
  load = stack.use(startLoad(web.outbound, { host: "catalog" }, ({ status }) => status === 200, 1));
});
after(async () => {
  await load.stop();
  const { failures } = load;
  await stack.disposeAsync();
  assert.deepEqual(failures, [], "traffic was disturbed");
});

const weft = (...args: string[]): Promise<ProgramResult> =>
  runWeft(args, { env: { WEFT_STATE_DIR: folder, WEFT_CP: cp.http, WEFT_TOKEN_FILE: cp.adminTokenFile } });
const inConfig = (name: string): string => join(cp.configFolder, name);

test("malformed YAML in the folder: said with its place, the last good stays, other files go on", async () => {
  writeFileSync(inConfig("test.yaml"), `${marked("broken")}  - : [unclosed\n`);
  await cp.program.waitFor(/not YAML.*code=WF1001.*test\.yaml:\d+:\d+/);
  writeFileSync(
    inConfig("other.yaml"),
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\nspec: {mtls: {mode: STRICT}}\n",
  );
  await eventually("the other file is in force", async () =>
    (await weft("get", "PeerAuthentication", "default")).code === 0 ? true : undefined,
  );
  assert.equal(await mark(), "one", "the last good one stays");
  writeFileSync(inConfig("test.yaml"), marked("two"));
  await untilMarked("two");
});

test("one bad document among good ones: its last good stays, its neighbours are taken", async () => {
  const good = (value: string): string =>
    `${marked(value)}---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: catalog}\nspec: `;
  writeFileSync(
    inConfig("test.yaml"),
    `${good("three")}{host: catalog, trafficPolicy: {loadBalancer: {simple: RANDOM}}}\n`,
  );
  await untilMarked("three");
  writeFileSync(
    inConfig("test.yaml"),
    `${good("four")}{host: catalog, trafficPolicy: {loadBalancer: {simpel: RANDOM}}}\n`,
  );
  await untilMarked("four");
  const { stdout } = await weft("get", "DestinationRule", "catalog", "-o", "json");
  assert.match(stdout, /"simple": "RANDOM"/);
  await cp.program.waitFor(/simpel.*code=WF1003.*test\.yaml:13:54/);
});

test("the same name in two files: said with both places, the first stays in force", async () => {
  writeFileSync(inConfig("zz-twin.yaml"), marked("twin"));
  await cp.program.waitFor(/already defined at \S*test\.yaml:.*code=WF1105.*zz-twin\.yaml:\d+:\d+/);
  assert.equal(await mark(), "four");
  rmSync(inConfig("zz-twin.yaml"));
  assert.equal(await mark(), "four");
});

interface BadObject {
  readonly name: string;
  readonly yaml: string;
  readonly code: RegExp;
  readonly at: string;
  readonly says: RegExp;
}
const head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: bad}\n";
const badObjects: readonly BadObject[] = [
  {
    name: "malformed YAML",
    yaml: `${head}spec: {hosts: [catalog\n`,
    ...{ code: /WF\d{4}/, at: ":5:1", says: /not YAML/ },
  },
  {
    name: "an unknown kind",
    yaml: "apiVersion: networking.istio.io/v1\nkind: VirtualServise\nmetadata: {name: bad}\nspec: {}\n",
    ...{ code: /WF\d{4}/, at: ":2:1", says: /VirtualServise.*VirtualService/ },
  },
  {
    name: "an unknown field",
    yaml: `${head}spec:\n  hosts: [catalog]\n  http:\n    - route: [{destination: {host: catalog}}]\n      retrys: {attempts: 2}\n`,
    ...{ code: /WF\d{4}/, at: ":8:7", says: /retrys.*retries/ },
  },
  {
    name: "a wrong type",
    yaml: `${head}spec:\n  hosts: catalog\n`,
    ...{ code: /WF\d{4}/, at: ":5:10", says: /hosts/ },
  },
  {
    name: "a value out of range",
    yaml: `${head}spec:\n  hosts: [catalog]\n  http: [{route: [{destination: {host: catalog, port: {number: 99999}}}]}]\n`,
    ...{ code: /WF\d{4}/, at: ":6:", says: /99999|port/ },
  },
  {
    name: "a regex that is none",
    yaml: `${head}spec:\n  hosts: [catalog]\n  http: [{match: [{uri: {regex: "(["}}], route: [{destination: {host: catalog}}]}]\n`,
    ...{ code: /WF\d{4}/, at: ":6:", says: /regex|RE2/i },
  },
  {
    name: "the same object twice",
    yaml: `${head}spec: {hosts: [a.example], http: [{route: [{destination: {host: catalog}}]}]}\n---\n${head}spec: {hosts: [b.example], http: [{route: [{destination: {host: catalog}}]}]}\n`,
    ...{ code: /WF\d{4}/, at: ":", says: /bad/ },
  },
];

for (const { name, yaml, code, at, says } of badObjects) {
  test(`analyze and apply refuse ${name}, with code and place`, async () => {
    const path = join(folder, "bad.yaml");
    writeFileSync(path, yaml);
    const [analyzed, applied] = await Promise.all([weft("analyze", path), weft("apply", "-f", path)]);
    assert.equal(analyzed.code, 3, analyzed.stdout);
    const line = analyzed.stdout.split("\n").find((text) => text.startsWith("error")) ?? "";
    assert.match(line, code);
    assert.ok(line.includes(`${path}${at}`), line);
    assert.match(line, says);
    assert.equal(applied.code, 1, applied.stdout);
    const refusal = applied.stderr.split("\n").find((text) => code.test(text)) ?? "";
    assert.ok(refusal.includes(`${path}${at}`), applied.stderr);
    assert.notEqual((await weft("get", "VirtualService", "bad")).code, 0);
  });
}

test("a reference to nothing is taken and found by analyze; its callers are told, others are not touched", async () => {
  const path = join(folder, "nothing.yaml");
  writeFileSync(path, `${head}spec: {hosts: [shop.example], http: [{route: [{destination: {host: nowhere}}]}]}\n`);
  const analyzed = await weft("analyze", path);
  assert.equal(analyzed.code, 3);
  assert.match(analyzed.stdout, /^error +WF1101 .*nothing\.yaml:4:\d+ .*nowhere/m);
  assert.equal((await weft("apply", "-f", path)).code, 0);
  await eventually("the route is there", async () =>
    (await callHttp(web.outbound, { host: "shop.example" })).status === 503 ? true : undefined,
  );
  assert.equal((await weft("delete", "-f", path)).code, 0);
});

interface ProxyItem {
  readonly id: string;
  readonly types: Readonly<Record<string, { readonly status: string; readonly error?: string }>>;
}

test("a resource the sidecar cannot take: NACK with resource and reason, neighbours applied, mended later", async () => {
  const path = join(folder, "nack.yaml");
  writeFileSync(
    path,
    `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: details}
spec:
  host: details
  trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /etc/ssl/certs/ca-certificates.crt, caCrl: /no/such/crl.pem}}
`,
  );
  assert.equal((await weft("apply", "-f", path)).code, 0);
  for (const service of ["details", "ratings"])
    await registerInstance(cp, { service, id: service, port: catalog.port, appPort: catalog.port, mesh: false });
  const webStatus = async (): Promise<ProxyItem["types"]> => {
    const { items } = (await cp.api("GET", "/v1/proxies")) as { items: readonly ProxyItem[] };
    return items.find(({ id }) => id.includes("~web."))?.types ?? {};
  };
  const { error = "" } = await eventually("web refuses the cluster", async () => {
    const cds = (await webStatus()).CDS;
    return cds?.status === "NACK" ? cds : undefined;
  });
  assert.match(error, /outbound\|80\|\|details\.default\.svc\.cluster\.local/);
  assert.match(error, /crl/);
  await eventually("the neighbour that came with it works", async () =>
    (await callHttp(web.outbound, { host: "ratings" })).status === 200 ? true : undefined,
  );
  const [status, check] = await Promise.all([weft("proxy-status"), weft("check")]);
  assert.match(status.stdout, /^web\.default +NACK.*crl/m);
  assert.equal(check.code, 3);
  assert.match(check.stdout, /web\.default +CDS NACK: .*crl/);

  assert.equal((await weft("delete", "-f", path)).code, 0);
  await eventually("web has everything", async () => ((await webStatus()).CDS?.status === "SYNCED" ? true : undefined));
  await eventually("details answers", async () =>
    (await callHttp(web.outbound, { host: "details" })).status === 200 ? true : undefined,
  );
});
