/** What a Gateway's servers do with what comes to them, at our edge proxy and at a stock Envoy. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { type Hosts, startHosts } from "../policy-traffic/hosts.ts";
import { askThrough, type Client, entryOf, foundation, startBoth, together } from "../policy-traffic/mesh.ts";
import {
  askSecurely,
  type EdgeName,
  edgeNames,
  heardAfter,
  type Keys,
  keysOf,
  secretOf,
  startEdges,
  testCa,
} from "./edges.ts";

const servers = ["plain", "redirect", "secure", "bytes", "egress"] as const;
type Ports = Readonly<Record<(typeof servers)[number], number>>;

const stack = new AsyncDisposableStack();
const ports = new Map<EdgeName, Ports>();
const at = (edge: EdgeName): Ports => ports.get(edge) ?? assert.fail(edge);
const ca = testCa();
const own = { a: keysOf(ca), b: keysOf(ca), m: keysOf(ca), passed: keysOf(ca) };
let hosts: Hosts;
let cp: TestControlPlane;
let clients: readonly Client[] = [];

const freePorts = async (): Promise<Ports> =>
  Object.fromEntries(
    await Promise.all(servers.map(async (name) => [name, await findFreePort("127.0.0.1", 0)] as const)),
  ) as Ports;

const gatewayOf = (edge: EdgeName): string => {
  const { plain, redirect, secure, bytes, egress } = at(edge);
  const https = (name: string, tls: string): string =>
    `{port: {number: ${secure}, name: https-${name}, protocol: HTTPS}, hosts: [${name}.example], tls: {${tls}}}`;
  return `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge-${edge}, namespace: default}
spec:
  selector: {edge: ${edge}}
  servers:
    - {port: {number: ${plain}, name: http, protocol: HTTP}, hosts: [shop.example, "*.wild.example"]}
    - {port: {number: ${redirect}, name: http-old, protocol: HTTP}, hosts: [shop.example], tls: {httpsRedirect: true}}
    - ${https("a", "mode: SIMPLE, credentialName: a-cert")}
    - ${https("b", "mode: SIMPLE, credentialName: b-cert")}
    - ${https("m", "mode: MUTUAL, credentialName: m-cert")}
    - ${https("late", "mode: SIMPLE, credentialName: late-cert")}
    - {port: {number: ${secure}, name: tls, protocol: TLS}, hosts: [passed.example], tls: {mode: PASSTHROUGH}}
    - {port: {number: ${bytes}, name: tcp, protocol: TCP}, hosts: ["*"]}
    - {port: {number: ${egress}, name: http-out, protocol: HTTP}, hosts: [outside-${edge}.example]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bytes-${edge}, namespace: default}
spec:
  hosts: ["*"]
  gateways: [edge-${edge}]
  tcp: [{match: [{port: ${bytes}}], route: [{destination: {host: bytes.test, port: {number: 9000}}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside-${edge}, namespace: default}
spec:
  hosts: [outside-${edge}.example]
  gateways: [mesh, edge-${edge}]
  http:
    - match: [{gateways: [mesh]}]
      route: [{destination: {host: egress-${edge}.test, port: {number: ${egress}}}}]
    - match: [{gateways: [edge-${edge}]}]
      headers: {request: {set: {x-through: ${edge}}}}
      route: [{destination: {host: outside-${edge}.example}}]
`;
};

/** Routes at both edges, from a host to a service. */
const toSite = (host: string, site: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${site.replace(".test", "")}, namespace: default}
spec:
  hosts: ["${host}"]
  gateways: [edge-envoy, edge-weft]
  http: [{route: [{destination: {host: ${site}}}]}]
`;

const sites = ["shop", "wild", "a", "b", "m", "late"] as const;
/** The address of a site's only host. */
const placeOf = (site: (typeof sites)[number]): string => `127.91.0.${sites.indexOf(site) + 1}`;

const configuration = (passedPort: number): string => {
  const port = hosts.port;
  const siteHost = (site: string): string => (site === "wild" ? "*.wild.example" : `${site}.example`);
  return together(
    foundation(port),
    ...sites.flatMap((site) => [
      entryOf(`${site}.test`, [{ address: placeOf(site) }], { port }),
      toSite(siteHost(site), `${site}.test`),
    ]),
    entryOf("bytes.test", [{ address: "127.91.0.20" }], { port, protocol: "TCP", number: 9000 }),
    entryOf("passed.test", [{ address: "127.0.0.1" }], { port: passedPort, protocol: "TLS", number: 443 }),
    `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: passed, namespace: default}
