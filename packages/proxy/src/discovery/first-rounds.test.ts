/** What the store holds back until the hosts of a cluster were checked; the checks are the test's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { ResourceKind } from "@weft/xds/resource";
import type { ResourceChange } from "../runtime/data-plane.ts";
import { firstRoundMaxMs } from "./first-rounds.ts";
import { createResourceStore } from "./resource-store.ts";

interface Checks {
  readonly cluster: string;
  endpoints: unknown;
  over: boolean;
  disposed: boolean;
  end(): void;
}

const setup = (canCheck = true) => {
  const applied: string[] = [];
  const rounds: Checks[] = [];
  let nowMs = 0;
  const show = ({ kind, name, json }: ResourceChange): string => `${json === undefined ? "-" : "+"}${kind} ${name}`;
  const store = createResourceStore({
    dataPlane: {
      apply: (changes) => {
        for (const round of rounds) if (!round.disposed) applied.push(`(${round.cluster} checked)`);
        applied.push(...changes.map(show));
        return [];
      },
      check: () => undefined,
      checkAhead: ({ name = "" }, endpoints, onOver) => {
        if (!canCheck) return undefined;
        const round: Checks = {
          ...{ cluster: name, endpoints, over: false, disposed: false },
          end: () => {
            round.over = true;
            onOver();
          },
        };
        rounds.push(round);
        return {
          setEndpoints: (json) => {
            round.endpoints = json;
          },
          get over() {
            return round.over;
          },
          [Symbol.dispose]: () => {
            round.disposed = true;
          },
        };
      },
    },
    clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    log: silentLogger,
  });
  const offer = (of: ResourceKind, json: object) => {
    const { name, clusterName } = json as { name?: string; clusterName?: string };
    assert.deepEqual(store.offer("ads", of, [{ name: name ?? clusterName ?? "", version: "1", json }]), []);
    return take();
  };
  const take = (): readonly string[] => applied.splice(0);
  return { store, offer, take, rounds, pass: (ms: number) => (nowMs += ms) };
};

const checked = (name: string, more: object = {}) => ({ name, healthChecks: [{ tcpHealthCheck: {} }], ...more });
const eds = { type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } };
const listener = { name: "l", filterChains: [] };

test("a cluster serves once its hosts were checked, and what was found is there until then", () => {
  const { offer, take, rounds, store } = setup();
  assert.deepEqual(offer("cluster", checked("c")), []);
  assert.deepEqual(store.waiting(), [{ of: "cluster", name: "c", needs: ["the first health checks"] }]);
  rounds[0]?.end();
  assert.deepEqual(take(), ["(c checked)", "+cluster c"]);
  assert.equal(rounds[0]?.disposed, true);
  assert.deepEqual([store.waiting(), store.deadlineMs()], [[], undefined]);
});

test("the cluster it replaces goes on until then", () => {
  const { offer, take, rounds, store } = setup();
  assert.deepEqual(offer("cluster", { name: "c" }), ["+cluster c"]);
  assert.deepEqual(offer("cluster", checked("c")), []);
  assert.equal(store.entries("cluster").get("c")?.active !== undefined, true);
  rounds[0]?.end();
  assert.deepEqual(take(), ["(c checked)", "+cluster c"]);
});

test("the first listeners wait for clusters that are checked, later ones do not", () => {
  const { offer, take, rounds } = setup();
  offer("cluster", checked("c"));
  assert.deepEqual(offer("listener", listener), []);
  rounds[0]?.end();
  assert.deepEqual(take(), ["(c checked)", "+cluster c", "+listener l"]);
  offer("cluster", checked("d"));
  assert.deepEqual(offer("listener", { ...listener, name: "m" }), ["(d checked)", "+listener m"]);
});

test("checks that do not end are waited for so long and no longer, however often the cluster is given anew", () => {
  const { offer, take, rounds, store, pass } = setup();
  for (let given = 0; given < 3; given++) {
    offer("cluster", checked("c"));
    assert.equal(store.deadlineMs(), firstRoundMaxMs);
    pass(firstRoundMaxMs / 3 - 1);
    store.tick();
    assert.deepEqual(take(), []);
  }
  assert.deepEqual(
    rounds.map(({ disposed }) => disposed),
    [true, true, false],
  );
  pass(3);
  store.tick();
  assert.deepEqual(take(), ["(c checked)", "+cluster c"]);
  assert.deepEqual([store.deadlineMs(), rounds[2]?.disposed], [undefined, true]);
});

test("a cluster that is gone or has no checks any more is waited for no longer", () => {
  const { offer, take, rounds, store } = setup();
  offer("cluster", checked("c"));
  store.offer("ads", "cluster", [{ name: "c", version: "", json: undefined }]);
  assert.equal(rounds[0]?.disposed, true);
  take();
  offer("cluster", checked("d"));
  assert.deepEqual(offer("cluster", { name: "d" }), ["(d checked)", "+cluster d"]);
  assert.equal(rounds[1]?.disposed, true);
  rounds[1]?.end();
  assert.deepEqual(take(), []);
});

test("what is checked are the endpoints that are said last", () => {
  const { offer, take, rounds } = setup();
  assert.deepEqual(offer("cluster", checked("c", eds)), []);
  assert.equal(rounds.length, 0, "there is nobody to check yet");
  const first = { clusterName: "c", endpoints: [] };
  offer("endpoints", first);
  assert.equal(rounds[0]?.endpoints, first);
  const second = { clusterName: "c", endpoints: [] };
  offer("endpoints", second);
  assert.equal(rounds[0]?.endpoints, second);
  rounds[0]?.end();
  assert.deepEqual(take(), ["(c checked)", "+cluster c", "+endpoints c"]);
});

test("who wants no such wait, has no checks or no hosts of its own does not wait", () => {
  for (const json of [
    checked("c", { waitForWarmOnInit: false }),
    { name: "c", healthChecks: [] },
    checked("c", { type: "ORIGINAL_DST" }),
  ]) {
    const { offer, rounds } = setup();
    assert.deepEqual(offer("cluster", json), ["+cluster c"]);
    assert.equal(rounds.length, 0);
  }
  assert.deepEqual(setup(false).offer("cluster", checked("c")), ["+cluster c"], "nor where nobody can check");
});
