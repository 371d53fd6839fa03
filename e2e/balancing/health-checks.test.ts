/** Active health checks: what /clusters says of each host, and where requests go, in our sidecar as in Envoy. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "@weft/testkit/eventually";
import { type Pair, type Peer, startPair } from "../same-bootstrap/pair.ts";
import { type } from "../same-bootstrap/parts.ts";
import { type CheckedHosts, startCheckedHosts } from "./checked-hosts.ts";
import { askAll, assigned, at, balancingBootstrap, keysOf } from "./parts.ts";

const check = (rest: object, times: object = {}): object => ({
  commonLbConfig: { healthyPanicThreshold: {} },
  healthChecks: [
    {
      timeout: "1s",
      interval: "0.05s",
      noTrafficInterval: "0.05s",
      unhealthyThreshold: 1,
      healthyThreshold: 1,
      ...times,
      ...rest,
    },
  ],
});
const http = (path: string, rest: object = {}): object => ({ httpHealthCheck: { path, ...rest } });
const hex = (text: string): object => ({ text: Buffer.from(text).toString("hex") });
const http2 = {
  typedExtensionProtocolOptions: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": type("extensions.upstreams.http.v3.HttpProtocolOptions"),
      explicitHttpConfig: { http2ProtocolOptions: {} },
    },
  },
};

const three = ({ port }: CheckedHosts): object => ({ lbEndpoints: [1, 2, 3].map((n) => at(n, port)) });

/** Each cluster, and the flags that its hosts at 127.0.0.1, .2 and .3 come to have. */
const cases = {
  "http-status": {
    cluster: (up: CheckedHosts) => ({ ...check(http("/only-1")), ...assigned(three(up)) }),
    flags: ["healthy", "/failed_active_hc", "/failed_active_hc"],
  },
  "http-ranges": {
    cluster: (up: CheckedHosts) => ({
      ...check(http("/only-1", { expectedStatuses: [{ start: "500", end: "504" }] })),
      ...assigned(three(up)),
    }),
    flags: ["/failed_active_hc", "healthy", "healthy"],
  },
  "http-degraded": {
    cluster: (up: CheckedHosts) => ({ ...check(http("/degraded-2")), ...assigned(three(up)) }),
    flags: ["healthy", "/degraded_active_hc", "healthy"],
  },
  "http-body": {
    cluster: (up: CheckedHosts) => ({
      ...check(http("/body", { receive: [hex("host"), hex("0.0.3")] })),
      ...assigned(three(up)),
    }),
    flags: ["/failed_active_hc", "/failed_active_hc", "healthy"],
  },
  "http-service": {
    cluster: (up: CheckedHosts) => ({
      ...check(http("/service", { serviceNameMatcher: { prefix: "svc-1" } })),
      ...assigned(three(up)),
    }),
    flags: ["healthy", "/failed_active_hc", "/failed_active_hc"],
  },
  "http-headers": {
    cluster: (up: CheckedHosts) => ({
      ...check(
        http("/headers", {
          host: "checked.example",
          method: "POST",
          send: hex("ping"),
          requestHeadersToAdd: [{ header: { key: "x-check", value: "yes" } }],
        }),
      ),
      ...assigned(three(up)),
    }),
    flags: ["healthy", "healthy", "healthy"],
  },
  "http-fresh": {
    cluster: (up: CheckedHosts) => ({ ...check(http("/only-1"), { reuseConnection: false }), ...assigned(three(up)) }),
    flags: ["healthy", "/failed_active_hc", "/failed_active_hc"],
  },
  "http-timeout": {
    cluster: (up: CheckedHosts) => ({ ...check(http("/silent-3"), { timeout: "0.1s" }), ...assigned(three(up)) }),
    flags: ["healthy", "healthy", "/failed_active_hc/active_hc_timeout"],
  },
  "http-2": {
    cluster: (up: CheckedHosts) => ({
      ...check(http("/only-1", { codecClientType: "HTTP2" })),
      ...assigned({ lbEndpoints: [1, 2].map((n) => at(n, up.http2Port)) }),
    }),
    flags: ["healthy", "/failed_active_hc"],
  },
  grpc: {
    cluster: (up: CheckedHosts) => ({
      ...check({ grpcHealthCheck: { serviceName: "only-1", authority: "grpc.example" } }),
      ...http2,
      ...assigned({ lbEndpoints: [1, 2].map((n) => at(n, up.http2Port)) }),
    }),
    flags: ["healthy", "/failed_active_hc"],
  },
  "tcp-connect": {
    cluster: (up: CheckedHosts) => ({
      ...check({ tcpHealthCheck: {} }),
      ...assigned({ lbEndpoints: [at(1, up.port), at(2, up.closedPort)] }),
    }),
    flags: ["healthy", "/failed_active_hc"],
  },
  "tcp-payload": {
    cluster: (up: CheckedHosts) => ({
      ...check({ tcpHealthCheck: { send: hex("PING"), receive: [hex("+"), hex("PONG")] } }, { timeout: "0.2s" }),
      ...assigned({ lbEndpoints: [1, 2].map((n) => at(n, up.tcpPort)) }),
    }),
    flags: ["healthy", "/failed_active_hc/active_hc_timeout"],
  },
  disabled: {
    cluster: (up: CheckedHosts) => ({
      ...check(http("/only-1")),
      ...assigned({
        lbEndpoints: [at(1, up.port), at(2, up.port, {}, { healthCheckConfig: { disableActiveHealthCheck: true } })],
      }),
    }),
    flags: ["healthy", "healthy"],
  },
  "other-port": {
    cluster: (up: CheckedHosts) => ({
      ...check(http("/only-1")),
      ...assigned({
        lbEndpoints: [at(1, up.port, {}, { healthCheckConfig: { portValue: up.closedPort } }), at(3, up.port)],
      }),
    }),
    flags: ["/failed_active_hc", "/failed_active_hc"],
  },
} as const;