spec:
  hosts: [passed.example]
  gateways: [edge-envoy, edge-weft]
  tls: [{match: [{sniHosts: [passed.example]}], route: [{destination: {host: passed.test, port: {number: 443}}}]}]
`,
    secretOf("a-cert", own.a),
    secretOf("b-cert", own.b),
    secretOf("m-cert", own.m, ca.rootPem),
    ...edgeNames.flatMap((edge) => [
      gatewayOf(edge),
      entryOf(`outside-${edge}.example`, [{ address: "127.91.0.30" }], { port }),
      entryOf(`egress-${edge}.test`, [{ address: "127.0.0.1" }], { port: at(edge).egress, number: at(edge).egress }),
    ]),
  );
};

/** An HTTPS server of the outside, which no proxy has the key of. */
const startPassed = async (): Promise<number> => {
  const server = createServer(own.passed, (_, response) => void response.end("from behind"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
};

before(async () => {
  hosts = stack.use(await startHosts());
  for (const edge of edgeNames) ports.set(edge, await freePorts());
  cp = stack.use(await startControlPlane({ yaml: configuration(await startPassed()) }));
  [clients] = await Promise.all([startBoth(stack, cp), startEdges(stack, cp)]);
  for (const edge of edgeNames) {
    await eventually(`${edge} serves`, async () => (await askPlain(edge, "shop.example")).status === 200 || undefined);
    await eventually(`${edge} has keys`, async () => (await askSecurely(at(edge).secure, "a.example")).status === 200);
  }
});
after(() => stack.disposeAsync());

const askPlain = (edge: EdgeName, host: string, server: keyof Ports = "plain") =>
  askThrough(`127.0.0.1:${at(edge)[server]}`, host);
/** The name that tells a certificate from others. */
const nameIn = ({ cert }: Keys): string => {
  const found = new X509Certificate(cert).subjectAltName;
  return found ?? assert.fail("a certificate without a name");
};

const atEach = (what: string, check: (edge: EdgeName) => Promise<void>): void => {
  for (const edge of edgeNames) test(`${what} (${edge})`, { timeout: 60_000 }, () => check(edge));
};

atEach("HTTP goes by host, and hosts that no server has are unknown", async (edge) => {
  const answers = [];
  for (const host of ["shop.example", "any.wild.example", "wild.example", "a.example", "else.example"]) {
    const { status, host: from } = await askPlain(edge, host);
    answers.push(status === 200 ? from : status);
  }
  assert.deepEqual(answers, [placeOf("shop"), placeOf("wild"), 404, 404, 404]);
});

atEach("httpsRedirect answers 301 to the same place by https", async (edge) => {
  const { status, headers } = await askThrough(`127.0.0.1:${at(edge).redirect}`, "shop.example", { path: "/a?b=c" });
  assert.deepEqual([status, headers.location], [301, "https://shop.example/a?b=c"]);
});

atEach("the server name chooses among servers of a port, each with the certificate of its Secret", async (edge) => {
  for (const site of ["a", "b"] as const) {
    const { status, host, names } = await askSecurely(at(edge).secure, `${site}.example`);
    assert.deepEqual([status, host, names], [200, placeOf(site), nameIn(own[site])]);
  }
  await assert.rejects(askSecurely(at(edge).secure, "nobody.example"));
});

atEach("MUTUAL takes clients with a certificate of its authority, and no others", async (edge) => {
  const { secure } = at(edge);
  const taken = await askSecurely(secure, "m.example", { keys: keysOf(ca) });
  assert.deepEqual([taken.status, taken.host], [200, placeOf("m")]);
  const before = hosts.requests.get(placeOf("m"));
  await assert.rejects(askSecurely(secure, "m.example"));
  await assert.rejects(askSecurely(secure, "m.example", { keys: keysOf(testCa()) }));
  assert.equal(hosts.requests.get(placeOf("m")), before);
});

atEach("PASSTHROUGH carries TLS to whom the server name says, unopened", async (edge) => {
  const { status, body, names } = await askSecurely(at(edge).secure, "passed.example");
  assert.deepEqual([status, body, names], [200, "from behind", nameIn(own.passed)]);
});

atEach("a TCP server carries bytes", async (edge) => {
  const heard = await heardAfter(at(edge).bytes, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  assert.match(heard, /^HTTP\/1\.1 200[\s\S]*x-host: 127\.91\.0\.20/i);
});

atEach("sidecars send what is for outside through it, and it sends it on", async (edge) => {
  for (const client of clients) {
    const { status, host, body } = await client.ask(`outside-${edge}.example`);
    assert.deepEqual([status, host], [200, "127.91.0.30"], client.name);
    const { headers } = JSON.parse(body) as { headers: Record<string, string> };
    assert.deepEqual([headers["x-through"], headers.host], [edge, `outside-${edge}.example`], client.name);
  }
});

/** A connection that stays, with what is heard over it. */
const stay = async (port: number, servername: string) => {
  const socket = connectTls({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
  stack.defer(() => void socket.destroy());
  let heard = "";
  let ended = false;
  socket.on("error", () => {});
  socket.on("close", () => {
    ended = true;
  });
  socket.on("data", (part: Buffer) => {
    heard += part.toString("latin1");
  });
  await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  const answers = (): number => heard.split("HTTP/1.1 200").length - 1;
  return {
    names: socket.getPeerCertificate().subjectaltname,
    ended: () => ended,
    answers,
    send: (path: string) => void socket.write(`GET ${path} HTTP/1.1\r\nhost: ${servername}\r\n\r\n`),
  };
};

test("a certificate that is replaced is shown to who comes next, and costs nobody a connection", {
  timeout: 60_000,
}, async () => {
  const kept = await Promise.all(
    edgeNames.map(async (edge) => ({ edge, line: await stay(at(edge).secure, "b.example") })),
  );
  for (const { line } of kept) {
    line.send("/");
    await eventually("an answer", () => line.answers() === 1 || undefined);
    line.send("/held");
  }
  await eventually("both wait", () => hosts.held() === kept.length || undefined);
  const next = keysOf(ca);
  await cp.apply(secretOf("b-cert", next));
  for (const { edge } of kept) {
    const shown = async () => (await askSecurely(at(edge).secure, "b.example")).names === nameIn(next) || undefined;
    await eventually(`${edge} shows the new one`, shown);
    assert.equal((await askSecurely(at(edge).secure, "a.example")).names, nameIn(own.a), edge);
  }
  hosts.release();
  for (const { edge, line } of kept) {
    await eventually("the held answer", () => line.answers() === 2 || undefined);
    line.send("/");
    await eventually("one more", () => line.answers() === 3 || undefined);
    assert.deepEqual([line.ended(), line.names], [false, nameIn(own.b)], edge);
  }
});

test("a server whose Secret comes late is closed until then, and opens without a word to others' connections", {
  timeout: 60_000,
}, async () => {
  const kept = await Promise.all(
    edgeNames.map(async (edge) => ({ edge, line: await stay(at(edge).secure, "a.example") })),
  );
  for (const { edge, line } of kept) {
    line.send("/");
    await eventually("an answer", () => line.answers() === 1 || undefined);
    await assert.rejects(askSecurely(at(edge).secure, "late.example"), edge);
  }
  const keys = keysOf(ca);
  await cp.apply(secretOf("late-cert", keys));
  for (const { edge, line } of kept) {
    const opened = await eventually(`${edge} opens it`, () => askSecurely(at(edge).secure, "late.example"));
    assert.deepEqual([opened.status, opened.host, opened.names], [200, placeOf("late"), nameIn(keys)], edge);
    line.send("/");
    await eventually("one more", () => line.answers() === 2 || undefined);
    assert.equal(line.ended(), false, edge);
  }
});
