/** A real Nacos server as a registry: what registers there is called, and no bad day of the server's loses an endpoint. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { startLyingNacos } from "./lying-nacos.ts";
import { registerByGrpc } from "./nacos-grpc-writer.ts";
import { type RealNacos, startNacos } from "./real-nacos.ts";
import { startRelay } from "./relay.ts";
import { endpointsOf, portsBecome as portsAre, portsOf, sourceOf, stateBecomes as stateIs } from "./sources.ts";

const stack = new AsyncDisposableStack();
let nacos: RealNacos;
let cp: TestControlPlane;
let web: TestSidecar;
before(async () => {
  nacos = stack.use(await startNacos());
  cp = stack.use(await startControlPlane({ args: ["--registry", urlOf(nacos)] }));
  web = stack.use(await startSidecar(cp, { name: "web" }));
});
after(() => stack.disposeAsync());

const urlOf = ({ address, grpcPort }: { readonly address: string; readonly grpcPort: number | string }, more = "") =>
  `nacos://${address}?grpc-port=${grpcPort}${more}`;

const endpoints = (service: string, plane = cp) => endpointsOf(plane, service);
const ports = (service: string, plane = cp) => portsOf(plane, service);
const portsBecome = (service: string, wanted: readonly (number | string)[], plane = cp) =>
  portsAre(plane, service, wanted.map(String).sort().join(" "));
const source = (plane = cp) => sourceOf(plane, "nacos");
const stateBecomes = (wanted: string, plane = cp) => stateIs(plane, "nacos", wanted);
const callsAnswer = (service: string, status: number) =>
  eventually(`${service} answers ${status}`, async () =>
    (await callHttp(web.outbound, { host: service })).status === status ? true : undefined,
  );
const http = { protocol: "http", "service-port": "80" };

test("what registers in Nacos is called; a change of weight and metadata takes effect", async () => {
  await using first = await startEchoServer("first");
  await using second = await startEchoServer("second");
  await nacos.register({ service: "catalog", port: first.port, metadata: http });
  await portsBecome("catalog", [first.port]);
  await callsAnswer("catalog", 200);
  assert.equal(JSON.parse((await callHttp(web.outbound, { host: "catalog" })).body).name, "first");

  await nacos.register({ service: "catalog", port: second.port, weight: 7, metadata: { ...http, version: "v2" } });
  await portsBecome("catalog", [first.port, second.port]);
  const endpoint = (await endpoints("catalog")).find(({ port }) => port === second.port);
  assert.deepEqual([endpoint?.weight, endpoint?.labels.version], [7, "v2"]);
  await nacos.register({ service: "catalog", port: second.port, weight: 3, metadata: { ...http, version: "v3" } });
  await eventually("the change is seen", async () => {
    const found = (await endpoints("catalog")).find(({ port }) => port === second.port);
    return found?.weight === 3 && found.labels.version === "v3" ? true : undefined;
  });

  await nacos.deregister("catalog", first.port);
  await portsBecome("catalog", [second.port]);
  await eventually("the other is called", async () =>
    JSON.parse((await callHttp(web.outbound, { host: "catalog" })).body).name === "second" ? true : undefined,
  );
});

test("who sends no heartbeat any more goes; who was registered by gRPC goes with its connection", async () => {
  await nacos.register({ service: "beating", port: 7_001 });
  for (const port of [7_002, 7_004, 7_005]) await nacos.register({ service: "beating", port });
  const writer = await registerByGrpc(nacos, { service: "beating", port: 7_003 });
  await portsBecome("beating", [7_001, 7_002, 7_003, 7_004, 7_005]);
  writer.disconnect();
  await portsBecome("beating", [7_001, 7_002, 7_004, 7_005]);
  nacos.silence("beating", 7_002);
  await portsBecome("beating", [7_001, 7_004, 7_005]);
});

test("fractions of weights stay in proportion; one that is switched off gets nothing", async () => {
  await nacos.register({ service: "weighted", port: 7_011, weight: 0.5 });
  await nacos.register({ service: "weighted", port: 7_012, weight: 2 });
  await nacos.register({ service: "weighted", port: 7_013, weight: 1, enabled: false });
  await eventually("the weights are in proportion", async () => {
    const found = await endpoints("weighted");
    const healthy = found.filter(({ health }) => health === "healthy");
    const weights = healthy.toSorted((a, b) => a.port - b.port).map(({ weight }) => weight);
    return JSON.stringify(weights) === "[50,200]" ? true : undefined;
  });
});

test("Dubbo's providers are their interface, and names that become one are reported", async () => {
  await nacos.register({ service: "providers:com.acme.Shop:1.0:", port: 7_021 });
  await nacos.register({ service: "consumers:com.acme.Shop:1.0:", port: 7_022 });
  await portsBecome("com-acme-shop", [7_021]);
  assert.equal((await endpoints("com-acme-shop"))[0]?.labels.version, "1.0");
  await nacos.register({ service: "Two_Names", port: 7_023 });
  await nacos.register({ service: "two.names", port: 7_024 });
  const reported = async () => {
    const { items } = (await cp.api("GET", "/v1/analyze")) as { items: readonly { code: string; message: string }[] };
    return items.some(({ code, message }) => code === "WF2113" && message.includes("two-names")) || undefined;
  };
  await eventually("the collision is reported", reported);
});

test("a service whose only instance deregisters has none; of several that go together the last are kept", async () => {
  for (const service of ["lone", "stays-1", "stays-2", "stays-3"]) await nacos.register({ service, port: 7_031 });
  await portsBecome("lone", [7_031]);
  await nacos.deregister("lone", 7_031);
  await portsBecome("lone", []);
  await nacos.register({ service: "lone", port: 7_031 });
  await nacos.register({ service: "lone", port: 7_032 });
  await portsBecome("lone", [7_031, 7_032]);
  await nacos.deregister("lone", 7_031);
  await portsBecome("lone", [7_032]);
  await nacos.deregister("lone", 7_032);
  await portsBecome("lone", ["7031?", "7032?"]);
});

test("a server that was killed loses no endpoint, and the view says how old it is", async () => {
  await using echo = await startEchoServer("kept");
  await nacos.register({ service: "kept", port: echo.port, metadata: http });
  await callsAnswer("kept", 200);
  await nacos.kill();
  await stateBecomes("lost");
  await eventually("it ages", async () => (await source()).ageSeconds > 1 || undefined);
  assert.equal(await ports("kept"), `${echo.port}`);
  await callsAnswer("kept", 200);
  await nacos.restart();
  assert.equal((await stateBecomes("live")).ageSeconds, 0);
  await callsAnswer("kept", 200);
  await portsBecome("kept", [echo.port]);
});

test("a server that comes back empty takes nobody out; who registers again is used as before", async () => {
  await using echo = await startEchoServer("held");
  await nacos.register({ service: "emptied", port: echo.port, metadata: http });
  await nacos.register({ service: "emptied", port: 7_041, metadata: http });
  await portsBecome("emptied", [echo.port, 7_041]);
  await callsAnswer("emptied", 200);
  await nacos.kill();
  await stateBecomes("lost");
  await nacos.restart({ empty: true, forgotten: true });
  await stateBecomes("live");
  await portsBecome("emptied", [`${echo.port}?`, "7041?"]);
  await nacos.register({ service: "emptied", port: echo.port, metadata: http });
  await portsBecome("emptied", [echo.port, "7041?"]);
  for (let call = 0; call < 20; call++) {
    const { status, body } = await callHttp(web.outbound, { host: "emptied" });
    assert.deepEqual([status, JSON.parse(body).name], [200, "held"]);
  }
  const findings = (await cp.api("GET", "/v1/analyze")) as { items: readonly { code: string }[] };
  assert.ok(findings.items.some(({ code }) => code === "WF2111"));
});

test("a server that hangs harms nobody, and is followed on when it goes on", async () => {
  const writer = await registerByGrpc(nacos, { service: "hung", port: 7_051 });
  await portsBecome("hung", [7_051]);
  nacos.signal("SIGSTOP");
  await stateBecomes("lost");
  assert.equal(await ports("hung"), "7051");
  nacos.signal("SIGCONT");
  await stateBecomes("live");
  await nacos.register({ service: "hung", port: 7_052 });
  await eventually("the new one is there", async () => (await ports("hung")).includes("7052") || undefined, 60_000);
  writer.disconnect();
});

test("over a cut nothing is lost, and what is missing from the first list is held", async () => {
  await using relay = await startRelay(nacos.address);
  await using grpc = await startRelay(`127.0.0.1:${nacos.grpcPort}`);
  const through = { address: relay.address, grpcPort: grpc.address.split(":")[1] ?? "" };
  await using plane = await startControlPlane({ args: ["--registry", urlOf(through)] });
  await nacos.register({ service: "cut", port: 7_061 });
  await nacos.register({ service: "cut", port: 7_062 });
  await portsBecome("cut", [7_061, 7_062], plane);
  grpc.cut();
  relay.cut();
  await stateBecomes("lost", plane);
  await nacos.register({ service: "cut", port: 7_063 });
  await nacos.deregister("cut", 7_062);
  assert.equal(await ports("cut", plane), "7061 7062");
  relay.mend();
  grpc.mend();
  await portsBecome("cut", [7_061, "7062?", 7_063], plane);
});

test("where gRPC cannot be reached, the server is asked over HTTP", async () => {
  await using grpc = await startRelay(`127.0.0.1:${nacos.grpcPort}`);
  grpc.cut();
  const through = { address: nacos.address, grpcPort: grpc.address.split(":")[1] ?? "" };
  await using plane = await startControlPlane({ args: ["--registry", urlOf(through)] });
  await nacos.register({ service: "polled", port: 7_071 });
  await nacos.register({ service: "polled", port: 7_072 });
  await portsBecome("polled", [7_071, 7_072], plane);
  assert.ok(plane.program.lines.some((line) => line.includes("WF2140")));
  await nacos.register({ service: "polled", port: 7_073, weight: 4 });
  await nacos.deregister("polled", 7_071);
  await portsBecome("polled", [7_072, 7_073], plane);
});

test("answers that take 10 s are waited for, and changes come all the same", { timeout: 180_000 }, async () => {
  await using grpc = await startRelay(`127.0.0.1:${nacos.grpcPort}`);
  const through = { address: nacos.address, grpcPort: grpc.address.split(":")[1] ?? "" };
  await using plane = await startControlPlane({ args: ["--registry", urlOf(through, "&transport=grpc")] });
  await nacos.register({ service: "slow", port: 7_081 });
  await portsBecome("slow", [7_081], plane);
  grpc.slow(10_000);
  await nacos.register({ service: "slow", port: 7_082 });
  await portsBecome("slow", [7_081, 7_082], plane);
  assert.equal((await source(plane)).state, "live");
});

test("a user by a file: a right password is taken, a wrong one said and tried again", async () => {
  using folder = makePrivateFolder("weft-nacos-user-");
  const file = join(folder.path, "credentials");
  await using secured = await startNacos({ user: { name: "weft", password: "right-password" } });
  await secured.register({ service: "secured", port: 7_091 });
  writeFileSync(file, "weft:wrong-password\n");
  await using plane = await startControlPlane({
    args: ["--registry", urlOf(secured), "--registry-credentials", `nacos=${file}`],
  });
  assert.match((await stateBecomes("lost", plane)).reason ?? "", /refuses the user/);
  writeFileSync(file, "weft:right-password\n");
  await stateBecomes("live", plane);
  await portsBecome("secured", [7_091], plane);
  assert.ok(plane.program.lines.every((line) => !/right-password|wrong-password/.test(line)));
});

test("a Nacos 3 that lies and breaks off harms only the services it lies about", async () => {
  await using liar = await startLyingNacos();
  const url = `nacos://${liar.address}?transport=http`;
  await using plane = await startControlPlane({ args: ["--registry", url] });
  await portsBecome("good", [7_111], plane);
  await stateBecomes("live", plane);
  const keys = new Map((await source(plane)).unreadableRecords.map(({ key, problem }) => [key, problem]));
  assert.match(keys.get("public/DEFAULT_GROUP@@garbage") ?? "", /not JSON/);
  assert.match(keys.get("public/DEFAULT_GROUP@@nothing") ?? "", /no instances/);
  assert.match(keys.get("public/DEFAULT_GROUP@@cut") ?? "", /ended|aborted|hang up/);
  assert.match(keys.get("public/DEFAULT_GROUP@@endless") ?? "", /more than \d+ bytes/);
  assert.match(keys.get("public/DEFAULT_GROUP@@mixed/nowhere:7112@DEFAULT") ?? "", /not an IP address/);
  await portsBecome("mixed", [7_113], plane);
});

test("what registers at weft stands in Nacos, is renewed there, and goes when it goes", {
  timeout: 180_000,
}, async () => {
  await using patient = await startNacos({ patient: true });
  const [into, from] = [urlOf(patient), urlOf(patient)];
  await using plane = await startControlPlane({ args: ["--register-into", into, "--registry", from] });
  await using other = await startControlPlane({ args: ["--registry", from, "--trust-domain", "other.test"] });
  const path = "/v1/registry/billing/instances/one";
  const instance = (port: number) => ({
    ...{ address: "127.0.0.1", port, servicePort: 80, protocol: "http", labels: { version: "v9" } },
  });
  const standsAs = (wanted: string) =>
    eventually(
      `Nacos has ${wanted || "nothing"}`,
      async () => (await patient.ports("billing")) === wanted || undefined,
      60_000,
    );
  await plane.api("PUT", path, instance(7_101));
  await standsAs("7101");
  // Others read it with what it says of itself; the mesh that wrote it does not.
  await eventually(
    "it is read",
    async () => (await endpoints("billing", other))[0]?.labels.version === "v9" || undefined,
    60_000,
  );
  assert.equal(await ports("billing", plane), "7101");
  // Longer than the server waits for a heartbeat.
  await patient.kill();
  await patient.restart({ empty: true });
  await standsAs("7101");
  await plane.api("PUT", path, instance(7_102));
  await standsAs("7102");
  await plane.api("DELETE", path);
  await standsAs("");
  await plane.api("PUT", path, instance(7_103));
  await standsAs("7103");
  plane.program.kill("SIGKILL");
  await standsAs("");
});
