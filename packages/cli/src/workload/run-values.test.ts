import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAccount, parseLabels, parseName, parseOutbound, parsePort, parseProtocol } from "./run-values.ts";

const refused = (run: () => unknown, message: RegExp): void => assert.throws(run, { code: "WF9022", message });

test("names are those that a host name can have", () => {
  for (const name of ["a", "billing", "a-1", "a".repeat(63)]) assert.equal(parseName("--name", name), name);
  for (const name of ["", "Bad Name", "-a", "a-", "a.b", "a".repeat(64), "ä"])
    refused(() => parseName("--name", name), /^--name ".*" is not a name/);
  assert.equal(parseAccount("--service-account", "team.billing"), "team.billing");
  refused(() => parseAccount("--service-account", "a b"), /--service-account "a b" is not a name/);
});

test("ports are from 1 to 65535", () => {
  assert.equal(parsePort("--port", "3000", "3000"), 3000);
  for (const port of ["0", "65536", "1e3", "-1", "abc", ""])
    refused(() => parsePort("--port", port, "3000"), /is not a port/);
});

test("a protocol is one of four, in any case", () => {
  assert.equal(parseProtocol("HTTP2"), "http2");
  refused(() => parseProtocol("htpp"), /"htpp" is not a protocol/);
});

test("the way out is a port on loopback, 0 for any", () => {
  assert.equal(parseOutbound("127.0.0.1:15001"), 15001);
  assert.equal(parseOutbound("localhost:0"), 0);
  for (const address of ["nope", "15001", "0.0.0.0:15001", "127.0.0.1:99999"])
    refused(() => parseOutbound(address), /is not an address on 127\.0\.0\.1/);
});

test("labels are pairs", () => {
  assert.deepEqual(parseLabels("version=v2,team="), { version: "v2", team: "" });
  assert.deepEqual(parseLabels(""), {});
  for (const labels of ["version", "=v2", "a=1=2"]) refused(() => parseLabels(labels), /is not a label/);
});
