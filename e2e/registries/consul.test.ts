/** A real Consul as a registry: what registers there is called, and no bad day of Consul's loses an endpoint. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { type ConsulService, type RealConsul, startConsul } from "./real-consul.ts";
import { startRelay } from "./relay.ts";
import { endpointsOf, portsBecome, portsOf, sourceOf, stateBecomes } from "./sources.ts";

const stack = new AsyncDisposableStack();
let consul: RealConsul;
let cp: TestControlPlane;
let web: TestSidecar;
before(async () => {
  consul = stack.use(await startConsul());
  cp = stack.use(await startControlPlane({ args: ["--registry", `consul://${consul.address}`] }));
  web = stack.use(await startSidecar(cp, { name: "web" }));
});
after(() => stack.disposeAsync());

const meta = { "service-port": "80", protocol: "http" };
const register = (name: string, id: string, port: number, more: Partial<ConsulService> = {}) =>
  consul.register({ name, id, port, meta, ...more });
const callsAnswer = (service: string, status: number) =>
  eventually(`${service} answers ${status}`, async () =>
    (await callHttp(web.outbound, { host: service })).status === status ? true : undefined,
  );
const nameCalled = async (service: string): Promise<string> =>
  JSON.parse((await callHttp(web.outbound, { host: service })).body).name;
const healthBecomes = (service: string, wanted: string, plane = cp) =>
  eventually(`${service} is ${wanted}`, async () => {
    const found = (await endpointsOf(plane, service)).map(({ port, health }) => `${port} ${health}`).sort();
    return found.join(" ") === wanted || undefined;
  });

test("what registers in Consul is called; a change, a failed check and a deregistration take effect", async () => {
  await using first = await startEchoServer("first");
  await using second = await startEchoServer("second");
  await register("catalog", "c1", first.port);
  await portsBecome(cp, "catalog", `${first.port}`);
  await callsAnswer("catalog", 200);
  assert.equal(await nameCalled("catalog"), "first");

  await register("catalog", "c1", second.port, { weight: 7 });
  await portsBecome(cp, "catalog", `${second.port}`);
  assert.equal((await endpointsOf(cp, "catalog"))[0]?.weight, 7);
  await eventually("the other is called", async () => (await nameCalled("catalog")) === "second" || undefined);

  await register("catalog", "c2", first.port, { ttl: "10m" });
  await portsBecome(cp, "catalog", [first.port, second.port].sort().join(" "));
  await consul.check("c2", "fail");
  await eventually("only what is well is called", async () => {
    const names = new Set<string>();
    for (let call = 0; call < 10; call++) names.add(await nameCalled("catalog"));
    return (names.size === 1 && names.has("second")) || undefined;
  });
  await consul.check("c2", "pass");
  await eventually("it is called again", async () => (await nameCalled("catalog")) === "first" || undefined);

  await consul.deregister("c1");
  await portsBecome(cp, "catalog", `${first.port}`);
  await consul.deregister("c2");
  await portsBecome(cp, "catalog", "");
});

test("a time-to-live that ends makes unhealthy, and maintenance drains", async () => {
  await register("states", "s1", 7001, { ttl: "1s" });
  await register("states", "s2", 7002);
  await healthBecomes("states", "7001 unhealthy 7002 healthy");
  await consul.put("/v1/agent/service/maintenance/s2?enable=true&reason=test");
  await healthBecomes("states", "7001 unhealthy 7002 draining");
  await consul.put("/v1/agent/service/maintenance/s2?enable=false");
  await consul.check("s1", "pass");
  await healthBecomes("states", "7001 healthy 7002 healthy");
  for (const id of ["s1", "s2"]) await consul.deregister(id);
  await portsBecome(cp, "states", "");
});

test("a service without a port is reported by its key, and harms nobody", async () => {
  await register("orders", "o1", 7101);
  await register("orders", "o2", 0);
  await register("orders", "o3", 7103, { address: "orders.internal" });
  await register("orders", "o4", 7104);
  await portsBecome(cp, "orders", "7101 7104");
  const keys = new Map((await sourceOf(cp, "consul")).unreadableRecords.map(({ key, problem }) => [key, problem]));
  assert.match(keys.get("orders/one/o2") ?? "", /no port/);
  assert.match(keys.get("orders/one/o3") ?? "", /"orders.internal" is not an IP address/);
  for (const id of ["o2", "o3"]) await consul.deregister(id);
  await eventually(
    "nothing is unreadable",
    async () => (await sourceOf(cp, "consul")).unreadableRecords.length === 0 || undefined,
  );
});

test("only what has a tag is read where one is asked for, and names that become one are reported", async () => {
  await using plane = await startControlPlane({
    args: ["--registry", `consul://${consul.address}?tag=weft&to-namespace=shop`],
  });
  await register("Tagged_Service", "t1", 7201, { tags: ["weft", "canary"] });
  await register("tagged-service", "t2", 7202, { tags: ["weft"] });
  await register("tagged-service", "t3", 7203);
  await portsBecome(plane, "tagged-service", "7202", "shop");
  const findings = (await plane.api("GET", "/v1/analyze")) as { items: readonly { code: string; message: string }[] };
  assert.ok(findings.items.some(({ code, message }) => code === "WF2113" && message.includes("Tagged_Service")));
  for (const id of ["t1", "t2", "t3"]) await consul.deregister(id);
  await portsBecome(plane, "tagged-service", "", "shop");
});

test("more services than are watched: what comes, what fails and what goes is seen all the same", async () => {
  await using plane = await startControlPlane({ args: ["--registry", `consul://${consul.address}?watches=2`] });
  const names = Array.from({ length: 12 }, (_, at) => `many-${at}`);
  for (const [at, name] of names.entries()) await register(name, name, 7300 + at, { ttl: "10m" });
  for (const [at, name] of names.entries()) await portsBecome(plane, name, `${7300 + at}`);
  await consul.check("many-3", "fail");
  await healthBecomes("many-3", "7303 unhealthy", plane);
  await register("many-5", "more", 7399);
  await portsBecome(plane, "many-5", "7305 7399");
  await consul.deregister("more");
  await portsBecome(plane, "many-5", "7305");
  // Most of all services at once, and believed: they were deregistered.
  for (const name of names) await consul.deregister(name);
  for (const name of names) await portsBecome(plane, name, "");
  const { events, held } = await sourceOf(plane, "consul");
  assert.deepEqual([events.lost, held.absent], [undefined, 0]);
});

test("over a cut, changes are picked up, and what is missing then is held", async () => {
  await using relay = await startRelay(consul.address);
  await using plane = await startControlPlane({ args: ["--registry", `consul://${relay.address}`] });
  await register("cut", "a", 7401);
  await register("cut", "b", 7402);
  await portsBecome(plane, "cut", "7401 7402");
  relay.cut();
  await stateBecomes(plane, "consul", "lost");
  await register("cut", "c", 7403);
  await consul.deregister("b");
  await eventually("Consul's catalogue has it so", async () => {
    const found = (await consul.get("/v1/health/service/cut")) as readonly {
      readonly Service: { readonly ID: string };
    }[];
    return (
      found
        .map(({ Service }) => Service.ID)
        .sort()
        .join(" ") === "a c" || undefined
    );
  });
  assert.equal(await portsOf(plane, "cut"), "7401 7402");
  relay.mend();
  await stateBecomes(plane, "consul", "live");
  await portsBecome(plane, "cut", "7401 7402? 7403");
});

test("a Consul that answers slowly is waited for", async () => {
  await register("slow", "s", 7501);
  await using relay = await startRelay(consul.address);
  relay.slow(10_000);
  await using plane = await startControlPlane({ args: ["--registry", `consul://${relay.address}`] });
  await stateBecomes(plane, "consul", "live");
  await portsBecome(plane, "slow", "7501");
  await register("slow", "s", 7502);
  await portsBecome(plane, "slow", "7502");
  const { events } = await sourceOf(plane, "consul");
  assert.equal(events.lost, undefined);
});

test("a Consul that was killed loses no endpoint, and the view says how old it is", async () => {
  await using echo = await startEchoServer("kept");
  await register("kept", "k", echo.port);
  await callsAnswer("kept", 200);
  await consul.kill();
  await stateBecomes(cp, "consul", "lost");
  await eventually("it ages", async () => (await sourceOf(cp, "consul")).ageSeconds > 1 || undefined);
  assert.equal(await portsOf(cp, "kept"), `${echo.port}`);
  await callsAnswer("kept", 200);
  await consul.restart();
  assert.equal((await stateBecomes(cp, "consul", "live")).ageSeconds, 0);
  await portsBecome(cp, "kept", `${echo.port}`);
});

test("a Consul that hangs harms nobody, and is followed on when it goes on", async () => {
  await register("hung", "h1", 7601);
  await portsBecome(cp, "hung", "7601");
  consul.signal("SIGSTOP");
  await stateBecomes(cp, "consul", "lost");
  assert.equal(await portsOf(cp, "hung"), "7601");
  consul.signal("SIGCONT");
  await stateBecomes(cp, "consul", "live");
  await register("hung", "h2", 7602);
  await portsBecome(cp, "hung", "7601 7602");
});

test("a Consul that comes back empty takes nobody out; who registers again is used as before", async () => {
  await using echo = await startEchoServer("held");
  await register("emptied", "a", echo.port);
  await register("emptied", "b", 7701);
  await callsAnswer("emptied", 200);
  await consul.kill();
  await stateBecomes(cp, "consul", "lost");
  await consul.restart({ empty: true });
  const { held } = await stateBecomes(cp, "consul", "live");
  assert.ok(held.absent >= 2);
  await portsBecome(cp, "emptied", [`${echo.port}?`, "7701?"].sort().join(" "));
  await register("emptied", "a", echo.port);
  await portsBecome(cp, "emptied", [`${echo.port}`, "7701?"].sort().join(" "));
  for (let call = 0; call < 10; call++) assert.equal(await nameCalled("emptied"), "held");
});

test("TLS and an ACL token, by files: right ones are taken, wrong ones are said and tried again", async () => {
  using folder = makePrivateFolder("weft-consul-tls-");
  const file = (name: string): string => join(folder.path, name);
  execFileSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=consul", "-addext", "subjectAltName=IP:127.0.0.1"],
    ...["-keyout", file("key.pem"), "-out", file("cert.pem")],
  ]);
  const token = "3f1c1d0e-8a55-4b0c-9d53-0c6d4f6ce3a1";
  const tls = { certFile: file("cert.pem"), keyFile: file("key.pem") };
  await using secured = await startConsul({ token, tls });
  await secured.register({ name: "secured", id: "s", port: 7801, meta });
  writeFileSync(file("credentials"), "token:00000000-0000-0000-0000-000000000000\n");
  await using plane = await startControlPlane({
    args: [
      ...["--registry", `consul://${secured.secureAddress}?ca=${file("cert.pem")}`],
      ...["--registry-credentials", `consul=${file("credentials")}`],
    ],
  });
  assert.match((await stateBecomes(plane, "consul", "lost")).reason ?? "", /403: .*ACL/);
  writeFileSync(file("credentials"), `token:${token}\n`);
  await stateBecomes(plane, "consul", "live");
  await portsBecome(plane, "secured", "7801");
  assert.ok(plane.program.lines.every((line) => !line.includes(token)));
});

test("a Consul that lies is a Consul that is lost, whatever it says", async () => {
  let lie: { readonly status: number; readonly index: string; readonly body: string } | undefined;
  const server = createServer((request, response) => {
    const said = lie ?? { status: 200, index: "7", body: '{"web":[]}' };
    const isService = request.url?.includes("/health/service/") && !lie;
    response.writeHead(said.status, { "x-consul-index": said.index });
    response.end(isService ? truth : said.body);
  });
  const truth = JSON.stringify([
    { Node: { Node: "n", Address: "127.0.0.1" }, Service: { ID: "w", Port: 7901 }, Checks: [] },
  ]);
  server.listen(0, "127.0.0.1");
  await using _ = {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
  await eventually("the stub listens", () => server.listening);
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  await using plane = await startControlPlane({ args: ["--registry", `consul://${address}`] });
  await portsBecome(plane, "web", "7901");
  for (const [what, reason] of [
    [{ status: 200, index: "8", body: "{]" }, /not JSON/],
    [{ status: 200, index: "8", body: "3" }, /no object of services|is no list/],
    [{ status: 200, index: "2", body: '{"web":[]}' }, /went back|is no list/],
    [{ status: 500, index: "8", body: "No cluster leader" }, /500: No cluster leader/],
    [{ status: 429, index: "8", body: "" }, /429/],
    [{ status: 200, index: "8", body: `"${"x".repeat(33 * 1024 * 1024)}"` }, /more than \d+ bytes/],
  ] as const) {
    lie = what;
    await eventually(
      `it is lost: ${reason}`,
      async () => reason.test((await sourceOf(plane, "consul")).reason ?? "") || undefined,
      60_000,
    );
    assert.equal(await portsOf(plane, "web"), "7901");
    lie = undefined;
    await stateBecomes(plane, "consul", "live");
    await portsBecome(plane, "web", "7901");
  }
});
