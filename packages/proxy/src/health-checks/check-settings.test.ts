import assert from "node:assert/strict";
import { test } from "node:test";
import type { HealthCheckJson } from "@weft/xds/gen/envoy/config/core/v3/health_check";
import { testClock } from "../compile/testing/fixtures.ts";
import { compileHealthChecks } from "./check-settings.ts";
import { containsInOrder } from "./probe-settings.ts";

const base: HealthCheckJson = { timeout: "1s", interval: "5s", unhealthyThreshold: 2, healthyThreshold: 3 };
const compile = (json: HealthCheckJson) => compileHealthChecks([{ ...base, ...json }], "healthChecks", testClock())[0];

test("intervals fall back on each other as in Envoy", () => {
  const { intervals } = compile({ tcpHealthCheck: {}, unhealthyInterval: "2s" }) ?? {};
  assert.deepEqual(intervals, {
    intervalMs: 5_000,
    initialJitterMs: 0,
    jitterMs: 0,
    jitterPercent: 0,
    noTrafficMs: 60_000,
    noTrafficHealthyMs: 60_000,
    unhealthyMs: 2_000,
    unhealthyEdgeMs: 2_000,
    healthyEdgeMs: 5_000,
  });
});

test("a check by HTTP expects 200 and nothing else unless it says so", () => {
  const settings = compile({ httpHealthCheck: { path: "/" } });
  assert.ok(settings?.probe.kind === "http");
  assert.deepEqual([settings.probe.expects(200), settings.probe.expects(204)], [true, false]);
  assert.equal(settings.reuseConnection, true);
});

test("what makes no sense is refused by its path", () => {
  const http = (rest: object): HealthCheckJson => ({ httpHealthCheck: { path: "/", ...rest } });
  const cases: [HealthCheckJson, RegExp][] = [
    [{}, /healthChecks\[0\]: needs httpHealthCheck, grpcHealthCheck or tcpHealthCheck/],
    [{ ...http({}), timeout: "0s" }, /timeout: must be greater than 0/],
    [{ ...http({}), altPort: 70_000 }, /altPort: 70000 is not a port/],
    [http({ path: "" }), /httpHealthCheck.path: is required/],
    [http({ path: "/a b" }), /httpHealthCheck.path: is not a path/],
    [http({ send: { text: "00" } }), /send: does not go with GET/],
    [http({ method: "CONNECT" }), /method: CONNECT is not supported/],
    [http({ expectedStatuses: [{ start: "300", end: "300" }] }), /expectedStatuses\[0\]: 300 to 300 is not a range/],
    [http({ retriableStatuses: [{ start: "1", end: "600" }] }), /retriableStatuses\[0\]: 1 to 600/],
    [http({ codecClientType: "HTTP3" }), /codecClientType: HTTP3 is not supported/],
    [http({ receive: [{ text: "xyz" }] }), /receive\[0\].text: "xyz" is not hexadecimal/],
    [http({ receive: [{ text: "0011" }], responseBufferSize: "1" }), /receive: is longer than 1 bytes/],
    [{ tcpHealthCheck: { send: { text: "0" } } }, /send.text: "0" is not hexadecimal/],
    [{ customHealthCheck: { name: "redis" } }, /customHealthCheck: is not supported/],
    [{ tcpHealthCheck: {}, eventLogger: [{ name: "x", typedConfig: {} as never }] }, /eventLogger\[0\]: the event/],
  ];
  for (const [json, message] of cases) assert.throws(() => compile(json), message);
  const two = [base, base].map((json) => ({ ...json, tcpHealthCheck: {} }));
  assert.throws(() => compileHealthChecks(two, "healthChecks", testClock()), /healthChecks: has more than one/);
});

test("parts are looked for one after the other", () => {
  const parts = (...texts: readonly string[]): Buffer[] => texts.map((text) => Buffer.from(text));
  const bytes = Buffer.from("one two one");
  assert.equal(containsInOrder(bytes, parts("one", "two", "one")), true);
  assert.equal(containsInOrder(bytes, parts("two", "two")), false);
  assert.equal(containsInOrder(bytes, parts("two", "one", "one")), false);
  assert.equal(containsInOrder(bytes, []), true);
});
