/** Servers that are asked for, and prove, the name that a request is for. */
import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { request } from "node:http";
import { createServer } from "node:https";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { issueLeaf, issueRoot, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { encodePem } from "@weft/protocols/x509/pem";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { any } from "@weft/xds/resource";
import { newKeyPem } from "../identity/testing/test-ca.ts";
import { cluster, hcm, listener, openPlane, routes, toCluster } from "../runtime/testing/test-plane.ts";
import { DownstreamTies } from "./downstream-ties.ts";
import { NamedPools, namedPoolsMax } from "./named-pools.ts";
import type { UpstreamTarget } from "./open-upstream.ts";
import type { StreamPool } from "./pool-waiter.ts";
import { TiedPools, tiedPoolsMax } from "./tied-pools.ts";

const now = Date.now();
const life = { notBeforeMs: now - 3_600_000, notAfterMs: now + 3_600_000 };
const rootKey = createPrivateKey(newKeyPem());
const root = issueRoot({
  ...{ key: rootKey, organization: "test", commonName: "root", serial: Buffer.alloc(16, 1) },
  ...life,
});
const leafOf = (dnsNames: readonly string[]) => {
  const key = newKeyPem();
  const publicKey = publicKeyDer(createPrivateKey(key));
  const altNames = { ...noAltNames, dnsNames };
  const leaf = issueLeaf(issuerOf(root, rootKey), { publicKey, altNames, serial: Buffer.alloc(16, 2), ...life });
  return { key, cert: encodePem("CERTIFICATE", leaf) };
};

/** Answers with the name it was asked for and how many connections there have been. */
const openServer = async () => {
  let connections = 0;
  const server = createServer(leafOf(["app.test", "*.wild.test"]), (incoming, response) => {
    response.end(`${(incoming.socket as TLSSocket).servername || "none"} ${connections}`);
  });
  server.on("secureConnection", () => connections++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

/** The same behind PROXY headers, which it keeps. */
const openTold = async () => {
  const told: string[] = [];
  const server = createServer(leafOf(["app.test"]), (_, response) => response.end("ok"));
  const sockets = new Set<Socket>();
  const front = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("readable", () => {
      const bytes = socket.read() as Buffer;
      const end = bytes.indexOf("\r\n") + 2;
      told.push(bytes.toString("latin1", 0, end));
      if (end < bytes.length) socket.unshift(bytes.subarray(end));
      server.emit("connection", socket);
    });
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  return {
    told,
    port: (front.address() as { port: number }).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => front.close(resolve));
    },
  };
};

const tls = {
  name: "envoy.transport_sockets.tls",
  typedConfig: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
    sni: "configured.test",
    commonTlsContext: { validationContext: { trustedCa: { inlineString: encodePem("CERTIFICATE", root) } } },
  }),
};
const toldTls = {
  name: "envoy.transport_sockets.upstream_proxy_protocol",
  typedConfig: any("envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", {
    config: { version: "V1" },
    transportSocket: tls,
  }),
};
const connects: VirtualHostJson = {
  name: "connects",
  domains: ["*"],
  routes: [
    {
      match: { connectMatcher: {} },
      route: { cluster: "app", upgradeConfigs: [{ upgradeType: "CONNECT", connectConfig: {} }] },
    },
  ],
};

const options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const open = async (
  port: number,
  upstreamHttpProtocolOptions: object | undefined,
  { host = toCluster("app"), transportSocket = tls }: { host?: VirtualHostJson; transportSocket?: object } = {},
) => {
  const all = openPlane();
  const settings = { explicitHttpConfig: { httpProtocolOptions: {} }, upstreamHttpProtocolOptions };
  await all.put(
    cluster("app", [port], {
      typedExtensionProtocolOptions: { [options]: any(options, settings) },
      transportSocket,
    }),
    routes([host]),
    listener("in", [hcm({ upgradeConfigs: [{ upgradeType: "CONNECT" }] })]),
  );
  const ask = (host: string, headers: object = {}): Promise<string> =>
    new Promise((resolve, reject) => {
      const to = { host: "127.0.0.1", port: all.portOf("in"), headers: { host, ...headers }, agent: false };
      const asked = request(to, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => {
          body += text;
        });
        response.on("end", () => resolve(response.statusCode === 200 ? body : String(response.statusCode)));
      });
      asked.on("error", reject);
      asked.end();
    });
  return { ...all, ask, [Symbol.asyncDispose]: () => all[Symbol.asyncDispose]() };
};

