/** A real etcd as a registry: what registers there is called, and no bad day of etcd's loses an endpoint. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readIfThere } from "@weft/net/files/files";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { type RealEtcd, startEtcd } from "./real-etcd.ts";
import { startRelay } from "./relay.ts";
import { endpointsOf, portsBecome as portsAre, portsOf, sourceOf, stateBecomes as stateIs } from "./sources.ts";

const stack = new AsyncDisposableStack();
let etcd: RealEtcd;
let cp: TestControlPlane;
let web: TestSidecar;
before(async () => {
  etcd = stack.use(await startEtcd());
  cp = stack.use(await startControlPlane({ args: ["--registry", `etcd://${etcd.address}/weft`] }));
  web = stack.use(await startSidecar(cp, { name: "web" }));
});
after(() => stack.disposeAsync());

const endpoints = (service: string, plane = cp) => endpointsOf(plane, service);
const ports = (service: string, plane = cp) => portsOf(plane, service);
const portsBecome = (service: string, wanted: string, plane = cp) => portsAre(plane, service, wanted);
const source = (plane = cp) => sourceOf(plane, "etcd");
const stateBecomes = (wanted: string, plane = cp) => stateIs(plane, "etcd", wanted);
const instance = (port: number, more: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({ address: "127.0.0.1", port, servicePort: 80, protocol: "http", ...more });
const callsAnswer = (service: string, status: number) =>
  eventually(`${service} answers ${status}`, async () =>
    (await callHttp(web.outbound, { host: service })).status === status ? true : undefined,
  );

test("what registers in etcd is called; a change, a removal and an ended lease take effect", async () => {
  await using first = await startEchoServer("first");
  await using second = await startEchoServer("second");
  await etcd.put("/weft/default/catalog/a", instance(first.port));
  await portsBecome("catalog", `${first.port}`);
  await callsAnswer("catalog", 200);
  assert.equal(JSON.parse((await callHttp(web.outbound, { host: "catalog" })).body).name, "first");

  await etcd.put("/weft/default/catalog/a", instance(second.port, { weight: 7 }));
  await portsBecome("catalog", `${second.port}`);
  assert.equal((await endpoints("catalog"))[0]?.weight, 7);
  await eventually("the other is called", async () =>
    JSON.parse((await callHttp(web.outbound, { host: "catalog" })).body).name === "second" ? true : undefined,
  );

  const lease = await etcd.grantLease(2);
  await etcd.put("/weft/default/catalog/b", instance(first.port), lease);
  await portsBecome("catalog", [first.port, second.port].sort().join(" "));
  await portsBecome("catalog", `${second.port}`);

  await etcd.delete("/weft/default/catalog/a");
  await portsBecome("catalog", "");
});

test("layouts of others are read: a plain address, that of etcd's naming package, and those of frameworks", async () => {
  await etcd.put("/weft/plain/one", "127.0.0.1:7001");
  await etcd.put("/weft/named/one", JSON.stringify({ Op: 0, Addr: "127.0.0.1:7002", Metadata: null }));
  await portsBecome("plain", "7001");
  await portsBecome("named", "7002");
  const nodes = [{ id: "greeter-1", address: "127.0.0.1:7003", metadata: { protocol: "grpc" } }];
  await etcd.put("/weft/greeter/greeter-1", JSON.stringify({ name: "greeter", version: "latest", nodes }));
  const endpoints = ["http://127.0.0.1:7004", "grpc://127.0.0.1:7005?isSecure=false"];
  await etcd.put("/weft/kratos/1", JSON.stringify({ id: "1", name: "kratos", version: "v1", endpoints }));
  await portsBecome("greeter", "7003");
  await portsBecome("kratos", "7005");
});

test("a record that cannot be read is reported by its key, and harms nobody", async () => {
  await etcd.put("/weft/default/orders/good", instance(7101));
  await etcd.put("/weft/default/orders/changes", instance(7102));
  await portsBecome("orders", "7101 7102");
  await etcd.put("/weft/default/orders/bad", "{]");
  await etcd.put("/weft/default/orders/changes", JSON.stringify({ address: "nowhere", port: 7102 }));
  await etcd.put("/weft/default/orders/last", instance(7103));
  await portsBecome("orders", "7101 7102 7103");
  const keys = new Map((await source()).unreadableRecords.map(({ key, problem }) => [key, problem]));
  assert.match(keys.get("/weft/default/orders/bad") ?? "", /begins as JSON and is none/);
  assert.match(keys.get("/weft/default/orders/changes") ?? "", /"nowhere" is not an IP address/);
  const findings = (await cp.api("GET", "/v1/analyze")) as { items: readonly { code: string; message: string }[] };
  assert.ok(findings.items.some(({ code, message }) => code === "WF2112" && message.includes("orders/bad")));
  await etcd.delete("/weft/default/orders/bad");
  await etcd.put("/weft/default/orders/changes", instance(7102));
  await eventually("nothing is unreadable", async () => (await source()).unreadableRecords.length === 0 || undefined);
});

test("an etcd that was killed loses no endpoint, and the view says how old it is", async () => {
  await using echo = await startEchoServer("kept");
  await etcd.put("/weft/default/kept/a", instance(echo.port));
  await callsAnswer("kept", 200);
  await etcd.kill();
  await stateBecomes("lost");
  await eventually("it ages", async () => (await source()).ageSeconds > 1 || undefined);
  assert.equal(await ports("kept"), `${echo.port}`);
  await callsAnswer("kept", 200);
  await etcd.restart();
  assert.equal((await stateBecomes("live")).ageSeconds, 0);
  assert.equal(await ports("kept"), `${echo.port}`);
  assert.deepEqual((await source()).held, { absent: 0, expired: 0 });
});

test("over a cut, what was deleted is believed, and changes are picked up", async () => {
  await using relay = await startRelay(etcd.address);
  await using plane = await startControlPlane({ args: ["--registry", `etcd://${relay.address}/weft`] });
  await etcd.put("/weft/default/cut/a", instance(7201));
  await etcd.put("/weft/default/cut/b", instance(7202));
  await portsBecome("cut", "7201 7202", plane);
  relay.cut();
  await stateBecomes("lost", plane);
  await etcd.put("/weft/default/cut/c", instance(7203));
  await etcd.put("/weft/default/cut/a", instance(7204));
  await etcd.delete("/weft/default/cut/b");
  assert.equal(await ports("cut", plane), "7201 7202");
  relay.mend();
  await portsBecome("cut", "7203 7204", plane);
  await stateBecomes("live", plane);
});

test("over a cut in which history was compacted, nothing is lost: what is missing from the list is held", async () => {
  await using relay = await startRelay(etcd.address);
  await using plane = await startControlPlane({ args: ["--registry", `etcd://${relay.address}/weft`] });
  await etcd.put("/weft/default/compacted/a", instance(7211));
  await etcd.put("/weft/default/compacted/b", instance(7212));
  await portsBecome("compacted", "7211 7212", plane);
  relay.cut();
  await stateBecomes("lost", plane);
  await etcd.put("/weft/default/compacted/c", instance(7213));
  await etcd.delete("/weft/default/compacted/b");
  await etcd.compact();
  relay.mend();
  await portsBecome("compacted", "7211 7212? 7213", plane);
  await etcd.put("/weft/default/compacted/d", instance(7214));
  await portsBecome("compacted", "7211 7212? 7213 7214", plane);
});

test("what was deleted while the control plane was down is held, as it cannot tell", async () => {
  await etcd.put("/weft/default/restarted/a", instance(7221));
  await etcd.put("/weft/default/restarted/b", instance(7222));
  await portsBecome("restarted", "7221 7222");
  await eventually("it is kept", () => kept().includes("/restarted/b") || undefined);
  await cpAway(async () => {
    await etcd.delete("/weft/default/restarted/b");
    await etcd.compact();
  });
  await portsBecome("restarted", "7221 7222?");
});

test("TLS and a user with a password, by files: right ones are taken, wrong ones are said and tried again", async () => {
  using folder = makePrivateFolder("weft-etcd-tls-");
  const file = (name: string): string => join(folder.path, name);
  execFileSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=etcd", "-addext", "subjectAltName=IP:127.0.0.1"],
    ...["-keyout", file("key.pem"), "-out", file("cert.pem")],
  ]);
  await using secured = await startEtcd({ tls: { certFile: file("cert.pem"), keyFile: file("key.pem") } });
  await secured.put("/weft/default/secured/a", instance(7601));
  await secured.requireUser("root", "right");
  writeFileSync(file("credentials"), "root:wrong\n");
  await using plane = await startControlPlane({
    args: [
      ...["--registry", `etcd://${secured.address}/weft?ca=${file("cert.pem")}`],
      ...["--registry-credentials", `etcd=${file("credentials")}`],
    ],
  });
  assert.match((await stateBecomes("lost", plane)).reason ?? "", /authentication failed/);
  writeFileSync(file("credentials"), "root:right\n");
  await stateBecomes("live", plane);
  await portsBecome("secured", "7601", plane);
  assert.ok(plane.program.lines.every((line) => !/root:|right|wrong/.test(line)));
});

/** The control plane is stopped while something happens, and begins again with what it kept. */
const cpAway = async (happens: () => Promise<void>): Promise<void> => {
  cp.program.kill("SIGKILL");
  await cp.program.exited;
  await happens();
  const { xds, secure, http } = cp;
  cp = stack.use(
    await startControlPlane({
      folder: cp.folder,
      addresses: { xds, secure, http },
      args: ["--registry", `etcd://${etcd.address}/weft`],
    }),
  );
};

