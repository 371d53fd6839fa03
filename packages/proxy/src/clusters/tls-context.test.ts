import assert from "node:assert/strict";
import { test } from "node:test";
import type { SubjectNames } from "@weft/net/tls/peer";
import type { SubjectAltNameMatcherJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/common";
import { acceptsNames, compileTlsCommon, compileValidation } from "./tls-context.ts";

const accepts = (matcher: SubjectAltNameMatcherJson, names: Partial<SubjectNames>): boolean => {
  const { sans } = compileValidation({ matchTypedSubjectAltNames: [matcher] }, "");
  return acceptsNames(sans, { uris: [], dnsNames: [], emails: [], addresses: [], ...names });
};

const account = "spiffe://cluster.local/ns/default/sa/reviews";

test("a name counts only as the kind of name it is looked for as", () => {
  const uri: SubjectAltNameMatcherJson = { sanType: "URI", matcher: { exact: account } };
  assert.equal(accepts(uri, { uris: [account] }), true);
  for (const names of [{ dnsNames: [account] }, { emails: [account] }, { addresses: [account] }])
    assert.equal(accepts(uri, names), false, JSON.stringify(names));
  const trustDomain: SubjectAltNameMatcherJson = { sanType: "URI", matcher: { prefix: "spiffe://cluster.local/" } };
  assert.equal(accepts(trustDomain, { uris: ["spiffe://cluster.local.evil/ns/a/sa/b"], dnsNames: [account] }), false);
  assert.equal(accepts({ sanType: "IP_ADDRESS", matcher: { exact: "10.0.0.1" } }, { dnsNames: ["10.0.0.1"] }), false);
});

test("names without a kind match any of them", () => {
  const { sans } = compileValidation({ matchSubjectAltNames: [{ exact: "a.example" }] }, "");
  const none: SubjectNames = { uris: [], dnsNames: [], emails: [], addresses: [] };
  assert.equal(acceptsNames(sans, { ...none, dnsNames: ["a.example"] }), true);
  assert.equal(acceptsNames(sans, { ...none, uris: ["a.example"] }), true);
  assert.equal(acceptsNames(sans, none), false);
});

test("a wildcard in a certificate is one label, and case is no difference in DNS names", () => {
  const dns = (exact: string): SubjectAltNameMatcherJson => ({ sanType: "DNS", matcher: { exact } });
  assert.equal(accepts(dns("API.bank.example"), { dnsNames: ["api.bank.EXAMPLE"] }), true);
  assert.equal(accepts(dns("api.bank.example"), { dnsNames: ["*.bank.example"] }), true);
  for (const wanted of ["a.api.bank.example", "bank.example", ".bank.example", "evilbank.example"])
    assert.equal(accepts(dns(wanted), { dnsNames: ["*.bank.example"] }), false, wanted);
  for (const name of ["*", "api.*.example", "*bank.example", "*."])
    assert.equal(accepts(dns("api.bank.example"), { dnsNames: [name] }), false, name);
});

test("names without roots to check them by are refused, not passed over", () => {
  const validationContext = { matchTypedSubjectAltNames: [{ matcher: { exact: account } }] };
  assert.throws(() => compileTlsCommon({ validationContext }, "tls"), /tls: .*without trusted roots/);
  const combined = { defaultValidationContext: validationContext };
  assert.throws(() => compileTlsCommon({ combinedValidationContext: combined }, "tls"), /without trusted roots/);
});
