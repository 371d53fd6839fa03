/** Filters that meet one request twice, by two routes: its redirect was followed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cluster } from "../../clusters/cluster.ts";
import { compileTools, downstream, exchange, filterTools } from "../../compile/testing/fixtures.ts";
import type { Route } from "../../routing/route.ts";
import { localRateLimit, localRateLimitName } from "./local-ratelimit.ts";
import { peerMetadata } from "./peer-metadata.ts";

const metadataHeader = "x-envoy-peer-metadata";
const idHeader = "x-envoy-peer-metadata-id";

test("who the peer is stays known, though its headers are gone", () => {
  const client = peerMetadata.configure({})(filterTools());
  const sent = exchange();
  client.onRequest?.(sent);
  const server = peerMetadata.configure({})(filterTools());
  const inbound = exchange({ request: sent.request, downstream: downstream({ direction: "inbound" }) });
  server.onRequest?.(inbound);
  const { peer } = inbound;
  assert.ok(peer !== undefined);
  server.onRequest?.(inbound);
  assert.deepEqual(inbound.peer, peer);
});

test("what a request told within the mesh goes no further when a redirect leads out of it", () => {
  const filter = peerMetadata.configure({})(filterTools());
  const sent = exchange();
  filter.onRequest?.(sent);
  assert.ok(sent.request.headers.has(metadataHeader));
  sent.cluster = { name: "PassthroughCluster", metadata: {} } as unknown as Cluster;
  filter.onRequest?.(sent);
  assert.equal(sent.request.headers.has(metadataHeader), false);
  assert.equal(sent.request.headers.has(idHeader), false);
});

test("the answer does not tell of the first route's limit", () => {
  const filter = localRateLimit.configure({})(filterTools());
  const always = { defaultValue: { numerator: 100 } };
  const limit = localRateLimit.configureRoute?.(
    {
      statPrefix: "first",
      tokenBucket: { maxTokens: 5, fillInterval: "60s" },
      filterEnabled: always,
      enableXRatelimitHeaders: "DRAFT_VERSION_03",
    },
    compileTools(),
  );
  const limited = { filterConfig: new Map([[localRateLimitName, limit]]) } as unknown as Route;
  const one = exchange({ route: limited });
  filter.onRequest?.(one);
  one.route = { filterConfig: new Map() } as unknown as Route;
  filter.onRequest?.(one);
  filter.onResponse?.(one);
  assert.equal(one.response.headers.has("x-ratelimit-limit"), false);
  const other = exchange({ route: limited });
  filter.onRequest?.(other);
  filter.onResponse?.(other);
  assert.equal(other.response.headers.get("x-ratelimit-limit"), "5");
});
