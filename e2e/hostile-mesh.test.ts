/** A whole mesh and those who would misuse its names: headers, bodies, configuration, registrations. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { findFreePort } from "@weft/net/process/free-port";
import { FRAME } from "@weft/protocols/http2/protocol";
import { get, headersFrame } from "@weft/protocols/http2/testing/frames";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startWeft } from "@weft/testkit/processes";
import { registerInstance, startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { type SteadyLoad, startLoad } from "@weft/testkit/steady-load";
import { openRaw } from "./http2-raw.ts";

const gatewayOf = (port: number): string => `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: ${port}, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door}
spec:
  hosts: ["*"]
  gateways: [door]
  http: [{route: [{destination: {host: catalog}}]}]
`;

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let app: EchoServer;
let catalog: TestSidecar;
let web: TestSidecar;
let door = "";
let load: SteadyLoad;

before(async () => {
  const port = await findFreePort("127.0.0.1", 0);
  cp = stack.use(await startControlPlane({ yaml: gatewayOf(port) }));
  app = stack.use(await startEchoServer("catalog"));
  catalog = stack.use(await startSidecar(cp, { name: "catalog", appPort: app.port }));
  web = stack.use(await startSidecar(cp, { name: "web" }));
  const gateway = stack.use(
    startWeft([
      ...["sidecar", "--gateway", "--cp", cp.secure, "--root-cert", cp.rootCertFile, "--token-file", cp.joinTokenFile],
      ...["--name", "door", "--service-account", "door", "--labels", "istio=ingressgateway"],
      ...["--admin", "127.0.0.1:0"],
    ]),
  );
  await gateway.waitFor(/\bready\b/);
  door = `127.0.0.1:${port}`;
  for (const [address, host] of [
    [door, "any.example"],
    [web.outbound, "catalog"],
  ] as const)
    await eventually(`${address} serves`, async () =>
      (await callHttp(address, { host })).status === 200 ? true : undefined,
    );
  load = stack.use(startLoad(web.outbound, { host: "catalog" }, ({ status }) => status === 200, 1));
});
after(async () => {
  await load.stop();
  const { failures } = load;
  await stack.disposeAsync();
  assert.deepEqual(failures, [], "traffic was disturbed");
});

const seen = async (
  address: string,
  host: string,
  headers: Readonly<Record<string, string>>,
): Promise<Record<string, string>> => {
  const { status, body } = await callHttp(address, { host, headers });
  assert.equal(status, 200);
  return (JSON.parse(body) as { headers: Record<string, string> }).headers;
};

const steering: Readonly<Record<string, string>> = {
  "x-envoy-upstream-rq-timeout-ms": "1",
  "x-envoy-upstream-rq-per-try-timeout-ms": "1",
  "x-envoy-retry-on": "5xx",
  "x-envoy-max-retries": "100",
  "x-envoy-internal": "true",
  "x-envoy-force-trace": "true",
  "x-envoy-ip-tags": "forged",
  "x-envoy-original-url": "http://forged/",
};
const identities: Readonly<Record<string, string>> = {
  "x-forwarded-client-cert": "By=spiffe://forged;URI=spiffe://cluster.local/ns/default/sa/admin",
  "x-envoy-external-address": "6.6.6.6",
  "x-envoy-decorator-operation": "forged",
  "x-envoy-downstream-service-cluster": "forged",
  "x-envoy-downstream-service-node": "forged",
  "x-envoy-original-path": "/forged",
  "x-envoy-peer-metadata": "forged",
  "x-envoy-peer-metadata-id": "forged",
  "x-forwarded-proto": "forged",
  "x-request-id": "forged",
};

test("at our gateway strangers can neither steer nor lend themselves an identity", async () => {
  for (const more of [{}, { "x-forwarded-for": "10.0.0.1" }]) {
    const headers = await seen(door, "any.example", { ...steering, ...identities, ...more });
    const forged = Object.entries(headers).filter(
      ([name, value]) =>
        (name in steering && steering[name] === value) || value.includes("forged") || value.includes("6.6.6.6"),
    );
    assert.deepEqual(forged, []);
    assert.doesNotMatch(headers["x-forwarded-client-cert"] ?? "", /sa\/admin/);
    assert.match(headers["x-forwarded-client-cert"] ?? "", /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/door$/);
  }
});

test("a sidecar steers by nobody's headers, and tells who called by the certificate alone", async () => {
  const throughMesh = await seen(web.outbound, "catalog", { ...steering, ...identities });
  assert.deepEqual(
    Object.keys(throughMesh).filter((name) => name in steering),
    [],
  );
  assert.match(throughMesh["x-forwarded-client-cert"] ?? "", /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/web$/);
  const plaintext = await seen(`127.0.0.1:${catalog.port}`, "catalog", { ...steering, ...identities });
  assert.deepEqual(
    Object.keys(plaintext).filter((name) => name in steering),
    [],
  );
  assert.equal(plaintext["x-forwarded-client-cert"], undefined);
});

test("twins by underscore or by case gain nothing, in either version of HTTP", async () => {
  for (const address of [door, web.outbound]) {
    const headers = await seen(address, "catalog", {
      X_Forwarded_Client_Cert: "URI=spiffe://forged",
      X_Envoy_Internal: "forged",
    });
    assert.equal(JSON.stringify(headers).includes("forged"), false);
    const port = Number(address.split(":")[1]);
    assert.equal(
      (await askHttp2(port, { x_forwarded_client_cert: "forged", x_envoy_internal: "forged" })).includes("forged"),
      false,
    );
    using raw = await openRaw(port);
    await raw.send(headersFrame(1, [...get, ["X-Forwarded-Client-Cert", "forged"]]));
    await raw.until(() => raw.count(FRAME.rstStream) > 0);
    // Malformed in HTTP/2 (RFC 9113 8.2.1).
    assert.equal(raw.count(FRAME.headers), 0);
  }
});

/** The answer's body, or nothing where the request was refused. */
const askHttp2 = (port: number, headers: Readonly<Record<string, string>>): Promise<string> =>
  new Promise((resolve) => {
    const session = connect(`http://127.0.0.1:${port}`);
    const stream = session.request({ ":authority": "catalog", ...headers });
    let text = "";
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => {
      text += chunk;
    });
    stream.on("error", () => {});
    stream.on("close", () => {
      session.destroy();
      resolve(text);
    });
  });