let upstream: CheckedHosts;
let pair: Pair;

before(async () => {
  upstream = await startCheckedHosts();
  const clusters = Object.entries(cases).map(([name, { cluster }]) => ({ name, cluster: cluster(upstream) }));
  pair = await startPair(["main"], (ports) => balancingBootstrap(ports, clusters));
});
after(async () => {
  for (const each of [pair, upstream]) await each?.[Symbol.asyncDispose]();
});

const flagsOf = async ({ admin }: Peer, cluster: string): Promise<string[]> => {
  const text = await (await fetch(`http://127.0.0.1:${admin}/clusters`)).text();
  return text
    .split("\n")
    .filter((line) => line.startsWith(`${cluster}::`) && line.includes("::health_flags::"))
    .sort()
    .map((line) => line.split("::").at(-1) ?? "");
};

for (const [name, { flags }] of Object.entries(cases)) {
  test(`both say the same of hosts that are checked: ${name}`, async () => {
    for (const proxy of [pair.envoy, pair.weft]) {
      let seen: string[] = [];
      await eventually(
        `${proxy.name} has checked ${name}`,
        async () => {
          seen = await flagsOf(proxy, name);
          return seen.join() === flags.join() ? true : undefined;
        },
        10_000,
      ).catch(() => assert.deepEqual(seen, flags, proxy.name));
    }
  });
}

test("requests go to hosts that pass, degraded ones only when others do not suffice", async () => {
  const keys = keysOf(60);
  const expected = new Map<string, readonly string[]>([
    ["http-status", ["127.0.0.1"]],
    ["http-ranges", ["127.0.0.2", "127.0.0.3"]],
    ["disabled", ["127.0.0.1", "127.0.0.2"]],
    ["other-port", ["503"]],
  ]);
  for (const [name, hosts] of expected) {
    for (const proxy of [pair.envoy, pair.weft]) {
      const seen = new Set(await askAll(proxy, name, keys));
      assert.deepEqual([...seen].sort(), hosts, `${proxy.name} ${name}`);
    }
  }
});

test("a host that fails is left, and taken back when it passes again", async () => {
  for (const proxy of [pair.envoy, pair.weft]) {
    for (const fails of [true, false]) {
      upstream.failing = fails;
      const wanted = fails ? "/failed_active_hc" : "healthy";
      await eventually(
        `${proxy.name} sees 127.0.0.1 ${wanted}`,
        async () => ((await flagsOf(proxy, "http-status"))[0] === wanted ? true : undefined),
        10_000,
      );
    }
  }
});
