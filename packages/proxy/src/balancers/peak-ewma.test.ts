import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "@weft/core/random";
import type { Host } from "../clusters/host.ts";
import { testHosts } from "../clusters/testing/fixtures.ts";
import { observeLatency, peakEwma } from "./peak-ewma.ts";

const decayMs = 10_000;

const share = (hosts: readonly Host[], of: number, nowMs = 0): number => {
  const pick = peakEwma.configure({})(hosts, { random: seededRandom(3), nowMs: () => nowMs });
  let count = 0;
  for (let i = 0; i < 2_000; i++) if (pick({ hash: undefined }) === hosts[of]) count++;
  return count / 2_000;
};

test("a slow answer counts at once, quick ones bring it down little by little", () => {
  const [host] = testHosts(1) as [Host];
  observeLatency(host, 10, 0, decayMs);
  observeLatency(host, 500, 0, decayMs);
  assert.equal(host.latency?.ms, 500);
  observeLatency(host, 10, 0, decayMs);
  assert.equal(host.latency?.ms, 500);
  observeLatency(host, 10, decayMs, decayMs);
  assert.ok(Math.abs((host.latency?.ms ?? 0) - (10 + 490 / Math.E)) < 1e-9);
});

test("time that goes back changes nothing", () => {
  const [host] = testHosts(1) as [Host];
  observeLatency(host, 50, 1_000, decayMs);
  observeLatency(host, 10, 0, decayMs);
  assert.equal(host.latency?.ms, 50);
});

test("a slow host gets requests only when it is drawn with one as slow", () => {
  const hosts = testHosts(3);
  observeLatency(hosts[0] as Host, 900, 0, decayMs);
  observeLatency(hosts[1] as Host, 20, 0, decayMs);
  observeLatency(hosts[2] as Host, 20, 0, decayMs);
  assert.equal(share(hosts, 0), 0);
  assert.ok(share(hosts, 1) > 0.4);
});

test("a quick host with much to do is passed over for a slower one with nothing", () => {
  const hosts = testHosts(2);
  observeLatency(hosts[0] as Host, 20, 0, decayMs);
  observeLatency(hosts[1] as Host, 60, 0, decayMs);
  assert.equal(share(hosts, 0), 1);
  for (let i = 0; i < 4; i++) hosts[0]?.counts.enter();
  assert.equal(share(hosts, 0), 0);
});

test("what was slow long ago is asked again", () => {
  const hosts = testHosts(2);
  observeLatency(hosts[0] as Host, 900, 0, decayMs);
  observeLatency(hosts[1] as Host, 40, 0, decayMs);
  assert.equal(share(hosts, 0), 0);
  observeLatency(hosts[1] as Host, 40, 20 * decayMs, decayMs);
  assert.equal(share(hosts, 0, 20 * decayMs), 1);
});

test("of two hosts alike each gets its half", () => {
  const hosts = testHosts(2);
  assert.ok(Math.abs(share(hosts, 0) - 0.5) < 0.05);
});
