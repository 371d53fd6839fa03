import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress } from "@weft/core/address";
import { openAdsClient } from "../testing/ads-client.ts";
import { openTestPlane } from "../testing/plane.ts";

const entry = (name: string): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec:
  hosts: [${name}.example.com]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: 8001 } }]
`;
const cluster = (name: string): string => `outbound|80||${name}.example.com`;

test("a client that asks for clusters by name alone gets those, is told which there are not, and hears of them later", async () => {
  await using mesh = await openTestPlane();
  const apply = (text: string) => mesh.api("/v1/config/apply", { method: "POST", body: text });
  await apply(entry("one"));
  await apply(entry("two"));
  using client = openAdsClient(formatAddress(mesh.plane.xds), "delta");
  client.ask("cluster", { names: [cluster("one")] });
  const first = await client.next();
  assert.deepEqual([first.names, first.removed], [[cluster("one")], []]);
  client.ask("cluster", { nonce: first.nonce });
  client.ask("cluster", { names: [cluster("later")] });
  const second = await client.next();
  assert.deepEqual([second.names, second.removed], [[], [cluster("later")]]);
  client.ask("cluster", { nonce: second.nonce });
  await apply(entry("later"));
  const third = await client.next();
  assert.deepEqual([third.names, third.removed], [[cluster("later")], []]);
});
