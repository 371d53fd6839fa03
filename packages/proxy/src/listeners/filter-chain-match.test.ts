import assert from "node:assert/strict";
import { test } from "node:test";
import type { FilterChainMatchJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { ChainIndex } from "./chain-index.ts";
import { type CompiledMatch, type ConnectionFacts, compileMatch } from "./filter-chain-match.ts";

const chains = (matches: Readonly<Record<string, FilterChainMatchJson>>) =>
  Object.entries(matches).map(([name, json]) => ({ name, match: compileMatch(json, "filterChainMatch") }));

const facts = (given: Partial<ConnectionFacts>): ConnectionFacts => ({
  destinationHost: "10.0.0.1",
  destinationPort: 80,
  sourceHost: "10.0.0.9",
  sourcePort: 40_000,
  serverName: "",
  transportProtocol: "raw_buffer",
  applicationProtocols: [],
  ...given,
});

const chosen = (matches: Readonly<Record<string, FilterChainMatchJson>>, given: Partial<ConnectionFacts>) =>
  indexOf(chains(matches)).find(facts(given))?.name;

const indexOf = (all: readonly { readonly name: string; readonly match: CompiledMatch }[]) => {
  const index = new ChainIndex<(typeof all)[number]>();
  for (const chain of all) assert.equal(index.add(chain), undefined, chain.name);
  return index;
};

test("a destination port wins over everything after it, and does not give way when the rest fails", () => {
  const matches = {
    port: { destinationPort: 80, transportProtocol: "tls" },
    any: { transportProtocol: "raw_buffer" },
  };
  assert.equal(chosen(matches, { transportProtocol: "tls" }), "port");
  assert.equal(chosen(matches, { transportProtocol: "raw_buffer" }), undefined);
  assert.equal(chosen(matches, { destinationPort: 81 }), "any");
});

test("the longest destination range wins", () => {
  const matches = {
    all: { prefixRanges: [{ addressPrefix: "0.0.0.0", prefixLen: 0 }] },
    wide: { prefixRanges: [{ addressPrefix: "10.0.0.0", prefixLen: 8 }] },
    narrow: { prefixRanges: [{ addressPrefix: "10.0.0.1", prefixLen: 32 }] },
  };
  assert.equal(chosen(matches, {}), "narrow");
  assert.equal(chosen(matches, { destinationHost: "10.9.9.9" }), "wide");
  assert.equal(chosen(matches, { destinationHost: "::ffff:10.9.9.9" }), "wide");
  assert.equal(chosen(matches, { destinationHost: "192.168.0.1" }), "all");
  assert.equal(chosen(matches, { destinationHost: "2001:db8::1" }), undefined);
});

test("server names match exactly before by the longest wildcard, of any depth, before not at all", () => {
  const matches = {
    none: {},
    wide: { serverNames: ["*.com"] },
    wild: { serverNames: ["*.shop.com"] },
    exact: { serverNames: ["API.shop.com"] },
  };
  assert.equal(chosen(matches, { serverName: "api.shop.com" }), "exact");
  assert.equal(chosen(matches, { serverName: "www.shop.com" }), "wild");
  assert.equal(chosen(matches, { serverName: "a.b.shop.com" }), "wild");
  assert.equal(chosen(matches, { serverName: "shop.com" }), "wide");
  assert.equal(chosen(matches, {}), "none");
});

test("Istio's permissive inbound chains tell mesh TLS, other TLS and plaintext apart", () => {
  const alpn = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
  const matches = {
    meshHttp: { transportProtocol: "tls", applicationProtocols: alpn, destinationPort: 80 },
    tcpTls: { transportProtocol: "tls", destinationPort: 80 },
    plain: { transportProtocol: "raw_buffer", destinationPort: 80 },
  };
  assert.equal(chosen(matches, { transportProtocol: "tls", applicationProtocols: ["istio-h2", "h2"] }), "meshHttp");
  assert.equal(chosen(matches, { transportProtocol: "tls", applicationProtocols: ["h2"] }), "tcpTls");
  assert.equal(chosen(matches, {}), "plain");
});

test("source type, range and port are looked at last", () => {
  const matches = {
    local: { sourceType: "SAME_IP_OR_LOOPBACK" as const },
    outside: { sourceType: "EXTERNAL" as const },
    ranged: { sourceType: "EXTERNAL" as const, sourcePrefixRanges: [{ addressPrefix: "10.0.0.0", prefixLen: 24 }] },
    ported: {
      sourceType: "EXTERNAL" as const,
      sourcePrefixRanges: [{ addressPrefix: "10.0.0.0", prefixLen: 24 }],
      sourcePorts: [7],
    },
  };
  assert.equal(chosen(matches, { sourceHost: "127.0.0.1" }), "local");
  // What a sidecar calls its application from is somebody else's address to Envoy too.
  assert.equal(chosen(matches, { sourceHost: "127.0.0.6" }), "outside");
  assert.equal(chosen(matches, { sourceHost: "10.0.0.1" }), "local");
  assert.equal(chosen(matches, { sourceHost: "10.2.0.1" }), "outside");
  assert.equal(chosen(matches, {}), "ranged");
  assert.equal(chosen(matches, { sourcePort: 7 }), "ported");
});

test("a match that cannot be is refused with its field", () => {
  assert.throws(() => compileMatch({ serverNames: ["a*.com"] }, "m"), /m\.serverNames: "a\*\.com"/);
  assert.throws(() => compileMatch({ prefixRanges: [{ addressPrefix: "300.1.1.1", prefixLen: 8 }] }, "m"), /not an IP/);
  assert.throws(() => compileMatch({ addressSuffix: "x" }, "m"), /m\.addressSuffix: is not supported/);
});
