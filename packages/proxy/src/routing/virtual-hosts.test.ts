import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileDomains } from "./virtual-hosts.ts";

const entries = (...domains: readonly string[]) =>
  domains.map((domain, index) => ({ domain, at: `domains[${index}]`, value: domain }));

const authority = fc
  .array(fc.constantFrom("a", "A", ":", ":80", "8", "[", "]", "[::1]", ".", ".b", "::"), { maxLength: 6 })
  .map((parts) => parts.join(""));

/** What stands before the port, said another way. */
const hostOf = (text: string): string => {
  const [, host, port] = /^(.*?)(?::(\d*))?$/s.exec(text) ?? [];
  if (host === undefined || port === undefined) return text;
  return !host.includes(":") || text.startsWith("[") ? host : text;
};

test("a port is left aside and case does not count, for any authority", () => {
  fc.assert(
    fc.property(authority, (text) => {
      fc.pre(text !== "");
      const host = hostOf(text);
      const expected = (domain: string): string | undefined => (domain === "" ? undefined : domain);
      const find = compileDomains(host === "" ? [] : entries(host.toLowerCase()), { ignorePort: true });
      assert.equal(find(text), expected(host.toLowerCase()));
      const strict = compileDomains(entries(text.toUpperCase()), { ignorePort: false });
      assert.equal(strict(text), text.toUpperCase());
    }),
    { numRuns: 500 },
  );
});

test("an exact domain in other letters comes before a wildcard that takes the authority", () => {
  const find = compileDomains(entries("*.example.com", "www.Example.com", "*"), { ignorePort: true });
  assert.equal(find("WWW.example.COM:8080"), "www.Example.com");
  assert.equal(find("API.example.COM:8080"), "*.example.com");
  assert.equal(find("other"), "*");
});

test("an address without brackets has no port", () => {
  const find = compileDomains(entries("::1", "[::1]"), { ignorePort: true });
  assert.equal(find("::1"), "::1");
  assert.equal(find("[::1]"), "[::1]");
  assert.equal(find("[::1]:80"), "[::1]");
});
