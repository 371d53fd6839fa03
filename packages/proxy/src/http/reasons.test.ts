import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { HeaderList } from "@weft/protocols/http/headers";
import { weftReason } from "../filters/http/weft-reason.ts";
import type { Exchange } from "./exchange.ts";
import { type Answered, reasonText } from "./reasons.ts";

const config = (kind: string, name: string) => ({
  istio: { config: `/apis/networking.istio.io/v1/namespaces/default/${kind}/${name}` },
});
const answered = (details: string, more: Partial<Answered> = {}): Answered => ({ details, ...more });

test("an answer of an upstream, and one that says itself what it is, have no reason", () => {
  for (const details of ["", "via_upstream", "direct_response", "something_else"])
    assert.equal(reasonText(answered(details)), undefined, details);
});

test("a reason has a code, what happened, and the objects behind it", () => {
  const cluster = { name: "outbound|80|v1|a.example", metadata: config("destination-rule", "a") };
  const route = { name: "slow", metadata: config("virtual-service", "a") };
  assert.equal(
    reasonText(answered("no_healthy_upstream", { cluster, route })),
    "WF5044 no healthy endpoint; cluster outbound|80|v1|a.example; DestinationRule default/a; VirtualService default/a",
  );
  assert.equal(
    reasonText(answered("response_timeout", { cluster, route })),
    "WF5058 the route's timeout is over; route slow; VirtualService default/a",
  );
  assert.equal(
    reasonText(answered("local_rate_limited", { behind: "LocalRateLimit default/few" })),
    "WF5060 a rate limit is reached; LocalRateLimit default/few",
  );
});

test("a denial names the policy and its rule, or that none allows", () => {
  const details = (policy: string) => `rbac_access_denied_matched_policy[${policy}]`;
  assert.equal(
    reasonText(answered(details("ns[shop]-policy[deny-all]-rule[0]"))),
    "WF5041 an AuthorizationPolicy denies the request; AuthorizationPolicy shop/deny-all rule 0",
  );
  assert.equal(
    reasonText(answered(details("none"))),
    "WF5041 an AuthorizationPolicy denies the request; no ALLOW policy matches",
  );
});

test("breaks of the upstream connection are told apart", () => {
  const code = (how: string) => reasonText(answered(`upstream_reset_before_response_started{${how}}`))?.slice(0, 6);
  assert.deepEqual(
    ["remote_connection_failure|refused", "connection_termination", "overflow", "remote_reset", "anything"].map(code),
    ["WF5052", "WF5054", "WF5056", "WF5055", "WF5055"],
  );
});

test("names cannot break out of the header, and cannot make it long", () => {
  const cluster = { name: `x\r\nset-cookie: a\u00e9${"y".repeat(2000)}`, metadata: {} };
  const text = reasonText(answered("no_healthy_upstream", { cluster })) ?? "";
  assert.match(text, /^[\x20-\x7e]{100,512}$/);
});

test("every code is explained", () => {
  const source = readFileSync(new URL("./reasons.ts", import.meta.url), "utf8");
  const explained = readFileSync(new URL("../../../cli/src/codes-from-5000.ts", import.meta.url), "utf8");
  for (const [code] of source.matchAll(/WF\d{4}/g)) assert.ok(explained.includes(`\n${code} `), code);
});

const told = (name: string, details: string, peerUris: readonly string[] | undefined, given?: string) => {
  const headers = new HeaderList();
  if (given !== undefined) headers.add("x-weft-reason", given);
  const tls = peerUris && { peerUris };
  const exchange = { details, response: { status: 503, headers }, downstream: { tls } } as unknown as Exchange;
  const filter = weftReason.configure({})({ name } as Parameters<ReturnType<typeof weftReason.configure>>[0]);
  filter.onResponse?.(exchange);
  return headers.get("x-weft-reason");
};

test("callers without an identity are told nothing where only peers are, nor what a proxy beyond said", () => {
  const peer = ["spiffe://cluster.local/ns/default/sa/web"];
  const denied = "rbac_access_denied_matched_policy[none]";
  assert.match(told("weft.reason.peers", denied, peer) ?? "", /^WF5041/);
  assert.equal(told("weft.reason.peers", denied, undefined), undefined);
  assert.equal(told("weft.reason.peers", denied, []), undefined);
  assert.equal(told("weft.reason.peers", "via_upstream", peer, "WF5044 x"), "WF5044 x");
  assert.equal(told("weft.reason.peers", "via_upstream", undefined, "WF5044 x"), undefined);
  assert.match(told("weft.reason", denied, undefined) ?? "", /^WF5041/);
  assert.equal(told("weft.reason.none", denied, peer), undefined);
  assert.equal(told("weft.reason.none", "via_upstream", peer, "WF5044 x"), undefined);
});
