import assert from "node:assert/strict";
import { fstatSync, openSync } from "node:fs";
import { test } from "node:test";
import { createPortClaims, type PortClaimsTools } from "./port-claims.ts";
import type { Claim } from "./protocol.ts";

const claimOf = (listener: string, port: number): Claim => ({
  listener,
  address: { host: "127.0.0.1", port },
  ipv6Only: false,
});

const setup = (fails = false, more: Partial<PortClaimsTools> = {}) => {
  const probed: number[] = [];
  const timers: (() => void)[] = [];
  const claims = createPortClaims({
    ...more,
    probe: async ({ address }) => {
      probed.push(address.port);
      if (fails) throw new Error("taken");
      return { host: address.host, port: address.port || 40_000 + probed.length };
    },
    setTimer: (run) => {
      timers.push(run);
      return { [Symbol.dispose]: () => undefined };
    },
  });
  return { claims, probed, timers };
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("the first worker has the port tried out, the others get what it got", async () => {
  const { claims, probed } = setup();
  const ports = await Promise.all([1, 2, 3].map((lane) => claims.claim(lane, claimOf("in", 0))));
  assert.deepEqual(new Set(ports.map(({ port }) => port)), new Set([40_001]));
  assert.deepEqual(probed, [0]);
  assert.equal((await claims.claim(1, claimOf("other", 0))).port, 40_002);
});

test("a port that was given up by all is tried out anew, one that is held is not", async () => {
  const { claims, probed } = setup();
  await claims.claim(1, claimOf("in", 80));
  await claims.claim(2, claimOf("in", 80));
  claims.drop(1);
  await claims.claim(1, claimOf("in", 80));
  assert.equal(probed.length, 1, "a worker that comes again finds the port held by its fellow");
  claims.release(1, claimOf("in", 80));
  claims.drop(2);
  await claims.claim(3, claimOf("in", 80));
  assert.equal(probed.length, 2);
});

test("a port that cannot be had is refused to all who ask, and may be asked for again", async () => {
  const { claims, probed } = setup(true);
  const asked = await Promise.allSettled([1, 2].map((lane) => claims.claim(lane, claimOf("in", 80))));
  assert.deepEqual(
    asked.map(({ status }) => status),
    ["rejected", "rejected"],
  );
  await assert.rejects(claims.claim(1, claimOf("in", 80)));
  assert.equal(probed.length, 2);
});

test("a listener waits for the one it replaces, in every worker, and not for ever", async () => {
  const { claims, timers } = setup();
  for (const lane of [1, 2]) await claims.claim(lane, claimOf("old", 80));
  let granted = 0;
  const next = claims.claim(1, claimOf("new", 80)).then(() => granted++);
  claims.release(1, claimOf("old", 80));
  await turn();
  assert.equal(granted, 0);
  claims.release(2, claimOf("old", 80));
  await next;
  assert.equal(granted, 1);
  const late = assert.rejects(claims.claim(2, claimOf("third", 80)), /WF5001|in use/);
  await turn();
  for (const run of timers) run();
  await late;
});

/** A claim table of some lanes at an address that so many inherited sockets listen at. */
const inheriting = async (lanes: number, count: number) => {
  const opened = Array.from({ length: count }, () => openSync("/dev/null", "r"));
  let left = opened;
  const inherit = (claim: Claim) => {
    const descriptors = left;
    left = [];
    return descriptors.length > 0 ? { address: { ...claim.address, port: 4000 }, descriptors } : undefined;
  };
  const { claims, probed } = setup(false, { lanes, inherit });
  const all = Array.from({ length: lanes }, (_, at) => at + 1);
  const claim = claimOf("in", 0);
  const addresses = await Promise.all(all.map((lane) => claims.claim(lane, claim)));
  return { claims, probed, claim, opened, addresses, all, split: all.map((lane) => claims.socketsOf(lane, claim)) };
};

test("every inherited socket has a lane that accepts on it, and every lane has a socket", async () => {
  for (const [lanes, count] of [
    [1, 3],
    [2, 3],
    [3, 2],
    [4, 1],
    [2, 2],
  ] as const) {
    const { claims, claim, probed, opened, addresses, all, split } = await inheriting(lanes, count);
    assert.deepEqual(probed, [], "nothing is tried out");
    assert.ok(addresses.every(({ port }) => port === 4000));
    assert.deepEqual(new Set(split.flat()), new Set(opened), `${lanes} lanes, ${count} sockets`);
    assert.ok(split.every((sockets) => sockets.length > 0));
    for (const lane of all) claims.release(lane, claim);
  }
});

test("inherited sockets stay for a lane that comes back, and are closed with the last that lets go", async () => {
  const { claims, claim, opened, split } = await inheriting(2, 2);
  claims.drop(2);
  assert.deepEqual(claims.socketsOf(2, claim), split[1]);
  assert.ok(opened.every((descriptor) => fstatSync(descriptor)));
  claims.release(1, claim);
  for (const descriptor of opened) assert.throws(() => fstatSync(descriptor), { code: "EBADF" });
  assert.deepEqual(claims.socketsOf(1, claim), []);
});