test("a server is asked for the name of the request, over a connection for that name alone", async () => {
  await using server = await openServer();
  await using all = await open(server.port, { autoSni: true });
  assert.equal(await all.ask("app.test:80"), "app.test 1");
  assert.equal(await all.ask("other.test"), "other.test 2");
  assert.equal(await all.ask("app.test"), "app.test 2");
  // An address is no name to ask for.
  assert.equal(await all.ask("127.0.0.1"), "configured.test 3");
});

test("a server has to prove the name of the request where that is asked of it", async () => {
  await using server = await openServer();
  await using all = await open(server.port, { autoSni: true, autoSanValidation: true });
  assert.equal(await all.ask("app.test"), "app.test 1");
  assert.equal(await all.ask("a.wild.test"), "a.wild.test 2");
  assert.equal(await all.ask("other.test"), "503");
  assert.equal(await all.ask("a.b.wild.test"), "503");
});

test("the name is a header's where there is one", async () => {
  await using server = await openServer();
  await using all = await open(server.port, { autoSni: true, overrideAutoSniHeader: "X-Name" });
  assert.equal(await all.ask("app.test", { "x-name": "named.test" }), "named.test 1");
  assert.equal(await all.ask("app.test"), "app.test 2");
});

test("without that the configured name is asked for", async () => {
  await using server = await openServer();
  await using all = await open(server.port, undefined);
  assert.equal(await all.ask("app.test"), "configured.test 1");
  assert.equal(await all.ask("other.test"), "configured.test 1");
});

test("names are bounded: the one not asked for longest goes", () => {
  const pools = new NamedPools();
  const drained: string[] = [];
  const made: string[] = [];
  const target = { cluster: {} } as UpstreamTarget;
  const ask = (name: string): void => {
    pools.poolFor(name, target, () => {
      made.push(name);
      return { connections: 1, drain: () => void drained.push(name), retarget() {} } as unknown as StreamPool;
    });
  };
  for (let i = 0; i < namedPoolsMax; i++) ask(`n${i}`);
  ask("n0");
  ask("more");
  assert.deepEqual(drained, ["n1"]);
  assert.equal(made.length, namedPoolsMax + 1);
  assert.equal(pools.connections, namedPoolsMax);
});

/** All that comes back for a CONNECT, and for a request through it where it was let. */
const tunnel = (port: number, target: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\n`),
    );
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      if (text === "" && chunk.startsWith("HTTP/1.1 200")) {
        socket.write("GET / HTTP/1.1\r\nhost: inner\r\nconnection: close\r\n\r\n");
      } else if (text === "") socket.end();
      text += chunk;
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });

test("a CONNECT that ends here asks the server for its name too, and wants it proven", async () => {
  await using server = await openServer();
  await using all = await open(server.port, { autoSni: true, autoSanValidation: true }, { host: connects });
  assert.match(await tunnel(all.portOf("in"), "app.test:443"), /^HTTP\/1\.1 200 [\s\S]*app\.test 1/);
  assert.match(await tunnel(all.portOf("in"), "a.wild.test:443"), /^HTTP\/1\.1 200 [\s\S]*a\.wild\.test 2/);
  assert.match(await tunnel(all.portOf("in"), "other.test:443"), /^HTTP\/1\.1 503 /);
});

test("a connection for a name, made in one client's name, is no other client's", async () => {
  await using server = await openTold();
  await using all = await open(server.port, { autoSni: true }, { transportSocket: toldTls });
  assert.equal(await all.ask("app.test"), "ok");
  assert.equal(await all.ask("app.test"), "ok");
  assert.equal(server.told.length, 2);
  assert.notEqual(server.told[0], server.told[1]);
  assert.match(server.told[1] ?? "", /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\n$/);
});

test("one client's connections for names are bounded: the name that it asked for first goes", () => {
  const pools = new TiedPools();
  const drained: string[] = [];
  const target = { cluster: {} } as UpstreamTarget;
  const ties = new DownstreamTies();
  const ask = (name: string): void => {
    pools.poolFor(name, ties, target, () => {
      return { connections: 1, drain: () => void drained.push(name), retarget() {} } as unknown as StreamPool;
    });
  };
  for (let i = 0; i <= tiedPoolsMax; i++) ask(`n${i}`);
  assert.deepEqual(drained, ["n0"]);
  assert.equal(pools.connections, tiedPoolsMax);
  ties.release();
  assert.equal(drained.length, tiedPoolsMax + 1);
});
