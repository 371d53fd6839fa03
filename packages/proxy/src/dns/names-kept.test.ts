/** How long names are waited for and kept, by a clock that tests set. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DynamicNames } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { HostTable } from "../clusters/host-table.ts";
import { createStats } from "../observe/create-stats.ts";
import { dnsCacheCounters } from "./dns-cache-counters.ts";
import { createDynamicHosts, type NoHost } from "./dynamic-hosts.ts";
import { type FoundAddress, machineResolver } from "./resolve-name.ts";

const settings: DynamicNames = {
  name: "cache",
  refresh: {
    ...{ refreshMs: 60_000, failureRefreshMs: 500, failureRefreshMostMs: 500, failureRandom: false, jitterMs: 0 },
    ...{ respectTtl: true, ttlLeastMs: 5_000, family: "v4", resolver: machineResolver },
  },
  hostTtlMs: 300_000,
  hostsMax: 2,
  pendingMax: 8,
  queryTimeoutMs: 5_000,
  early: [],
};

const setUp = () => {
  let nowMs = 0;
  const questions: PromiseWithResolvers<readonly FoundAddress[]>[] = [];
  const hosts = new Map<string, Host>();
  const counters = dnsCacheCounters(createStats(), "cache");
  const table: Pick<HostTable, "byAddress" | "changed"> = { byAddress: () => hosts, changed: () => {} };
  const names = createDynamicHosts(settings, {
    clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    random: () => 0,
    resolve: () => {
      const asked = Promise.withResolvers<readonly FoundAddress[]>();
      questions.push(asked);
      return asked.promise;
    },
    counters,
    table: table as HostTable,
  });
  const told: (Host | NoHost)[] = [];
  const find = (name: string): Host | NoHost | undefined => names.find(name, 80, (found) => void told.push(found));
  const pass = (ms: number): readonly Host[] => {
    nowMs += ms;
    return names.tick(nowMs);
  };
  const answer = async (index: number, ttl: number, address = "192.0.2.1"): Promise<void> => {
    questions[index]?.resolve([{ address, ttl }]);
    await new Promise(setImmediate);
  };
  return { names, find, pass, answer, told, questions, hosts, counters };
};

test("a name is waited for no longer than a question may take, however many servers are asked", async () => {
  const { find, pass, answer, told, counters, questions } = setUp();
  assert.equal(find("slow.test"), undefined);
  pass(4_999);
  assert.deepEqual(told, []);
  pass(1);
  assert.deepEqual(told, ["unresolved"]);
  assert.deepEqual([counters.timeouts.value, counters.failures.value], [1, 1]);
  await answer(0, 60, "192.0.2.66");
  assert.equal(find("slow.test"), "unresolved", "an answer that comes too late is not heard");
  pass(500);
  assert.equal(questions.length, 2);
  await answer(1, 60);
  assert.equal((find("slow.test") as Host).address, "192.0.2.1:80");
});

test("a host that moves is the same host elsewhere, also where only its further addresses are others", async () => {
  const { find, pass, answer, hosts, counters, questions } = setUp();
  find("a.test");
  await answer(0, 60);
  const host = find("a.test") as Host;
  pass(60_000);
  await answer(1, 60, "192.0.2.2");
  assert.deepEqual([find("a.test") === host, host.address, host.removed], [true, "192.0.2.2:80", false]);
  assert.deepEqual([host.target, host.addresses], [{ kind: "ip", host: "192.0.2.2", port: 80 }, undefined]);
  pass(60_000);
  questions[2]?.resolve(["192.0.2.2", "2001:db8::1"].map((address) => ({ address, ttl: 60 })));
  await new Promise(setImmediate);
  assert.deepEqual(
    host.addresses?.map((one) => one.kind === "ip" && one.host),
    ["192.0.2.2", "2001:db8::1"],
  );
  assert.deepEqual([hosts.size, counters.addressChanged.value], [1, 2]);
});

test("a name that nobody asks for goes in its time, though its answer may be kept for years", async () => {
  const { find, pass, answer, hosts, questions } = setUp();
  for (const [index, name] of ["a.test", "b.test"].entries()) {
    find(name);
    await answer(index, 0x7fff_ffff);
  }
  assert.equal(find("c.test"), "tooManyHosts");
  pass(200_000);
  assert.notEqual(find("b.test"), "unresolved");
  assert.equal(pass(101_000).length, 1);
  assert.deepEqual([[...hosts.keys()], questions.length], [["b.test:80"], 2]);
  assert.equal(find("c.test"), undefined);
});

test("a name is asked for again when its answer is stale, and not before", async () => {
  const { find, pass, answer, questions } = setUp();
  find("a.test");
  await answer(0, 600);
  for (let minutes = 1; minutes < 10; minutes++) {
    find("a.test");
    pass(60_000);
    assert.equal(questions.length, 1);
  }
  find("a.test");
  pass(60_000);
  assert.equal(questions.length, 2);
});

test("who asks when the names are closed is told at once, and who waits too", async () => {
  const { names, find, told, answer, hosts } = setUp();
  assert.equal(find("a.test"), undefined);
  names.close();
  assert.deepEqual(told, ["unresolved"]);
  assert.equal(find("a.test"), "unresolved");
  await answer(0, 60);
  assert.deepEqual([told.length, hosts.size], [1, 0]);
});
