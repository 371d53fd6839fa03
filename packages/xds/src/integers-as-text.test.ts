import assert from "node:assert/strict";
import { test } from "node:test";
import { resourceSchema } from "./codec.ts";
import { integersAsText } from "./integers-as-text.ts";
import { checkJson } from "./json-check.ts";

const routes = resourceSchema("route");
const listeners = resourceSchema("listener");

test("whole numbers where text belongs become text: in fields, lists and typed settings", () => {
  const table = { name: 80, virtual_hosts: [{ name: 1, domains: [8080, "a"], routes: [] }] };
  const made = integersAsText(routes, table);
  assert.deepEqual(made, { name: "80", virtual_hosts: [{ name: "1", domains: ["8080", "a"], routes: [] }] });
  assert.deepEqual(checkJson(routes, made), []);
  const url = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
  const listener = (stat_prefix: unknown) => ({
    filter_chains: [{ filters: [{ typed_config: { "@type": url, stat_prefix, cluster: "c" } }] }],
  });
  assert.deepEqual(integersAsText(listeners, listener(15001)), listener("15001"));
});

test("numbers stay numbers where the message has numbers, and what is no whole number stays wrong", () => {
  const listener = { address: { socket_address: { address: "127.0.0.1", port_value: 80 } } };
  assert.deepEqual(integersAsText(listeners, listener), listener);
  for (const name of [1.1, true, null, [80], { a: 80 }, 2 ** 60])
    assert.deepEqual(integersAsText(routes, { name }), { name });
  assert.equal(checkJson(routes, integersAsText(routes, { name: 1.1 })).length, 1);
});

test("free-form settings, unknown fields and unknown types stay as they are", () => {
  const metadata = { metadata: { filter_metadata: { a: { name: 80 } } } };
  assert.deepEqual(integersAsText(listeners, metadata), metadata);
  for (const json of [{ nmae: 80 }, "text", [80], null]) assert.deepEqual(integersAsText(routes, json), json);
  const unknown = { filter_chains: [{ filters: [{ typed_config: { "@type": "x/y.Z", name: 80 } }] }] };
  assert.deepEqual(integersAsText(listeners, unknown), unknown);
});
