import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ResourceChange } from "../runtime/data-plane.ts";
import { cluster, hcm, listener, openPlane, routes, tcpProxy, toCluster } from "../runtime/testing/test-plane.ts";

/** Says from where it was called, and as whom. */
const openApp = async () => {
  const server = createServer((incoming, response) => {
    response.end(`${incoming.socket.remoteAddress} ${incoming.headers.host}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

const passthrough = (fields: Partial<ClusterJson> = {}): ResourceChange => ({
  kind: "cluster",
  name: "PassthroughCluster",
  json: { name: "PassthroughCluster", type: "ORIGINAL_DST", lbPolicy: "CLUSTER_PROVIDED", ...fields },
});
const byHeader = { originalDstLbConfig: { useHttpHeader: true } } as const;

/** As explicit mode sends it: an authority that is an address goes where it says. */
const toAuthority = routes([
  {
    name: "allow_any",
    domains: ["*"],
    routes: [
      {
        match: { prefix: "/" },
        route: { cluster: "PassthroughCluster", timeout: "0s" },
        requestHeadersToAdd: [
          {
            header: { key: "x-envoy-original-dst-host", value: "%REQ(:AUTHORITY)%" },
            appendAction: "OVERWRITE_IF_EXISTS_OR_ADD",
          },
        ],
      },
    ],
  },
]);

const ask = (port: number, headers: Record<string, string>): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, headers, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asked.on("error", reject);
    asked.end();
  });

test("a Host that is an address is where the request goes, each to its own", async () => {
  await using first = await openApp();
  await using second = await openApp();
  await using all = openPlane();
  await all.put(passthrough(byHeader), toAuthority, listener("out", [hcm()]));
  const port = all.portOf("out");
  for (const app of [first, second, first]) {
    const host = `127.0.0.1:${app.port}`;
    assert.deepEqual(await ask(port, { host }), { status: 200, body: `127.0.0.1 ${host}` });
  }
  const hosts = all.plane.clusters()[0]?.hosts() ?? [];
  assert.deepEqual(
    new Set(hosts.map(({ address }) => address)),
    new Set([first, second].map((app) => `127.0.0.1:${app.port}`)),
  );
  const own = { host: "else", "x-envoy-original-dst-host": `127.0.0.1:${first.port}` };
  assert.equal((await ask(port, own)).status, 503, "what the client says of it is overwritten");
});

test("without the header allowed, or with no original destination, there is no host", async () => {
  await using app = await openApp();
  await using all = openPlane();
  await all.put(passthrough(), toAuthority, listener("out", [hcm()]));
  const answer = await ask(all.portOf("out"), { host: `127.0.0.1:${app.port}` });
  assert.deepEqual(answer, { status: 503, body: "no healthy upstream" });
});

test("a TCP connection that was not redirected is closed and does not loop to the listener itself", async () => {
  await using all = openPlane();
  await all.put(passthrough(), listener("out", [tcpProxy({ cluster: "PassthroughCluster" })]));
  const socket = connect({ host: "127.0.0.1", port: all.portOf("out") });
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("close", resolve));
  assert.equal(all.plane.clusters()[0]?.counters.upstreamCxTotal, 0);
});

test("connections come from the cluster's source address", async () => {
  await using app = await openApp();
  await using all = openPlane();
  const upstreamBindConfig = { sourceAddress: { address: "127.0.0.6", portValue: 0 } };
  await all.put(
    passthrough({ ...byHeader, upstreamBindConfig }),
    cluster("fixed", [app.port], { upstreamBindConfig }),
    toAuthority,
    listener("out", [hcm()]),
    listener("tcp", [tcpProxy({ cluster: "fixed" })]),
  );
  const host = `127.0.0.1:${app.port}`;
  assert.equal((await ask(all.portOf("out"), { host })).body, `127.0.0.6 ${host}`);
  assert.equal((await ask(all.portOf("tcp"), { host })).body, `127.0.0.6 ${host}`);
});

test("of several source addresses the first of the host's family is taken", async () => {
  await using app = await openApp();
  await using all = openPlane();
  const source = (address: string) => ({ address: { address, portValue: 0 } });
  const upstreamBindConfig = {
    sourceAddress: source("::1").address,
    extraSourceAddresses: [source("127.0.0.7"), source("127.0.0.8")],
  };
  await all.put(
    cluster("fixed", [app.port], { upstreamBindConfig }),
    listener("tcp", [tcpProxy({ cluster: "fixed" })]),
  );
  const host = `127.0.0.1:${app.port}`;
  assert.equal((await ask(all.portOf("tcp"), { host })).body, `127.0.0.7 ${host}`);
  const extraSourceAddresses = [{ address: { address: "no address" } }];
  const wrong = cluster("fixed", [1], { upstreamBindConfig: { ...upstreamBindConfig, extraSourceAddresses } });
  assert.match(all.plane.check(wrong)?.reason ?? "", /extraSourceAddresses\[0\]\.address\.address/);
});

test("the header may have another name, and one that is no address is counted and passed over", async () => {
  await using app = await openApp();
  await using all = openPlane();
  const originalDstLbConfig = { useHttpHeader: true, httpHeaderName: "X-Goes-To" };
  await all.put(
    passthrough({ originalDstLbConfig }),
    routes([toCluster("PassthroughCluster")]),
    listener("out", [hcm()]),
  );
  const host = `127.0.0.1:${app.port}`;
  const port = all.portOf("out");
  assert.deepEqual(await ask(port, { host: "a", "x-goes-to": host }), { status: 200, body: "127.0.0.1 a" });
  assert.equal((await ask(port, { host: "a", "x-goes-to": "app.test:80" })).status, 503);
  assert.equal((await ask(port, { host: "a", "x-envoy-original-dst-host": host })).status, 503);
  assert.equal(all.plane.clusters()[0]?.counters.originalDstHostInvalid, 1);
  const unused = passthrough({ originalDstLbConfig: { httpHeaderName: "x" } });
  assert.match(all.plane.check(unused)?.reason ?? "", /httpHeaderName: needs useHttpHeader/);
});

test("the port may be another than the address's own", async () => {
  await using app = await openApp();
  await using all = openPlane();
  const originalDstLbConfig = { useHttpHeader: true, upstreamPortOverride: app.port };
  await all.put(passthrough({ originalDstLbConfig }), toAuthority, listener("out", [hcm()]));
  assert.equal((await ask(all.portOf("out"), { host: "127.0.0.1:9" })).body, "127.0.0.1 127.0.0.1:9");
  assert.deepEqual(
    all.plane
      .clusters()[0]
      ?.hosts()
      .map(({ address }) => address),
    [`127.0.0.1:${app.port}`],
  );
});
