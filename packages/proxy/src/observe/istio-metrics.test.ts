import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileCluster } from "../clusters/compile-cluster.ts";
import { staticCluster } from "../clusters/testing/fixtures.ts";
import {
  compileTools,
  downstream,
  exchange,
  headerList,
  request,
  testClock,
  tlsInfo,
} from "../compile/testing/fixtures.ts";
import type { Exchange } from "../http/exchange.ts";
import type { Route } from "../routing/route.ts";
import { createStats } from "./create-stats.ts";
import { createIstioMetrics } from "./istio-metrics.ts";

const node = { id: "sidecar~10.0.0.2~web-1.shop~shop.svc.cluster.local", cluster: "web", metadata: {} };
const services = (host: string) => ({
  filterMetadata: { istio: { services: [{ host, name: host, namespace: "shop" }] } },
});
const clusters = [
  compileCluster(staticCluster(["10.0.0.9", "10.0.0.8"], { metadata: services("ratings") }), undefined, compileTools()),
  compileCluster(staticCluster(["10.0.0.9"], { metadata: services("reviews") }), undefined, compileTools()),
  compileCluster(staticCluster(["10.0.0.7"]), undefined, compileTools()),
];
for (const cluster of clusters) {
  for (const [index, host] of cluster.hosts().entries())
    host.metadata = { istio: { workload: `v${index};shop;ratings;v${index};k` } };
}
const routes = ["allow_any", "block_all", "own"].map((name) => ({ name }) as Route);

/** Requests that differ in one respect or another, and often in none. */
const traffic = fc.record({
  cluster: fc.constantFrom(undefined, 0, 1, 2),
  host: fc.nat(1),
  route: fc.constantFrom(undefined, 0, 1, 2),
  authority: fc.constantFrom("a.example", "b.example"),
  inbound: fc.boolean(),
  status: fc.constantFrom(200, 503),
  grpcStatus: fc.constantFrom(-1, 0, 14),
  grpc: fc.boolean(),
  flags: fc.constantFrom("", "UF"),
  peer: fc.constantFrom("", "spiffe://cluster.local/ns/shop/sa/a", "spiffe://cluster.local/ns/shop/sa/b"),
});
const fields = Object.keys({ ...fc.sample(traffic, 1)[0] }) as (keyof Traffic)[];

/** Each differs from the one before in one respect at most. */
const steps = fc.tuple(traffic, fc.array(fc.tuple(fc.constantFrom(...fields), traffic), { maxLength: 60 }));
type Traffic = typeof traffic extends fc.Arbitrary<infer T> ? T : never;

const exchangeOf = (one: Traffic): Exchange => {
  const cluster = one.cluster === undefined ? undefined : clusters[one.cluster];
  const tls = one.peer === "" ? undefined : tlsInfo({ peerUris: [one.peer] });
  return exchange({
    request: request("/", one.grpc ? { "content-type": "application/grpc" } : {}, { authority: one.authority }),
    response: { status: one.status, headers: headerList() },
    downstream: downstream({ direction: one.inbound ? "inbound" : "outbound", tls }),
    cluster,
    host: cluster?.hosts()[one.host % cluster.hosts().length],
    route: one.route === undefined ? undefined : routes[one.route],
    grpcStatus: one.grpcStatus,
    flags: one.flags,
    upstreamTls: one.inbound || one.peer === "" ? undefined : { localUri: "", peerUri: one.peer },
  });
};

const counted = (stats: ReturnType<typeof createStats>): readonly string[] =>
  [...stats.series()].map((series) => JSON.stringify(series)).sort();

test("requests are counted as if each were the first, whatever came before it", () => {
  fc.assert(
    fc.property(steps, ([first, changes]) => {
      const list = [first];
      for (const [field, from] of changes) list.push({ ...(list.at(-1) ?? first), [field]: from[field] });
      const options = { node, clock: testClock(), hostHeaderFallback: true };
      const stats = createStats();
      const metrics = createIstioMetrics({ ...options, stats });
      const expected = createStats();
      for (const one of list) {
        metrics.request(exchangeOf(one));
        createIstioMetrics({ ...options, stats: expected }).request(exchangeOf(one));
      }
      assert.deepEqual(counted(stats), counted(expected));
    }),
  );
});
