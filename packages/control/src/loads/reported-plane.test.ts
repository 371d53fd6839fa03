/** Reports of health through the whole control plane: what the API shows, and what is sent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress } from "@weft/core/address";
import { type ClusterReport, encodeLoadReport, streamLoadStatsPath } from "@weft/xds/load-reports";
import { testNode } from "../testing/ads-client.ts";
import { credentialsOf } from "../testing/join.ts";
import { openTestPlane } from "../testing/plane.ts";
import { openRawCall } from "../testing/raw-call.ts";

const yaml = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec:
  hosts: [app.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2}]
`;
const report: ClusterReport = {
  ...{ cluster: "outbound|80||app.example", service: "", dropped: 0, intervalMs: 1, localities: [], checksHosts: true },
  unhealthy: [{ address: "10.0.0.1:80", flags: "/failed_active_hc" }],
};

interface Item {
  readonly address: string;
  readonly health: string;
  readonly sentAs: string;
  readonly proxies?: object;
}

test("the API tells what proxies report of each endpoint and what is sent of it, until the reporter goes", async () => {
  await using mesh = await openTestPlane();
  await mesh.api("/v1/config/apply", { method: "POST", body: yaml });
  const first = async (): Promise<Item | undefined> =>
    (await mesh.api<{ items: readonly Item[] }>("/v1/registry/app.example/endpoints")).body.items[0];
  assert.deepEqual([(await first())?.sentAs, (await first())?.proxies], ["healthy", undefined]);
  // Whoever shows no certificate may say what it likes of itself: it is heard of, and decides nothing.
  using stranger = openRawCall(formatAddress(mesh.plane.xds), streamLoadStatsPath);
  stranger.send(encodeLoadReport({ node: testNode(), clusters: [report] }));
  await stranger.next();
  let seen = await first();
  while (seen?.proxies === undefined) seen = await first();

  const credentials = await credentialsOf(mesh, "spiffe://cluster.local/ns/default/sa/web");
  const call = openRawCall(formatAddress(mesh.plane.secure), streamLoadStatsPath, credentials);
  call.send(encodeLoadReport({ node: testNode(), clusters: [report] }));
  await call.next();
  assert.equal(seen.sentAs, "healthy");
  while (seen?.sentAs !== "unhealthy") seen = await first();
  assert.equal(seen.health, "healthy");
  assert.deepEqual(seen.proxies, {
    ...{ reporting: 2, checking: 2, failing: 2, unhealthy: 2 },
    reasons: { failed_active_hc: 2 },
  });
  call[Symbol.dispose]();
  await call.ended;
  while (seen?.sentAs !== "healthy") seen = await first();
  assert.deepEqual(seen.proxies, {
    ...{ reporting: 1, checking: 1, failing: 1, unhealthy: 1 },
    reasons: { failed_active_hc: 1 },
  });
});

test("how a workload's proxy starts is asked by namespace and labels", async () => {
  await using mesh = await openTestPlane();
  const body = `apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, concurrency: 3}
`;
  await mesh.api("/v1/config/apply", { method: "POST", body });
  const ask = async (query: string) => mesh.api(`/v1/proxy-start?${query}`);
  const found = await ask("namespace=shop&labels=app%3Dweb,version%3Dv1");
  assert.deepEqual(found.body, { concurrency: 3, environmentVariables: {}, from: ["shop/web"] });
  assert.deepEqual((await ask("labels=app%3Dweb")).body, { environmentVariables: {}, from: [] });
  assert.equal((await ask("labels=%3Dweb")).status, 400);
});
