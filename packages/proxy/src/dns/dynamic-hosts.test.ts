import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { test } from "node:test";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { any } from "@weft/xds/resource";
import type { ResourceChange } from "../runtime/data-plane.ts";
import { hcm, listener, openPlane, routes, toCluster } from "../runtime/testing/test-plane.ts";
import type { NameQuestion } from "./resolve-name.ts";

const openApp = async () => {
  const server = createServer((incoming, response) => response.end(`host ${incoming.headers.host}`));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

const dynamic = (cache: object = {}, fields: Partial<ClusterJson> = {}): ResourceChange => ({
  kind: "cluster",
  name: "dynamic",
  json: {
    name: "dynamic",
    lbPolicy: "CLUSTER_PROVIDED",
    clusterType: {
      name: "envoy.clusters.dynamic_forward_proxy",
      typedConfig: any("envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig", {
        dnsCacheConfig: { name: "cache", dnsLookupFamily: "V4_ONLY", ...cache },
      }),
    },
    ...fields,
  },
});

const ask = (port: number, host: string): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, headers: { host }, agent: false }, (response) => {
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

const open = async (cache: object, resolve: (question: NameQuestion) => Promise<readonly string[]>) => {
  const questions: string[] = [];
  const all = openPlane({
    resolve: async (question) => {
      questions.push(question.name);
      return (await resolve(question)).map((address) => ({ address, ttl: 60 }));
    },
  });
  const log = { name: "l", typedConfig: any("envoy.extensions.access_loggers.file.v3.FileAccessLog", logTo) };
  await all.put(dynamic(cache), routes([toCluster("dynamic")]), listener("in", [hcm({ accessLog: [log] })]));
  return { ...all, questions, [Symbol.asyncDispose]: () => all[Symbol.asyncDispose]() };
};
const logTo = {
  path: "log",
  logFormat: { textFormatSource: { inlineString: "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n" } },
};

test("requests go to the host they name, which is looked up once", async () => {
  await using app = await openApp();
  await using all = await open({}, async () => ["127.0.0.1"]);
  const port = all.portOf("in");
  for (const name of ["a.test", "A.test", "a.test"]) {
    const { status, body } = await ask(port, `${name}:${app.port}`);
    assert.deepEqual([status, body], [200, `host ${name}:${app.port}`]);
  }
  assert.equal((await ask(port, `127.0.0.1:${app.port}`)).status, 200);
  assert.deepEqual(all.questions, ["a.test"]);
  assert.equal(all.stats.counter("dns_cache.cache.host_added").value, 2);
  assert.equal(all.stats.counter("dns_cache.cache.dns_query_success").value, 1);
});

test("a name that cannot be resolved is answered 503 and flagged, and a port that is this proxy's own too", async () => {
  await using all = await open({}, async ({ name }) => {
    if (name === "none.test") throw new Error("no");
    return ["127.0.0.1"];
  });
  const port = all.portOf("in");
  assert.deepEqual(await ask(port, "none.test"), { status: 503, body: "DNS resolution failure" });
  assert.deepEqual(await ask(port, "none.test"), { status: 503, body: "DNS resolution failure" });
  assert.deepEqual(all.questions, ["none.test"]);
  assert.equal((await ask(port, `loop.test:${port}`)).status, 503);
  assert.ok(all.logLines.every((line) => line.startsWith("DF dns_resolution_failure")));
});

test("more names than the cache holds, and more waiting than may, are answered 503", async () => {
  await using app = await openApp();
  const held = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  await using all = await open({ maxHosts: 2, dnsCacheCircuitBreaker: { maxPendingRequests: 1 } }, async () => {
    asked.resolve();
    await held.promise;
    return ["127.0.0.1"];
  });
  const port = all.portOf("in");
  const first = ask(port, `a.test:${app.port}`);
  await asked.promise;
  assert.match((await ask(port, `a.test:${app.port}`)).body, /pending request overflow/);
  held.resolve();
  assert.equal((await first).status, 200);
  assert.equal((await ask(port, `b.test:${app.port}`)).status, 200);
  assert.deepEqual(await ask(port, `c.test:${app.port}`), { status: 503, body: "DNS cache overflow" });
  assert.equal(all.stats.counter("dns_cache.cache.host_overflow").value, 1);
});

test("a cluster of such hosts that would not prove who they are is refused", async () => {
  await using all = openPlane();
  const options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  const typedExtensionProtocolOptions = {
    [options]: any(options, { explicitHttpConfig: { httpProtocolOptions: {} } }),
  };
  const [rejection] = all.plane.apply([dynamic({}, { typedExtensionProtocolOptions })]);
  assert.match(rejection?.reason ?? "", /autoSni and autoSanValidation/);
  assert.match(all.plane.apply([dynamic({ maxHosts: 0 })])[0]?.reason ?? "", /dnsCacheConfig\.maxHosts/);
  assert.match(all.plane.apply([dynamic({ name: "" })])[0]?.reason ?? "", /dnsCacheConfig\.name/);
});