test("a compressed body passes as it came, and is nowhere opened", async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024)).toString("latin1");
  const { status, body } = await callHttp(web.outbound, {
    ...{ method: "POST", host: "catalog", body: bomb },
    headers: { "content-encoding": "gzip", "transfer-encoding": "chunked" },
  });
  assert.equal(status, 200);
  const told = JSON.parse(body) as { headers: Record<string, string>; body: string };
  assert.equal(told.headers["content-encoding"], "gzip");
  assert.equal(told.body.length, Buffer.byteLength(bomb, "utf8"));
  const rejected = await callHttp(cp.http, {
    ...{ method: "PUT", path: "/v1/registry/bomb/instances/a", body: bomb },
    headers: { ...authorized(), "content-type": "application/json", "content-encoding": "gzip" },
  });
  assert.ok(rejected.status === 400 || rejected.status === 415, rejected.body);
});

const authorized = () => ({ authorization: `Bearer ${readFileSync(cp.adminTokenFile, "utf8").trim()}` });
const refusalOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (error) {
    return String(error);
  }
  return "";
};
const objectNames = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"];

test("a key that would reach into every object is refused by its name, at every depth of every document", async () => {
  const of = (spec: string, metadata = "{name: odd}"): string =>
    `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: ${metadata}\nspec: ${spec}\n`;
  const route = "http: [{route: [{destination: {host: catalog}}]}]";
  for (const name of objectNames) {
    const documents = [
      `${name}: {polluted: true}\n${of(`{hosts: [odd.example], ${route}}`)}`,
      of(`{hosts: [odd.example], ${name}: {polluted: true}, ${route}}`),
      of(`{hosts: [odd.example], http: [{${name}: {polluted: true}, route: [{destination: {host: catalog}}]}]}`),
      of(`{hosts: [odd.example], ${route}}`, `{name: odd, ${name}: {polluted: true}}`),
      of(
        `{hosts: [odd.example], http: [{match: [{headers: {x: {${name}: a}}}], route: [{destination: {host: catalog}}]}]}`,
      ),
    ];
    for (const document of documents) {
      const refused = await refusalOf(cp.apply(document));
      assert.ok(refused.includes(name), `${document}${refused}`);
      assert.match(refused, /: 4\d\d /);
    }
  }
});

