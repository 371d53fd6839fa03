import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { openHttpServer } from "@weft/net/http/server";
import { parseMetricsPlace, parseProbers } from "./pod-probers.ts";
import { type PodStatusOptions, podStatusRoutes } from "./pod-status.ts";

const probers = parseProbers('{"/app-health/web/readyz":{"httpGet":{"path":"/r","port":80},"timeoutSeconds":2}}');

/** A status that listens, over an admin interface and an application that answer as given. */
const serve = async (
  answers: Readonly<Record<string, readonly [number, string]>>,
  more: Partial<PodStatusOptions> = {},
) => {
  const routes = podStatusRoutes({
    ...{ adminPort: 15_000, probers, metrics: undefined, askProgram: async () => undefined },
    ask: async (port, path) => {
      const found = answers[`${port}${path}`];
      if (!found) throw new Error("connection refused");
      return { status: found[0], body: found[1] };
    },
    ...more,
  });
  const server = await openHttpServer({ address: { host: "127.0.0.1", port: 0 }, routes, log: silentLogger });
  return {
    get: async (path: string, method = "GET") => {
      const answer = await fetch(`http://127.0.0.1:${server.address.port}${path}`, { method });
      return `${answer.status} ${(await answer.text()).trim()}`;
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
};

test("the pod is ready when its proxy is, and not when it does not answer", async () => {
  await using up = await serve({ "15000/ready": [200, "LIVE"] });
  assert.equal(await up.get("/healthz/ready"), "200 LIVE");
  await using draining = await serve({ "15000/ready": [503, "DRAINING"] });
  assert.equal(await draining.get("/healthz/ready"), "503 DRAINING");
  await using gone = await serve({});
  assert.match(await gone.get("/healthz/ready"), /^503 the proxy does not answer: connection refused/);
});

test("a probe is asked of the application; one that nobody wrote is not there", async () => {
  let problem: string | undefined;
  await using status = await serve({}, { askProgram: async () => problem });
  assert.equal(await status.get("/app-health/web/readyz"), "200 ");
  problem = "it answered 500";
  assert.equal(await status.get("/app-health/web/readyz"), "500 it answered 500");
  assert.match(await status.get("/app-health/web/livez"), /^404 no probe is known/);
  assert.match(await status.get("/app-health/db/readyz"), /^404 /);
});

test("metrics of both come together, and of one where the other has none", async () => {
  const metrics = { port: 9090, path: "/m" };
  const proxy = { "15000/stats/prometheus": [200, "proxy 1"] } as const;
  await using both = await serve({ ...proxy, "9090/m": [200, "app 2\n# EOF\n"] }, { metrics });
  assert.equal(await both.get("/stats/prometheus"), "200 proxy 1\napp 2");
  await using broken = await serve({ ...proxy, "9090/m": [500, "oops"] }, { metrics });
  assert.equal(await broken.get("/stats/prometheus"), "200 proxy 1");
  await using alone = await serve({ "9090/m": [200, "app 2"] }, { metrics });
  assert.equal(await alone.get("/stats/prometheus"), "200 app 2");
  await using none = await serve({}, { metrics });
  assert.match(await none.get("/stats/prometheus"), /^503/);
});

test("nothing of the admin interface is reached through it, and nothing is changed", async () => {
  await using status = await serve({ "15000/config_dump": [200, "all"], "15000/quitquitquit": [200, ""] });
  for (const path of ["/config_dump", "/quitquitquit", "/app-health/../config_dump"])
    assert.match(await status.get(path), /^404/);
  assert.match(await status.get("/healthz/ready", "POST"), /^405/);
});

test("probes that injection did not write are refused by what is wrong with them", () => {
  assert.equal(parseProbers(undefined).size, 0);
  for (const [text, wanted] of [
    ["{", /is not JSON/],
    ["[]", /is not an object/],
    ['{"/other":{}}', /has the path "\/other"/],
    ['{"/app-health/web/readyz":{}}', /asks nothing/],
    ['{"/app-health/web/readyz":{"httpGet":{"port":"http"}}}', /asks nothing/],
    ['{"/app-health/web/readyz":{"exec":{"command":["rm"]}}}', /asks nothing/],
    [
      JSON.stringify(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`/app-health/c${i}/readyz`, {}]))),
      /256 is the most/,
    ],
  ] as const)
    assert.throws(() => parseProbers(text), { code: "WF2180", message: wanted });
});

test("a place of metrics that makes no sense is none", () => {
  assert.deepEqual(parseMetricsPlace('{"scrape":"true","port":"9090"}'), { port: 9090, path: "/metrics" });
  for (const text of [
    undefined,
    "",
    "[",
    "null",
    "{}",
    '{"scrape":"false","port":"1"}',
    '{"scrape":"true","port":"http"}',
    '{"scrape":"true","port":"0"}',
  ])
    assert.equal(parseMetricsPlace(text), undefined);
});
