/** Redirects that the proxy follows: as if the client had asked for the target itself, and nothing left of the first. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import type { RouteJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { any } from "@weft/xds/resource";
import { cluster, hcm, listener, openPlane, openServer, routes } from "../runtime/testing/test-plane.ts";

const moved = (location: string): string => `HTTP/1.1 302 Found\r\nlocation: ${location}\r\ncontent-length: 0\r\n\r\n`;
const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/** Answers each request by its path, and remembers `METHOD path host` of all. */
const openApp = async (answer: (path: string, index: number) => string) => {
  const asked: string[] = [];
  const server = await openServer((socket) => {
    let held = "";
    socket.on("data", (bytes) => {
      held += bytes.toString("latin1");
      if (!held.includes("\r\n\r\n")) return;
      const [, method, path = ""] = /^(\S+) (\S+)/.exec(held) ?? [];
      asked.push(`${method} ${path} ${/host: (\S+)/.exec(held)?.[1]}`);
      held = "";
      socket.write(answer(path, asked.length - 1), "latin1");
    });
    socket.on("end", () => socket.end());
  });
  return Object.assign(server, { asked });
};

const ask = (port: number, path: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(`GET ${path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n`),
    );
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });

const router = {
  name: "envoy.filters.http.router",
  typedConfig: any("envoy.extensions.filters.http.router.v3.Router", {}),
};
const logged = (format: string): object => ({
  accessLog: [
    {
      name: "log",
      typedConfig: any("envoy.extensions.access_loggers.file.v3.FileAccessLog", {
        path: "/dev/stdout",
        logFormat: { textFormatSource: { inlineString: `${format}\n` } },
      }),
    },
  ],
});
/** A route whose redirects are followed. */
const follows = (prefix: string, action: object = {}, fields: Partial<RouteJson> = {}): RouteJson => ({
  match: { prefix },
  route: { cluster: "app", internalRedirectPolicy: {}, ...action },
  ...fields,
});
const plain = (prefix: string, fields: Partial<RouteJson> = {}): RouteJson => ({
  match: { prefix },
  route: { cluster: "app" },
  ...fields,
});

const openAll = async (port: number, list: readonly RouteJson[], fields: object = {}, clusterFields: object = {}) => {
  const all = openPlane();
  await all.put(
    cluster("app", [port], clusterFields),
    routes([{ name: "all", domains: ["a.test", "b.test"], routes: [...list] }]),
    listener("in", [hcm(fields)]),
  );
  return all;
};

const adaptive = "envoy.filters.http.adaptive_concurrency";
const atMostThree = {
  name: adaptive,
  typedConfig: any("envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency", {
    gradientControllerConfig: {
      concurrencyLimitParams: { concurrencyUpdateInterval: "0.1s" },
      minRttCalcParams: { interval: "60s" },
    },
  }),
};
const switchedOff = {
  typedPerFilterConfig: { [adaptive]: any("envoy.config.route.v3.FilterConfig", { disabled: true }) },
};

test("a request whose redirect is followed holds one place of those that run at once, and gives it back", async () => {
  await using app = await openApp((path) => (path === "/on" ? ok : moved("http://b.test/on")));
  await using all = await openAll(app.port, [follows("/")], { httpFilters: [atMostThree, router] });
  for (let i = 0; i < 5; i++) assert.match(await ask(all.portOf("in"), "/from"), /^HTTP\/1\.1 200/);
});

test("a redirect away from where a filter waits for the request's end is the client's", async () => {
  await using app = await openApp((path) => (path === "/on" ? ok : moved("http://b.test/on")));
  const list = [plain("/on", switchedOff), follows("/")];
  await using all = await openAll(app.port, list, { httpFilters: [atMostThree, router] });
  for (let i = 0; i < 5; i++)
    assert.match(await ask(all.portOf("in"), "/from"), /^HTTP\/1\.1 302[\s\S]*location: http:\/\/b\.test\/on/);
  assert.deepEqual(new Set(app.asked), new Set(["GET /from a.test"]));
});

test("a redirect to where a filter begins to act is followed", async () => {
  await using app = await openApp((path) => (path === "/on" ? ok : moved("http://b.test/on")));
  const list = [plain("/on"), follows("/", {}, switchedOff)];
  await using all = await openAll(app.port, list, { httpFilters: [atMostThree, router] });
  for (let i = 0; i < 5; i++) assert.match(await ask(all.portOf("in"), "/from"), /^HTTP\/1\.1 200/);
});

test("the target's path is spelled as an arriving request's is before a route is chosen", async () => {
  await using app = await openApp((path) => (path === "/from" ? moved("http://b.test:80/open/%2E%2e//secret") : ok));
  const list: RouteJson[] = [{ match: { prefix: "/secret" }, directResponse: { status: 403 } }, follows("/")];
  const fields = { normalizePath: true, mergeSlashes: true, stripAnyHostPort: true };
  await using all = await openAll(app.port, list, { ...fields, ...logged("%REQ(:PATH)% %REQ(:AUTHORITY)%") });
  assert.match(await ask(all.portOf("in"), "/from"), /^HTTP\/1\.1 403/);
  assert.deepEqual(app.asked, ["GET /from a.test"]);
  assert.equal(all.logLines[0], "/secret b.test\n");
});

