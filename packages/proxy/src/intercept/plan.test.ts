import assert from "node:assert/strict";
import { test } from "node:test";
import { compareRules, parseSave, planIntercept, removeInput, restoreInput } from "./plan.ts";
import { defaultSettings, type InterceptSettings, parseAllOr, parseCidrs, parseIds, parsePorts } from "./settings.ts";

const plan = (over: Partial<InterceptSettings> = {}) =>
  planIntercept({ ...defaultSettings, ipv6: false, ...over })[0] ?? assert.fail();
const nothing = parseSave("*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n");
const rulesOf = (chain: string, over: Partial<InterceptSettings> = {}) =>
  plan(over)
    .rules.filter((rule) => rule.startsWith(`-A ${chain} `))
    .map((rule) => rule.slice(chain.length + 4));

test("by default everything inbound but the proxy's own ports is redirected", () => {
  assert.deepEqual(rulesOf("WEFT_INBOUND"), [
    ...["15020", "15021", "15090"].map((port) => `-p tcp --dport ${port} -j RETURN`),
    "-p tcp -j WEFT_IN_REDIRECT",
  ]);
});

test("the proxy's own connections are never redirected outbound", () => {
  const output = rulesOf("WEFT_OUTPUT");
  const own = output.indexOf("-m owner --uid-owner 1337 -j RETURN");
  assert.ok(own >= 0 && own < output.indexOf("-j WEFT_REDIRECT"));
});

test("inclusion by port and destination, exclusion wins because it comes first", () => {
  const output = rulesOf("WEFT_OUTPUT", {
    includeOutboundPorts: [80, 443],
    excludeOutboundPorts: [443],
    includeCidrs: ["10.0.0.0/8", "fd00::/8"],
  });
  assert.deepEqual(output.slice(-3), [
    "-p tcp --dport 443 -j RETURN",
    "-p tcp -d 10.0.0.0/8 --dport 80 -j WEFT_REDIRECT",
    "-p tcp -d 10.0.0.0/8 --dport 443 -j WEFT_REDIRECT",
  ]);
});

test("an empty list of included destinations of a family redirects nothing of it", () => {
  assert.ok(!rulesOf("WEFT_OUTPUT", { includeCidrs: ["fd00::/8"] }).some((rule) => rule.endsWith("WEFT_REDIRECT")));
});

test("IPv6 gets its own plan with its own addresses", () => {
  const [, six] = planIntercept({ ...defaultSettings, excludeCidrs: ["10.0.0.0/8", "fd00::/8"] });
  const text = six?.rules.join("\n") ?? "";
  assert.match(text, /-d fd00::\/8 -j RETURN/);
  assert.doesNotMatch(text, /10\.0\.0\.0|127\.0\.0/);
});

test("owners that are excluded return before anything is redirected", () => {
  const output = rulesOf("WEFT_OUTPUT", { excludeUids: [999] });
  assert.ok(output.indexOf("-m owner --uid-owner 999 -j RETURN") < output.indexOf("-j WEFT_REDIRECT"));
});

test("hooks are added once however often the plan is applied", () => {
  const first = restoreInput(plan(), nothing);
  assert.match(first, /-A OUTPUT -p tcp -j WEFT_OUTPUT/);
  const there = parseSave(
    `:WEFT_OUTPUT - [0:0]\n-A PREROUTING -p tcp -j WEFT_INBOUND\n-A OUTPUT -p tcp -j WEFT_OUTPUT\n`,
  );
  assert.doesNotMatch(restoreInput(plan(), there), /-A OUTPUT/);
});

test("removal deletes hooks before chains, and nothing when nothing is there", () => {
  assert.equal(removeInput(plan(), nothing), "");
  const text = removeInput(
    plan(),
    parseSave(":WEFT_OUTPUT - [0:0]\n-A OUTPUT -p tcp -j WEFT_OUTPUT\n-A OUTPUT -p tcp -j OTHER\n"),
  );
  assert.deepEqual(text.split("\n"), [
    "*nat",
    "-D OUTPUT -p tcp -j WEFT_OUTPUT",
    "-F WEFT_OUTPUT",
    "-X WEFT_OUTPUT",
    "COMMIT",
    "",
  ]);
});

test("a rule that is missing, extra or out of order is named", () => {
  const { rules, hooks } = plan({ excludeInboundPorts: [15_020] });
  const saved = [...rules, ...hooks].map((rule) => rule.replace(/--dport/, "-m tcp --dport")).join("\n");
  assert.deepEqual(compareRules(plan({ excludeInboundPorts: [15_020] }), parseSave(saved)), []);
  const lacking = saved.replace(/-A WEFT_INBOUND -p tcp -m tcp --dport 15020 -j RETURN\n/, "");
  assert.equal(
    compareRules(plan({ excludeInboundPorts: [15_020] }), parseSave(lacking))[0]?.wanted,
    "-A WEFT_INBOUND -p tcp -m tcp --dport 15020 -j RETURN",
  );
});

test("what is not a port, an id or a CIDR is refused by name", () => {
  assert.deepEqual(parsePorts("--p", "80,443"), [80, 443]);
  assert.equal(
    parseAllOr("*", (text) => parsePorts("--p", text)),
    "all",
  );
  assert.deepEqual(parseCidrs("--c", "10.0.0.1,fd00::/8"), ["10.0.0.1/32", "fd00::/8"]);
  for (const text of ["0", "65536", "http", "-1", "80;reboot"])
    assert.throws(() => parsePorts("--p", text), /--p: .* is not a port/, text);
  for (const text of ["10.0.0.0/33", "10.0.0/8", "x", "::/129"])
    assert.throws(() => parseCidrs("--c", text), /--c: /, text);
  assert.throws(() => parseIds("--u", "root"), /numeric/);
});
