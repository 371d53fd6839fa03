import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeResource, encodeResource } from "./codec.ts";
import { any, resourceType } from "./resource.ts";

const dns = "envoy.extensions.clusters.dns.v3.DnsCluster";

test("a typed DNS cluster keeps its settings on the wire", () => {
  const json = {
    name: "a",
    clusterType: {
      name: "envoy.clusters.dns",
      typedConfig: any(dns, {
        dnsRefreshRate: "5s",
        dnsFailureRefreshRate: { baseInterval: "1s", maxInterval: "10s" },
        respectDnsTtl: true,
        dnsJitter: "0.100s",
        dnsLookupFamily: "V4_ONLY",
        allAddressesInSingleEndpoint: true,
      }),
    },
  };
  const bytes = encodeResource("cluster", json);
  assert.deepEqual(decodeResource(resourceType("cluster").typeUrl, bytes), json);
  // Field 9 is a bool and field 8 an enum: what another encoder of the same message writes.
  assert.ok(Buffer.from(bytes).includes(Buffer.of(0x40, 2, 0x48, 1)));
});
