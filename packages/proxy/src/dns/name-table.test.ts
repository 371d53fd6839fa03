import assert from "node:assert/strict";
import { test } from "node:test";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import { compileDnsListener, forwardedMax } from "./compile-dns-listener.ts";
import { addressesOfNameMax, compileNameTable } from "./name-table.ts";

const domain = (name: string, ...address: readonly string[]) => ({
  name,
  endpoint: { addressList: { address: [...address] } },
  answerTtl: "30s",
});
const table = (...virtualDomains: readonly ReturnType<typeof domain>[]) =>
  compileNameTable({ virtualDomains: [...virtualDomains] }, "table");

test("a name is found whatever its case and with or without the root's dot", () => {
  const names = table(domain("Reviews.Default", "10.0.0.1", "fd00::1"));
  for (const name of ["reviews.default", "REVIEWS.default.", "rEvIeWs.DEFAULT"])
    assert.deepEqual(names.lookup(name), { v4: ["10.0.0.1"], v6: ["fd00::1"], ttl: 30 });
  assert.equal(names.lookup("reviews"), undefined);
  assert.equal(names.lookup(""), undefined);
});

test("a wildcard covers every name below it but not its own, and exact names and longer wildcards go first", () => {
  const names = table(
    domain("*.wild.example", "10.0.0.1"),
    domain("*.deep.wild.example", "10.0.0.2"),
    domain("one.wild.example", "10.0.0.3"),
  );
  const first = (name: string): string | undefined => names.lookup(name)?.v4[0];
  assert.equal(first("a.wild.example"), "10.0.0.1");
  assert.equal(first("a.b.c.wild.example"), "10.0.0.1");
  assert.equal(first("a.deep.wild.example"), "10.0.0.2");
  assert.equal(first("deep.wild.example"), "10.0.0.1");
  assert.equal(first("one.wild.example"), "10.0.0.3");
  assert.equal(first("wild.example"), undefined);
  assert.equal(first("notwild.example"), undefined);
});

test("a name without addresses is known all the same", () => {
  assert.deepEqual(table(domain("empty.example")).lookup("empty.example"), { v4: [], v6: [], ttl: 30 });
});

test("what is no name, no address, or asks for something else is refused with its place", () => {
  const refused = (json: object, message: RegExp): void => {
    assert.throws(() => compileNameTable({ virtualDomains: [json] }, "table"), { message });
  };
  refused(domain(`${"a".repeat(64)}.example`, "10.0.0.1"), /virtualDomains\[0\]\.name: .* is not a DNS name/);
  refused(domain("a..b", "10.0.0.1"), /is not a DNS name/);
  refused(domain("*.", "10.0.0.1"), /is not a DNS name/);
  refused(domain("a.example", "10.0.0.256"), /address\[0\]: "10\.0\.0\.256" is not an IP address/);
  refused({ name: "a.example", endpoint: { clusterName: "c" } }, /clusterName: is not supported/);
  refused({ name: "a.example", endpoint: { serviceList: { services: [] } } }, /serviceList: is not supported/);
  refused({ name: "a.example" }, /is required/);
  refused({ endpoint: { addressList: {} } }, /name: is required/);
  const many = Array.from({ length: addressesOfNameMax + 1 }, () => "10.0.0.1");
  refused(domain("a.example", ...many), /has more than/);
  assert.throws(() => compileNameTable({ knownSuffixes: [{ exact: "a" }] }, "table"), /only a suffix/);
});

const listener = (address: object, config: object = {}, rest: object = {}): ListenerJson => ({
  name: "dns",
  address: { socketAddress: { protocol: "UDP", portValue: 15053, ...address } },
  listenerFilters: [
    {
      name: "envoy.filters.udp.dns_filter",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig",
        ...config,
      },
    },
  ],
  ...rest,
});

test("a listener that others than this machine could reach is refused", () => {
  for (const address of ["0.0.0.0", "::", "10.0.0.1", "fd00::1", "8.8.8.8"])
    assert.throws(() => compileDnsListener(listener({ address })), /loopback only/);
  assert.throws(() => compileDnsListener(listener({ address: "localhost" })), /not an IP address/);
  const more = { additionalAddresses: [{ address: { socketAddress: { address: "0.0.0.0", portValue: 1 } } }] };
  assert.throws(() => compileDnsListener(listener({ address: "127.0.0.1" }, {}, more)), /additionalAddresses\[0\]/);
  assert.equal(compileDnsListener(listener({ address: "::1" })).addresses[0]?.host, "::1");
});

test("a UDP listener with anything but the DNS filter is refused", () => {
  const address = { address: "127.0.0.1" };
  assert.throws(() => compileDnsListener(listener(address, {}, { listenerFilters: [] })), /has one filter/);
  assert.throws(() => compileDnsListener(listener(address, {}, { filterChains: [{}] })), /filterChains: is not/);
  assert.throws(
    () => compileDnsListener(listener(address, { "@type": "type.googleapis.com/envoy.x.UdpProxyConfig" })),
    /is not supported for UDP/,
  );
  assert.throws(
    () => compileDnsListener(listener(address, { serverConfig: { externalDnsTable: { filename: "/x" } } })),
    /externalDnsTable/,
  );
});

test("what is asked for at once is never more than the bound", () => {
  const asked = compileDnsListener(
    listener({ address: "127.0.0.1" }, { clientConfig: { maxPendingLookups: "99999" } }),
  );
  assert.equal(asked.forward?.questionsMax, forwardedMax);
  assert.equal(compileDnsListener(listener({ address: "127.0.0.1" })).forward, undefined);
});
