import assert from "node:assert/strict";
import { test } from "node:test";
import { exchange, filterTools, request } from "../../compile/testing/fixtures.ts";
import { setFilterState } from "./set-filter-state.ts";

const build = (formatString: object, more: object = {}) =>
  setFilterState.configure({
    onRequestHeaders: [{ objectKey: "envoy.network.application_protocols", formatString, ...more }],
  })(filterTools());
const inline = (inlineString: string): object => ({ textFormatSource: { inlineString } });

test("protocols are offered upstream as they are configured, the same list for every request", () => {
  const filter = build(inline("my-proto,h2"));
  const [one, other] = [exchange(), exchange()];
  filter.onRequest?.(one);
  filter.onRequest?.(other);
  const names = ["my-proto", "h2"];
  assert.deepEqual(one.upstreamAlpn, { http10: names, http11: names, http2: names });
  assert.equal(one.upstreamAlpn, other.upstreamAlpn);
});

for (const text of [
  "%REQ(x-alpn)%",
  "h2,%PROTOCOL%",
  "h2%%",
  "",
  "h2,",
  ",",
  "h2, http/1.1",
  "a\nb",
  "x".repeat(256),
  "\xe9",
]) {
  test(`${JSON.stringify(text.slice(0, 20))} is no list of protocols to offer`, () => {
    assert.throws(() => build(inline(text)), /onRequestHeaders\[0\]\.formatString: must/);
    assert.throws(() => build({ textFormat: text }, { skipIfEmpty: true }), /formatString: must/);
  });
}

test("more protocols than a handshake can offer are refused", () => {
  const long = Array.from({ length: 300 }, () => "x".repeat(250)).join(",");
  assert.throws(() => build(inline(long)), /is longer than 65535 bytes/);
});

test("a name made of the request is refused for protocols by whatever key they go", () => {
  const more = { objectKey: "mine", factoryKey: "envoy.network.application_protocols" };
  assert.throws(() => build(inline("%REQ(x-alpn)%"), more), /formatString: must/);
});

test("other values are still made of the request", () => {
  const filter = build(inline("%REQ(x-name)%"), { objectKey: "mine", factoryKey: "envoy.string" });
  const one = exchange({ request: request("/", { "x-name": "value" }) });
  filter.onRequest?.(one);
  assert.equal(one.state?.filterState.get("mine"), "value");
});