test("an etcd that comes back empty takes nobody out; who registers again is used as before", async () => {
  await using echo = await startEchoServer("held");
  await etcd.put("/weft/default/emptied/a", instance(echo.port));
  await etcd.put("/weft/default/emptied/b", instance(7301));
  await callsAnswer("emptied", 200);
  await etcd.kill();
  await stateBecomes("lost");
  await etcd.restart({ empty: true });
  const { held } = await stateBecomes("live");
  assert.ok(held.absent >= 2);
  await portsBecome("emptied", [`${echo.port}?`, "7301?"].sort().join(" "));
  await etcd.put("/weft/default/emptied/a", instance(echo.port));
  await portsBecome("emptied", [`${echo.port}`, "7301?"].sort().join(" "));
  for (let call = 0; call < 20; call++) {
    const { status, body } = await callHttp(web.outbound, { host: "emptied" });
    assert.deepEqual([status, JSON.parse(body).name], [200, "held"]);
  }
  const findings = (await cp.api("GET", "/v1/analyze")) as { items: readonly { code: string }[] };
  assert.ok(findings.items.some(({ code }) => code === "WF2111"));
});

test("a service whose leases end all together is held, and used where it has nothing else", async () => {
  await using echo = await startEchoServer("leased");
  const lease = await etcd.grantLease(2);
  for (const id of ["a", "b", "c"]) await etcd.put(`/weft/default/leased/${id}`, instance(echo.port), lease);
  await portsBecome("leased", `${echo.port} ${echo.port} ${echo.port}`);
  await eventually("they expired", async () => (await source()).held.expired === 3 || undefined);
  assert.equal(await ports("leased"), `${echo.port}? ${echo.port}? ${echo.port}?`);
  await callsAnswer("leased", 200);
});

