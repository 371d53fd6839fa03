import assert from "node:assert/strict";
import { test } from "node:test";
import { planIntercept } from "./plan.ts";
import { planRouting } from "./routing.ts";
import { compareRules, noRules, parseSave, removeInput, restoreInput } from "./rules.ts";
import { defaultSettings, type InterceptSettings, parseAllOr, parseCidrs, parseIds, parsePorts } from "./settings.ts";

const plan = (over: Partial<InterceptSettings> = {}) =>
  planIntercept({ ...defaultSettings, ipv6: false, ...over })[0] ?? assert.fail();
const syn = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN";
const asSaved = (rule: string): string =>
  rule
    .replace(/--dport/, "-m tcp --dport")
    .replace(/-p tcp (! )?--syn/, (_, not = "") => syn.replace("--tcp", `${not}--tcp`));
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
  const [, , six] = planIntercept({ ...defaultSettings, excludeCidrs: ["10.0.0.0/8", "fd00::/8"] });
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
  assert.match(first, /-A OUTPUT -p tcp --syn -j WEFT_OUTPUT/);
  const there = parseSave(
    `:WEFT_OUTPUT - [0:0]\n-A PREROUTING ${syn} -j WEFT_INBOUND\n-A OUTPUT ${syn} -j WEFT_OUTPUT\n`,
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
  const saved = [...rules, ...hooks].map(asSaved).join("\n");
  assert.deepEqual(compareRules(plan({ excludeInboundPorts: [15_020] }), parseSave(saved)), []);
  const lacking = saved.replace(/-A WEFT_INBOUND -p tcp -m tcp --dport 15020 -j RETURN\n/, "");
  assert.equal(
    compareRules(plan({ excludeInboundPorts: [15_020] }), parseSave(lacking))[0]?.wanted,
    "-A WEFT_INBOUND -p tcp -m tcp --dport 15020 -j RETURN",
  );
});

test("only packets that open a connection are redirected", () => {
  for (const hook of plan().hooks) assert.match(hook, /-p tcp --syn -j/);
});

test("hooks of another form, and rules of the other mode, go when the plan is applied", () => {
  const old = parseSave(
    ":WEFT_INBOUND - [0:0]\n:WEFT_OUTPUT - [0:0]\n-A PREROUTING -p tcp -j WEFT_INBOUND\n-A PREROUTING -p tcp -j OTHER\n",
  );
  assert.match(restoreInput(plan(), old), /^-D PREROUTING -p tcp -j WEFT_INBOUND$/m);
  assert.ok(compareRules(plan(), old).some(({ found }) => found === "-A PREROUTING -p tcp -j WEFT_INBOUND"));
  const [, mangle] = planIntercept({ ...defaultSettings, ipv6: false });
  assert.ok(mangle);
  assert.equal(restoreInput(mangle, noRules), "");
  const left = parseSave(":WEFT_TPROXY_INBOUND - [0:0]\n-A PREROUTING -p tcp -j WEFT_TPROXY_INBOUND\n");
  assert.match(restoreInput(mangle, left), /^-D PREROUTING.*\n-F WEFT_TPROXY_INBOUND\n-X WEFT_TPROXY_INBOUND$/ms);
  assert.doesNotMatch(restoreInput(plan({ mode: "tproxy" }), nothing), /-A PREROUTING/);
});

test("tproxy gives new inbound connections to the sidecar as they are, and leaves loopback and the rest alone", () => {
  const plans = planIntercept({ ...defaultSettings, mode: "tproxy", excludeInboundPorts: [22] });
  const [nat, mangle, , six] = plans;
  assert.deepEqual(nat?.hooks, ["-A OUTPUT -p tcp --syn -j WEFT_OUTPUT"]);
  assert.deepEqual(mangle?.rules, [
    "-A WEFT_DIVERT -j MARK --set-xmark 0x539/0xffffffff",
    "-A WEFT_DIVERT -j ACCEPT",
    "-A WEFT_TPROXY -p tcp -j TPROXY --on-port 15006 --on-ip 0.0.0.0 --tproxy-mark 0x539/0xffffffff",
    "-A WEFT_TPROXY_INBOUND -i lo -p tcp -m mark --mark 0x539 -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
    "-A WEFT_TPROXY_INBOUND -i lo -j RETURN",
    "-A WEFT_TPROXY_INBOUND -p tcp -m socket --transparent -j WEFT_DIVERT",
    "-A WEFT_TPROXY_INBOUND -p tcp ! --syn -j RETURN",
    "-A WEFT_TPROXY_INBOUND -p tcp --dport 22 -j RETURN",
    "-A WEFT_TPROXY_INBOUND -p tcp -j WEFT_TPROXY",
    "-A WEFT_TPROXY_OUTPUT -p tcp -m connmark --mark 0x539 -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
  ]);
  assert.match(six?.rules.join("\n") ?? "", /--on-ip ::/);
  const saved = [...(mangle?.rules ?? []), ...(mangle?.hooks ?? [])].map(asSaved).join("\n");
  assert.deepEqual(compareRules(mangle ?? assert.fail(), parseSave(saved)), []);
});

test("routing is planned for the mode, and what the other mode left is not wanted", () => {
  const redirect = planRouting(defaultSettings);
  assert.deepEqual(
    redirect.wanted.map(({ add }) => add.join(" ")),
    ["-6 addr add ::6/128 dev lo"],
  );
  const tproxy = planRouting({ ...defaultSettings, mode: "tproxy", ipv6: false });
  assert.deepEqual(tproxy.unwanted, []);
  const [rule, route] = tproxy.wanted;
  assert.equal(rule?.isThere("32765:\tfrom all fwmark 0x539 lookup 133 \n"), true);
  assert.equal(rule?.isThere("32765:\tfrom all fwmark 0x539 lookup 1334 \n"), false);
  assert.equal(route?.isThere("local default dev lo scope host \n"), true);
  assert.equal(route?.isThere(""), false);
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

test("questions for names are redirected only where asked for, never the proxy's own, and ahead of loopback", () => {
  assert.deepEqual(rulesOf("WEFT_DNS"), []);
  assert.ok(!plan().hooks.some((hook) => hook.includes("udp")));
  const over = { dnsPort: 15_053, excludeUids: [7], excludeCidrs: ["192.0.2.1/32", "fd00::/8"] };
  assert.deepEqual(rulesOf("WEFT_DNS", over), [
    "-m owner --uid-owner 1337 -j RETURN",
    "-m owner --uid-owner 7 -j RETURN",
    "-m owner --gid-owner 1337 -j RETURN",
    "-d 192.0.2.1/32 -j RETURN",
    "-p udp -j REDIRECT --to-ports 15053",
    "-p tcp -j REDIRECT --to-ports 15053",
  ]);
  assert.equal(rulesOf("WEFT_OUTPUT", over)[0], "-p tcp --dport 53 -j WEFT_DNS");
  assert.ok(plan(over).hooks.includes("-A OUTPUT -p udp --dport 53 -j WEFT_DNS"));
});
