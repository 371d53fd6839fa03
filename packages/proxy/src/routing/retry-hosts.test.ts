import assert from "node:assert/strict";
import { test } from "node:test";
import type { RetryPolicyJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { Host } from "../clusters/host.ts";
import { headerList } from "../compile/testing/fixtures.ts";
import { compileBackOff } from "./retry-back-off.ts";
import { compileRetryHosts } from "./retry-hosts.ts";

const hosts = (json: RetryPolicyJson) => compileRetryHosts(json, "retryPolicy");
const typed = (type: string, rest: object = {}) =>
  ({ "@type": `type.googleapis.com/envoy.extensions.retry.${type}`, ...rest }) as never;
const host = (lb: object): Host => ({ metadata: { "envoy.lb": lb } }) as unknown as Host;

test("host predicates are taken by name alone, by message, and by an empty message", () => {
  const name = "envoy.retry_host_predicates.previous_hosts";
  for (const typedConfig of [
    undefined,
    typed("host.previous_hosts.v3.PreviousHostsPredicate"),
    { "@type": "type.googleapis.com/google.protobuf.Empty" } as never,
  ])
    assert.equal(
      hosts({ retryHostPredicate: [typedConfig ? { name, typedConfig } : { name }] }).avoidPreviousHosts,
      true,
    );
  assert.equal(hosts({}).avoidPreviousHosts, false);
});

test("canaries and hosts of a metadata are left out, others are not", () => {
  const { rejectsHost } = hosts({
    retryHostPredicate: [
      { name: "envoy.retry_host_predicates.omit_canary_hosts" },
      {
        name: "any",
        typedConfig: typed("host.omit_host_metadata.v3.OmitHostMetadataConfig", {
          metadataMatch: { filterMetadata: { "envoy.lb": { stage: "test", size: 2 } } },
        }),
      },
    ],
  });
  assert.equal(rejectsHost?.(host({ canary: true })), true);
  assert.equal(rejectsHost?.(host({ stage: "test", size: 2 })), true);
  assert.equal(rejectsHost?.(host({ stage: "test" })), false);
  assert.equal(rejectsHost?.(host({})), false);
});

test("an extension that is not known is refused by its name", () => {
  assert.throws(() => hosts({ retryHostPredicate: [{ name: "mine" }] }), /retryHostPredicate\[0\]: mine/);
  assert.throws(() => hosts({ retryPriority: { name: "mine" } }), /retryPriority: mine/);
  const typedConfig = typed("priority.previous_priorities.v3.PreviousPrioritiesConfig");
  assert.throws(() => hosts({ retryPriority: { name: "p", typedConfig } }), /updateFrequency/);
});

const asked = (format: "SECONDS" | "UNIX_TIMESTAMP", value: string, nowWallMs = 1000): number | undefined =>
  compileBackOff(
    { rateLimitedRetryBackOff: { resetHeaders: [{ name: "Retry-After", format }], maxInterval: "60s" } },
    "p",
  ).askedPauseMs?.(headerList({ "retry-after": value }), nowWallMs);

test("an answer says in seconds or as a moment when to come back, within the bound", () => {
  assert.equal(asked("SECONDS", "2"), 2000);
  assert.equal(asked("SECONDS", "61"), undefined);
  assert.equal(asked("SECONDS", "-1"), undefined);
  assert.equal(asked("SECONDS", "soon"), undefined);
  assert.equal(asked("UNIX_TIMESTAMP", "5"), 4000);
  assert.equal(asked("UNIX_TIMESTAMP", "1"), undefined);
  assert.equal(compileBackOff({}, "p").askedPauseMs, undefined);
  assert.throws(() => compileBackOff({ rateLimitedRetryBackOff: {} }, "p"), /resetHeaders/);
});
