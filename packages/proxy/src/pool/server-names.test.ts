/** Servers that are asked for, and prove, the name that a request is for. */
import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { request } from "node:http";
import { createServer } from "node:https";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { issueLeaf, issueRoot, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { encodePem } from "@weft/protocols/x509/pem";
import { any } from "@weft/xds/resource";
import { newKeyPem } from "../identity/testing/test-ca.ts";
import { cluster, hcm, listener, openPlane, routes, toCluster } from "../runtime/testing/test-plane.ts";
import { NamedPools, namedPoolsMax } from "./named-pools.ts";
import type { UpstreamTarget } from "./open-upstream.ts";
import type { StreamPool } from "./pool-waiter.ts";

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

const options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const open = async (port: number, upstreamHttpProtocolOptions: object | undefined) => {
  const all = openPlane();
  const settings = { explicitHttpConfig: { httpProtocolOptions: {} }, upstreamHttpProtocolOptions };
  await all.put(
    cluster("app", [port], {
      typedExtensionProtocolOptions: { [options]: any(options, settings) },
      transportSocket: {
        name: "envoy.transport_sockets.tls",
        typedConfig: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
          sni: "configured.test",
          commonTlsContext: { validationContext: { trustedCa: { inlineString: encodePem("CERTIFICATE", root) } } },
        }),
      },
    }),
    routes([toCluster("app")]),
    listener("in", [hcm()]),
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
