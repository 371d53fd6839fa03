import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import { compileAssignment, refuseNames } from "../clusters/endpoints.ts";
import { compileIpRange, parseIp as parseListenerIp, rangeHolds } from "../listeners/ip-range.ts";
import { compileRouteTable } from "../routing/route-table.ts";
import { compileCidr, isIp, parseIp } from "./cidr.ts";
import { compileHeaderMatcher } from "./header-matcher.ts";
import { fullMatch, partialMatch, patternCharsMax, patternStepsMax } from "./regex.ts";

/** Small to write, large to run: what is repeated multiplies. */
const bombs = [
  "(a?){1000}",
  "(.*a){500}",
  "((a{1,30}){1,30})",
  "(?:[\\pL\\pN]*){1000}",
  "(.*){1000}",
  ".*a".repeat(patternCharsMax / 3 - 1),
];

test("patterns that become large machines are refused, with the number of steps and the most there may be", () => {
  for (const pattern of bombs)
    for (const compile of [fullMatch, partialMatch])
      assert.throws(() => compile(pattern, "safe_regex.regex"), {
        message: new RegExp(`^safe_regex\\.regex: takes \\d+ steps, more than ${patternStepsMax}$`),
      });
});

test("a pattern of a megabyte is refused before it is read, plain or not", () => {
  for (const unit of ["a", "a?", "(a+)+", "\\pL"]) {
    const pattern = unit.repeat(1024 * 1024);
    assert.throws(() => fullMatch(pattern, "regex"), {
      message: `regex: is longer than ${patternCharsMax} characters`,
    });
  }
  assert.throws(
    () => fullMatch(`${"(".repeat(2000)}a${")".repeat(2000)}`, "regex"),
    /^ConfigError: regex: is not an RE2/,
  );
});

test("a route and a header matcher name the place of the pattern they refuse", () => {
  const regex = "(a?){1000}";
  const table = () =>
    compileRouteTable(
      {
        name: "r",
        virtualHosts: [
          { name: "v", domains: ["*"], routes: [{ match: { safeRegex: { regex } }, route: { cluster: "c" } }] },
        ],
      },
      { random: () => 0, clock: { nowMs: () => 0, wallMs: () => 0 } },
    );
  assert.throws(table, /virtualHosts\[0\]\.routes\[0\]\.match\.safeRegex\.regex: takes \d+ steps/);
  assert.throws(
    () => compileHeaderMatcher({ name: "x", stringMatch: { safeRegex: { regex } } }, "headers[0]"),
    /headers\[0\]\.stringMatch\.safeRegex\.regex: takes \d+ steps/,
  );
});

/** What some readers take for an address, and others for another one. */
const odd = [
  ...[
    "010.0.0.1",
    "10.0.0.01",
    "00.0.0.0",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "127.1",
    "1.2.3",
    "1.2.3.4.",
    "1.2.3.4.5",
  ],
  ...[
    "256.0.0.1",
    "1.2.3.1000",
    "0000000000001.2.3.4",
    "+1.2.3.4",
    " 1.2.3.4",
    "1.2.3.4 ",
    "1.2.3.4\n",
    "１.2.3.4",
    "",
    ".",
  ],
  ...[
    "::1%",
    "::1%eth0",
    "2001:db8::1%eth0",
    "fe80::1%",
    "fe80::1%a b",
    "fe80::1%25eth0%x",
    "fe80::1%averylonginterfacename",
  ],
  ...[
    "1.2.3.4::",
    "::1.2.3.4:1",
    "1:1.2.3.4::",
    "::ffff:010.0.0.1",
    "::ffff:1.2.3",
    "::ffff:0x7f.1",
    "::ffff:1.2.3.256",
  ],
  ...[
    ":::",
    "::1::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8:9",
    "12345::",
    "g::1",
    "[::1]",
    "::1.",
  ],
] as const;

test("texts that are read differently by different readers are addresses for none of ours", () => {
  for (const text of odd) {
    assert.equal(isIp(text), false, JSON.stringify(text));
    for (const compile of [compileCidr, compileIpRange])
      assert.throws(
        () => compile({ addressPrefix: text, prefixLen: 0 }, "cidr"),
        /^ConfigError: cidr/,
        JSON.stringify(text),
      );
  }
});

test("both readers of addresses tell the same of every good one", () => {
  const same: readonly (readonly string[])[] = [
    ["1.2.3.4", "::ffff:1.2.3.4", "::FFFF:102:304", "0:0:0:0:0:ffff:1.2.3.4"],
    ["::1", "0:0:0:0:0:0:0:1", "0000::0001"],
    ["fe80::1", "FE80:0::1"],
  ];
  for (const texts of same) {
    for (const text of texts) {
      assert.deepEqual(parseIp(text), parseIp(texts[0] ?? ""), text);
      assert.deepEqual(parseListenerIp(text), parseListenerIp(texts[0] ?? ""), text);
    }
  }
  assert.deepEqual(parseIp("fe80::1%eth0"), parseIp("fe80::1"));
});

test("a range of mapped addresses is the range of the IPv4 ones, and not larger", () => {
  for (const [prefix, length, inside, outside] of [
    ["::ffff:10.0.0.0", 104, "10.255.0.1", "11.0.0.1"],
    ["10.0.0.0", 8, "::ffff:10.255.0.1", "11.0.0.1"],
    ["::ffff:10.0.0.1", 128, "10.0.0.1", "10.0.0.2"],
    ["fe80::", 10, "fe80::1%eth0", "::1"],
  ] as const) {
    const json = { addressPrefix: prefix, prefixLen: length };
    const cidr = compileCidr(json, "c");
    const range = compileIpRange(json, "c");
    const holds = (text: string): boolean => {
      const ip = parseListenerIp(text);
      return ip !== undefined && rangeHolds(range, ip);
    };
    assert.deepEqual([cidr(inside), cidr(outside), holds(inside), holds(outside)], [true, false, true, false], prefix);
  }
  assert.throws(
    () => compileIpRange({ addressPrefix: "::ffff:10.0.0.0", prefixLen: 90 }, "c"),
    /c\.prefixLen: 90 holds/,
  );
});

test("an endpoint with such an address is refused, not left out", () => {
  for (const address of odd) {
    const json: ClusterLoadAssignmentJson = {
      clusterName: "c",
      endpoints: [{ lbEndpoints: [{ endpoint: { address: { socketAddress: { address, portValue: 80 } } } }] }],
    };
    assert.throws(() => refuseNames(compileAssignment(json, ""), "endpoints"), /^ConfigError/, JSON.stringify(address));
  }
});