test("what is taken away while its lease lives, and leases revoked one after the other, are believed however many", async () => {
  const ids = ["a", "b", "c", "d"];
  const leases = await Promise.all(ids.map(() => etcd.grantLease(60)));
  for (const [at, id] of ids.entries()) await etcd.put(`/weft/default/orderly/${id}`, instance(7701 + at), leases[at]);
  await portsBecome("orderly", "7701 7702 7703 7704");
  await etcd.delete("/weft/default/orderly/a");
  await etcd.delete("/weft/default/orderly/b");
  await portsBecome("orderly", "7703 7704");
  await etcd.call("lease/revoke", { ID: leases[2] });
  await etcd.call("lease/revoke", { ID: leases[3] });
  await portsBecome("orderly", "");
});

test("an etcd that hangs harms nobody, and is followed on when it goes on", async () => {
  await etcd.put("/weft/default/slow/a", instance(7401));
  await portsBecome("slow", "7401");
  etcd.signal("SIGSTOP");
  await stateBecomes("lost");
  assert.equal(await ports("slow"), "7401");
  etcd.signal("SIGCONT");
  await stateBecomes("live");
  await etcd.put("/weft/default/slow/b", instance(7402));
  await portsBecome("slow", "7401 7402");
});

test("a control plane that starts while etcd is down begins with the last good view", async () => {
  await etcd.put("/weft/default/remembered/a", instance(7501));
  await portsBecome("remembered", "7501");
  await eventually("it is kept", () => kept().includes("/remembered/") || undefined);
  await cpAway(() => etcd.kill());
  assert.equal(await ports("remembered"), "7501");
  assert.equal((await stateBecomes("lost")).instances > 0, true);
  await etcd.restart();
  await stateBecomes("live");
  assert.equal(await ports("remembered"), "7501");
});

const kept = (): string => readIfThere(`${cp.folder}/data/registries/etcd.json`) ?? "";
