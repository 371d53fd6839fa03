import assert from "node:assert/strict";
import { test } from "node:test";
import type { PickRequest } from "../balancers/balancer.ts";
import { createForesight } from "./foresight.ts";
import type { Host } from "./host.ts";

const noHash = { hash: undefined };

/** Gives the hosts in turn. */
const open = () => {
  const hosts = ["a", "b", "c"].map((address) => ({ address, removed: false, ejected: false, health: "healthy" }));
  let turn = 0;
  const foresight = createForesight(() => hosts[turn++ % hosts.length] as unknown as Host);
  const pick = (hash?: bigint) => foresight.pick(hash === undefined ? noHash : { hash })?.address;
  return { hosts, pick, foresee: () => foresight.foresee()?.address };
};

test("what was foreseen is what comes next, and no host loses its turn by it", () => {
  const { pick, foresee } = open();
  assert.equal(pick(), "a");
  assert.deepEqual([foresee(), foresee()], ["b", "b"]);
  assert.deepEqual([pick(), pick(), pick()], ["b", "c", "a"]);
});

test("a host that is no longer to be used is not given though it was foreseen", () => {
  for (const change of [{ removed: true }, { state: "unhealthy" }]) {
    const { hosts, pick, foresee } = open();
    assert.equal(foresee(), "a");
    Object.assign(hosts[0] ?? {}, change);
    assert.equal(pick(), "b", JSON.stringify(change));
    assert.equal(foresee(), "c");
  }
});

test("a request that goes by its hash is not what was foreseen", () => {
  const { pick, foresee } = open();
  assert.equal(foresee(), "a");
  assert.equal(pick(7n), "b");
  assert.equal(pick(), "a");
});

test("nobody is foreseen where nobody can be picked", () => {
  assert.equal(createForesight(() => undefined).foresee(), undefined);
});

test("a request that asks for a subset is not given what was foreseen for all", () => {
  const asked: PickRequest[] = [];
  const host = { removed: false, state: "healthy" } as unknown as Host;
  const foresight = createForesight((request) => {
    asked.push(request);
    return host;
  });
  foresight.foresee();
  const request = { hash: undefined, metadataMatch: { criteria: [["v", "1"]], fallbacks: undefined } } as const;
  foresight.pick(request);
  assert.equal(asked.at(-1), request);
});
