import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress } from "@weft/core/address";
import { openAdsClient } from "../testing/ads-client.ts";
import { openTestPlane } from "../testing/plane.ts";

const config = (annotations: string, host = "one"): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: one }
spec:
  hosts: [one.example.com]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: 8001 } }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: one, annotations: { note: "${annotations}" }, labels: { team: "${annotations}" } }
spec:
  hosts: [one.example.com]
  http:
    - route: [{ destination: { host: ${host}.example.com } }]
      headers: { request: { set: { x-to: ${host} } } }
`;

test("an edit of metadata alone is pushed to nobody; an edit of the routes is", async () => {
  await using mesh = await openTestPlane();
  const apply = (text: string) => mesh.api("/v1/config/apply", { method: "POST", body: text });
  await apply(config("first"));
  using client = openAdsClient(formatAddress(mesh.plane.xds), "delta");
  for (const kind of ["cluster", "listener"] as const) {
    client.ask(kind);
    client.ask(kind, { nonce: (await client.next()).nonce });
  }
  client.ask("route", { names: ["*"] });
  const routes = await client.next();
  client.ask("route", { nonce: routes.nonce });
  assert.ok(routes.names.length > 0);
  for (let n = 0; n < 5; n++) assert.equal((await apply(config(`edit-${n}`))).status, 200);
  await apply(config("last", "one").replace("x-to: one", "x-to: other"));
  const pushed = await client.next();
  assert.equal(pushed.typeUrl, routes.typeUrl);
  assert.ok(pushed.names.length > 0);
  const metrics = await (await fetch(`http://${formatAddress(mesh.plane.monitoring)}/metrics`)).text();
  const sent = [...metrics.matchAll(/^pilot_xds_pushes\{type="(\w+)"\} (\d+)$/gm)].map(([, type, count]) => [
    type,
    count,
  ]);
  assert.deepEqual(sent.sort(), [
    ["cds", "1"],
    ["lds", "1"],
    ["rds", "2"],
  ]);
});
