import assert from "node:assert/strict";
import { test } from "node:test";
import { BootstrapSchema } from "@weft/xds/gen/envoy/config/bootstrap/v3/bootstrap";
import { checkJson, formatPath } from "./json-check.ts";

const problems = (json: unknown): readonly string[] =>
  checkJson(BootstrapSchema, json).map(({ path, message }) => `${formatPath(path)}: ${message}`);
const cluster = (fields: object): object => ({ static_resources: { clusters: [{ name: "a", ...fields }] } });

test("both spellings of a field name are taken", () => {
  assert.deepEqual(problems(cluster({ connect_timeout: "1s", lb_policy: "RANDOM" })), []);
  assert.deepEqual(problems({ staticResources: { clusters: [{ connectTimeout: "1s" }] } }), []);
});

test("every misfit is reported with its path", () => {
  assert.deepEqual(problems({ ...cluster({ conect_timeout: "1s", lb_policy: "BEST" }), nodes: {} }).length, 3);
});

const cases: readonly (readonly [json: unknown, expected: RegExp])[] = [
  [[], /^: must be a mapping, not a list/],
  [cluster({ conect_timeout: "1s" }), /conect_timeout: there is no field .*did you mean "connect_timeout"\?/],
  [cluster({ zzz: 1 }), /there is no field "zzz" in envoy\.config\.cluster\.v3\.Cluster$/],
  [cluster({ name: 5 }), /name: must be a string, not 5/],
  [cluster({ connect_timeout: "5" }), /connect_timeout: must be a duration/],
  [cluster({ connect_timeout: 5 }), /connect_timeout: must be a duration such as "0.25s", not 5/],
  [cluster({ lb_policy: "FASTEST" }), /lb_policy: must be one of ROUND_ROBIN, .*, not "FASTEST"/],
  [cluster({ per_connection_buffer_limit_bytes: -1 }), /must be a whole number from 0 to 4294967295, not -1/],
  [cluster({ per_connection_buffer_limit_bytes: 1.5 }), /must be a whole number/],
  [cluster({ health_checks: {} }), /health_checks: must be a list, not a mapping/],
  [cluster({ metadata: { filter_metadata: [] } }), /filter_metadata: must be a mapping, not a list/],
  [cluster({ metadata: { filter_metadata: { x: 1 } } }), /filter_metadata\.x: must be a mapping/],
  [cluster({ type: "STATIC", cluster_type: { name: "x" } }), /"cluster_type" and "type" exclude each other/],
  [cluster({ transport_socket: { typed_config: {} } }), /typed_config: needs "@type"/],
  [cluster({ transport_socket: { typed_config: { "@type": "type.googleapis.com/acme.X" } } }), /acme\.X is not known/],
  [
    cluster({
      transport_socket: {
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
          snii: "x",
        },
      },
    }),
    /transport_socket\.typed_config\.snii: .*did you mean "sni"\?/,
  ],
];
for (const [json, expected] of cases) {
  test(`refused: ${JSON.stringify(json).slice(0, 90)}`, () => {
    assert.match(problems(json).join("\n"), expected);
  });
}

test("null is an absent field and a Struct may hold anything", () => {
  assert.deepEqual(problems(cluster({ metadata: { filter_metadata: { a: { b: [1, null, {}] } } }, type: null })), []);
});

test("nesting without end is refused, and so many problems are cut off", () => {
  let node: object = {};
  for (let i = 0; i < 500; i++) node = { matcher: node };
  assert.ok(problems(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x${i}`, node]))).length <= 50);
});