test("names of objects' own members are ordinary names of services, labels, metadata and routes", async () => {
  for (const name of objectNames) {
    const map = `{${JSON.stringify(name)}:"x"}`;
    const answer = await callHttp(cp.http, {
      ...{
        method: "PUT",
        path: "/v1/registry/odd/instances/a",
        headers: { ...authorized(), "content-type": "application/json" },
      },
      body: `{"address":"127.0.0.1","port":1,"protocol":"http","servicePort":80,"labels":${map},"metadata":${map},"ttlSeconds":600}`,
    });
    // Labels have a grammar that `__proto__` is not of; nothing but that may be said of it.
    assert.ok(answer.status < 300 || (answer.status === 400 && answer.body.includes(name)), answer.body);
    const body = `{"address":"127.0.0.1","port":1,${JSON.stringify(name)}:{"port":2}}`;
    const unknown = await callHttp(cp.http, {
      ...{ method: "PUT", path: "/v1/registry/odd/instances/b", headers: authorized(), body },
    });
    assert.equal(unknown.status, 400);
    assert.ok(unknown.body.includes(name), unknown.body);
    for (const path of [
      `/v1/registry/${name}`,
      `/v1/registry/odd/instances/${name}`,
      `/v1/config/${name}`,
      `/v1/config/VirtualService/${name}`,
    ])
      assert.equal((await callHttp(cp.http, { path, headers: authorized() })).status, 404, path);
    const { status } = await callHttp(web.outbound, { host: name.replaceAll("_", "-") });
    assert.ok(status >= 400 && status !== 500, `${status}`);
  }
  const lower = "constructor";
  await registerInstance(cp, {
    service: lower,
    id: lower,
    port: catalog.port,
    appPort: app.port,
    mesh: false,
    labels: { [lower]: lower },
  });
  await eventually("its name is served", async () =>
    (await callHttp(web.outbound, { host: lower })).status === 200 ? true : undefined,
  );
});

test("a hundred thousand keys that hash alike are bounded before they are kept", async () => {
  const keys = Array.from({ length: 100_000 }, (_, i) => `"${i}":${i}`).join(",");
  const put = (body: string) =>
    callHttp(cp.http, { ...{ method: "PUT", path: "/v1/registry/flood/instances/a", headers: authorized(), body } });
  for (const body of [
    `{${keys}}`,
    `{"address":"127.0.0.1","port":1,"labels":{${keys}}}`,
    `{"address":"127.0.0.1","port":1,"metadata":{${keys}}}`,
  ]) {
    const { status } = await put(body);
    assert.ok([400, 413, 422].includes(status), `${status}`);
  }
  const query = Array.from({ length: 1500 }, (_, i) => `${i}=${i}`).join("&");
  assert.equal((await callHttp(cp.http, { path: `/v1/registry?${query}`, headers: authorized() })).status, 200);
  assert.equal((await callHttp(web.outbound, { host: "catalog", path: `/?${query.slice(0, 7000)}` })).status, 200);
  await load.more(20);
});

test("expressions that would take long are refused with code and place, while others are served", async () => {
  const of = (match: string): string =>
    `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: slow}\nspec:\n  hosts: [slow.example]\n  http:\n    - match: [${match}]\n      route: [{destination: {host: catalog}}]\n`;
  const bombs = ["(a?){1000}", "(.*a){400}", "a?".repeat(512 * 1024), `${"(".repeat(500)}a${")".repeat(501)}`];
  for (const bomb of bombs) {
    for (const place of [
      `{uri: {regex: "${bomb}"}}`,
      `{headers: {x: {regex: "${bomb}"}}}`,
      `{queryParams: {q: {regex: "${bomb}"}}}`,
    ]) {
      const refused = await refusalOf(cp.apply(of(place)));
      assert.match(refused.slice(0, 3000), /WF\d{4}.*(?:expression|over \d+ bytes)/s, bomb.slice(0, 20));
    }
  }
  await cp.apply(of('{uri: {regex: "/(a+)+$"}}'));
  await eventually("the linear one is in force", async () =>
    (await callHttp(web.outbound, { host: "slow.example", path: "/aa" })).status === 200 ? true : undefined,
  );
  const { status } = await callHttp(web.outbound, { host: "slow.example", path: `/${"a".repeat(7000)}!` });
  assert.equal(status, 404);
  await load.more(20);
});

test("the control plane's metrics and log are lines that parse, whoever was named in them", async () => {
  const nasty = encodeURIComponent('a"\n\x1b[31m\x9b\r{}');
  for (const path of [`/${nasty}`, `/v1/registry/${nasty}`, `/v1/config/${nasty}/${nasty}`]) {
    const { status } = await callHttp(cp.http, { path, headers: authorized() });
    assert.ok(status === 400 || status === 404, `${path}: ${status}`);
  }
  const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
  const sample = new RegExp(`^[a-zA-Z_:][a-zA-Z0-9_:]*(?:\\{${label}(?:,${label})*\\})? [-+0-9.eE]+$`);
  const { body } = await callHttp(cp.monitoring, { path: "/metrics" });
  const lines = body.split("\n").slice(0, -1);
  assert.ok(lines.length > 20);
  for (const line of lines) if (!line.startsWith("# ")) assert.match(line, sample);
  for (const line of cp.program.lines) assert.doesNotMatch(line, /\p{Cc}/u);
});