for (const target of [
  "http://b.test/a%zz",
  "http://b.test/a%00",
  "http://b.test/a%2fb",
  "http://b.test/a b",
  "http://b.test/\xe9\x80",
  "http://user@b.test/on",
  "http://b.test:99999/on",
  "http://b%2f.test/on",
  "http://[::1/on",
  "http://c.test/on",
]) {
  test(`a redirect to ${JSON.stringify(target)} is the client's, and the request stays as it was`, async () => {
    await using app = await openApp(() => moved(target));
    const format = "%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(X-ENVOY-ORIGINAL-URL)% %REQ(X-COPIED)%";
    const fields = { normalizePath: true, pathWithEscapedSlashesAction: "REJECT_REQUEST", ...logged(format) };
    const internalRedirectPolicy = { responseHeadersToCopy: ["x-copied"] };
    await using all = await openAll(app.port, [follows("/", { internalRedirectPolicy })], fields);
    assert.match(await ask(all.portOf("in"), "/from"), /^HTTP\/1\.1 302/);
    assert.deepEqual(app.asked, ["GET /from a.test"]);
    assert.equal(all.logLines[0], "GET /from a.test - -\n");
  });
}

test("a redirect that is not followed ends the request like any answer", async () => {
  const failed = "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n";
  await using app = await openApp((_, index) => (index === 0 ? failed : moved("http://nowhere.test/")));
  const retryPolicy = { retryOn: "5xx", retryBackOff: { baseInterval: "0.001s" } };
  await using all = await openAll(
    app.port,
    [follows("/", { retryPolicy })],
    logged("%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
  );
  assert.match(await ask(all.portOf("in"), "/from"), /^HTTP\/1\.1 302/);
  const { counters, load } = all.plane.clusters()[0] ?? assert.fail();
  assert.equal(counters.upstreamRqRetrySuccess, 1);
  assert.equal(load.retries, 0);
  assert.equal(all.logLines[0], "2\n");
});

test("a redirect that is not followed still has to come whole within the request's time", async () => {
  await using app = await openApp(
    () => "HTTP/1.1 302 X\r\nlocation: http://nowhere.test/\r\ncontent-length: 9\r\n\r\nbeg",
  );
  const fields = { ...logged("%RESPONSE_FLAGS%"), streamIdleTimeout: "2s" };
  await using all = await openAll(app.port, [follows("/", { timeout: "0.1s" })], fields);
  assert.match(await ask(all.portOf("in"), "/from"), /^HTTP\/1\.1 302[\s\S]*beg$/);
  assert.equal(all.logLines[0], "UT\n");
});

test("tries are counted anew behind a redirect", async () => {
  const failed = "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n";
  await using app = await openApp((path, index) => {
    if (index === 0) return failed;
    return path === "/on" ? ok : moved("http://b.test/on");
  });
  const retryPolicy = { retryOn: "5xx", retryBackOff: { baseInterval: "0.001s" } };
  await using all = await openAll(
    app.port,
    [follows("/", { retryPolicy })],
    logged("%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
  );
  assert.match(await ask(all.portOf("in"), "/from"), /^HTTP\/1\.1 200/);
  assert.equal(all.logLines[0], "1\n");
});

test("the first route's cookie is not set by the answer of the second", async () => {
  await using app = await openApp((path) => (path === "/on" ? ok : moved("http://b.test/on")));
  const hashPolicy = [{ cookie: { name: "sticky", ttl: "60s" } }];
  const list = [plain("/on"), follows("/", { hashPolicy })];
  await using all = await openAll(app.port, list, {}, { lbPolicy: "RING_HASH" });
  const answer = await ask(all.portOf("in"), "/from");
  assert.match(answer, /^HTTP\/1\.1 200/);
  assert.doesNotMatch(answer, /set-cookie/);
});

test("nothing of the first upstream is in the answer that the second route gives itself, nor in its log line", async () => {
  await using app = await openApp(() => moved("http://b.test/on"));
  const fault = {
    name: "envoy.filters.http.fault",
    typedConfig: any("envoy.extensions.filters.http.fault.v3.HTTPFault", {}),
  };
  const abort = { httpStatus: 418, percentage: { numerator: 100 } };
  const refuses = {
    typedPerFilterConfig: {
      [fault.name]: any("envoy.extensions.filters.http.fault.v3.HTTPFault", { abort }),
    },
  };
  const responseHeadersToAdd = [{ header: { key: "x-first", value: "yes" } }];
  const weighted = { clusters: [{ name: "app", weight: 1, responseHeadersToAdd }] };
  const first: RouteJson = {
    match: { prefix: "/" },
    route: { weightedClusters: weighted, internalRedirectPolicy: {} },
  };
  const fields = { httpFilters: [fault, router], ...logged("%UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS%") };
  await using all = await openAll(app.port, [plain("/on", refuses), first], fields);
  const answer = await ask(all.portOf("in"), "/from");
  assert.match(answer, /^HTTP\/1\.1 418/);
  assert.doesNotMatch(answer, /x-first/);
  assert.equal(all.logLines[0], "- -\n");
});

test("the first route's bounds on time are not those of the second", async () => {
  await using app = await openApp((path) => (path === "/on" ? "" : moved("http://b.test/on")));
  const fields = { streamIdleTimeout: "0.1s", ...logged("%RESPONSE_CODE_DETAILS%") };
  const list = [plain("/on", { route: { cluster: "app", timeout: "3s" } }), follows("/", { idleTimeout: "0s" })];
  await using all = await openAll(app.port, list, fields);
  assert.match(await ask(all.portOf("in"), "/from"), /^HTTP\/1\.1 504/);
  assert.equal(all.logLines[0], "stream_idle_timeout\n");
});
