import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { expiryWindowMs } from "./expiries.ts";
import { flapQuietMs, flapTimes } from "./flaps.ts";
import {
  createHeldInstances,
  type HeldInstances,
  holdMs,
  type Restored,
  sourceInstancesMax,
} from "./held-instances.ts";
import type { SourceEvent } from "./source-events.ts";
import { testInstance } from "./testing/instance.ts";

const make = (ids: readonly string[] = [], restored?: Restored) => {
  const held = createHeldInstances(0, restored);
  const world = {
    held,
    now: 0,
    tell: (event: SourceEvent) => held.apply(event, world.now),
    list: (...present: readonly string[]) =>
      world.tell({ kind: "listed", instances: present.map((id) => testInstance(id)) }),
    put: (id: string) => world.tell({ kind: "put", instance: testInstance(id) }),
    remove: (id: string, because: "deleted" | "expired" = "deleted") =>
      world.tell({ kind: "removed", key: `shop/web/${id}`, because }),
    wait: (ms: number) => {
      world.now = waitWithTicks(held, world.now, ms);
    },
    /** `a b?`: b is held. */
    ids: () =>
      [...held.values()]
        .map(({ instance, held: why }) => `${instance.id}${why ? "?" : ""}`)
        .sort()
        .join(" "),
  };
  if (ids.length > 0) world.list(...ids);
  return world;
};

const waitWithTicks = (held: HeldInstances, fromMs: number, ms: number): number => {
  const untilMs = fromMs + ms;
  for (let nowMs = fromMs; ; ) {
    const nextMs = held.deadlineMs(nowMs);
    if (nextMs === undefined || nextMs > untilMs) return untilMs;
    nowMs = nextMs;
    held.tick(nowMs);
    assert.ok((held.deadlineMs(nowMs) ?? Number.POSITIVE_INFINITY) > nowMs, "a tick is never due again at once");
  }
};

test("a registration, a removal and one ended time-to-live are believed at once", () => {
  const world = make(["a", "b", "c"]);
  world.put("d");
  world.remove("a");
  world.remove("b", "expired");
  assert.equal(world.ids(), "c d");
});

test("the only instance of a service that expires is gone at once", () => {
  const world = make(["a"]);
  world.remove("a", "expired");
  assert.equal(world.ids(), "");
});

test("what a list lacks is held for five minutes and not a millisecond more", () => {
  const world = make(["a", "b"]);
  world.tell({ kind: "lost", reason: "cut" });
  world.wait(60_000);
  assert.equal(world.ids(), "a b");
  world.tell({ kind: "connected" });
  world.list("a");
  assert.equal(world.ids(), "a b?");
  world.wait(holdMs - 1);
  world.list("a");
  assert.equal(world.ids(), "a b?", "a list that lacks it again begins nothing anew");
  world.wait(1);
  assert.equal(world.ids(), "a");
});

test("what an answer about one service lacks as a hint is held like that, and touches no other service", () => {
  const world = make(["a", "b"]);
  world.tell({ kind: "missing", keys: ["shop/web/a", "shop/web/b", "shop/web/nobody"] });
  assert.equal(world.ids(), "a? b?");
  world.put("b");
  assert.equal(world.ids(), "a? b");
  world.wait(holdMs);
  assert.equal(world.ids(), "b");
});

test("what is held is back at once when it is put or listed, and gone at once when it is removed", () => {
  const world = make(["a", "b", "c"]);
  world.list();
  assert.equal(world.ids(), "a? b? c?");
  world.put("a");
  world.list("a", "b");
  world.remove("c");
  assert.equal(world.ids(), "a b");
  world.wait(2 * holdMs);
  assert.equal(world.ids(), "a b");
});

test("an outage freezes what is held too, and its age is told", () => {
  const world = make(["a", "b"]);
  world.list("a");
  world.wait(holdMs - 1_000);
  world.tell({ kind: "lost", reason: "cut" });
  world.wait(3 * holdMs);
  assert.equal(world.ids(), "a b?");
  const { state, reason, ageMs } = world.held.status(world.now);
  assert.deepEqual([state, reason, ageMs], ["lost", "cut", 3 * holdMs]);
  world.tell({ kind: "connected" });
  world.wait(holdMs);
  assert.equal(world.ids(), "a b?", "connected is not yet heard");
  world.list("a");
  assert.equal(world.held.status(world.now).ageMs, 0);
  world.wait(1_000);
  assert.equal(world.ids(), "a");
});

test("more than half of a service expiring within the window is held, those that went first with it", () => {
  const world = make(["a", "b", "c", "d", "e"]);
  world.remove("a", "expired");
  world.remove("b", "expired");
  assert.equal(world.ids(), "c d e");
  world.wait(expiryWindowMs - 1);
  world.remove("c", "expired");
  assert.equal(world.ids(), "a? b? c? d e");
  world.put("b");
  assert.equal(world.ids(), "a? b c? d e");
  world.wait(holdMs);
  assert.equal(world.ids(), "b d e");
});

test("expiries further apart are each believed", () => {
  const world = make(["a", "b", "c"]);
  for (const id of ["a", "b", "c"]) {
    world.remove(id, "expired");
    world.wait(expiryWindowMs);
  }
  assert.equal(world.ids(), "");
});

test("what was deleted after it expired does not come back with the others", () => {
  const world = make(["a", "b", "c"]);
  world.remove("a", "expired");
  world.remove("a", "deleted");
  world.remove("b", "expired");
  world.remove("c", "expired");
  assert.equal(world.ids(), "b? c?");
});

test("another service's expiries count for nothing", () => {
  const world = make(["a", "b"]);
  const other = ["x", "y", "z"].map((id) => testInstance(id, { service: "other" }));
  for (const instance of other) world.tell({ kind: "put", instance });
  world.remove("a", "expired");
  for (const { key } of other.slice(0, 1)) world.tell({ kind: "removed", key, because: "expired" });
  assert.equal(world.ids(), "b y z");
});

test("an instance that comes and goes has to stand first, unless its service has nothing else", () => {
  const world = make(["a", "b"]);
  for (let flap = 0; flap < flapTimes; flap++) {
    world.remove("a");
    if (flap < flapTimes - 1) world.put("a");
  }
  world.put("a");
  assert.equal(world.ids(), "b");
  assert.equal(world.held.status(0).damped, 1);
  world.wait(flapQuietMs - 1);
  world.remove("a");
  world.put("a");
  world.wait(1);
  assert.equal(world.ids(), "b", "it waits anew after it was gone again");
  world.remove("b");
  assert.equal(world.ids(), "a");
});

test("one that stood comes back by itself", () => {
  const world = make(["a", "b"]);
  for (let flap = 0; flap < flapTimes; flap++) {
    world.remove("a");
    world.put("a");
  }
  world.wait(flapQuietMs);
  assert.equal(world.ids(), "a b");
});

test("one that waits is used at once when a list lacks all others", () => {
  const world = make(["a", "b"]);
  for (let flap = 0; flap < flapTimes; flap++) {
    world.put("a");
    world.remove("a");
  }
  world.list("a");
  assert.equal(world.ids(), "a b?");
});

test("an unreadable record leaves its good one before, also over a list, until that has neither", () => {
  const world = make(["a", "b"]);
  world.tell({ kind: "unreadable", key: "shop/web/a", problem: "no JSON" });
  world.tell({ kind: "connected" });
  world.tell({ kind: "unreadable", key: "shop/web/a", problem: "no JSON" });
  world.list("b");
  assert.equal(world.ids(), "a b");
  assert.deepEqual([...world.held.status(0).unreadable], [["shop/web/a", "no JSON"]]);
  world.list("b");
  world.list("b");
  assert.equal(world.ids(), "a? b");
  assert.equal(world.held.status(0).unreadable.size, 0);
});

test("what is below a key that is unreadable as a whole stays over lists that lack it, and neighbours do not", () => {
  const world = make(["a", "b"]);
  world.put("c");
  world.tell({ kind: "put", instance: testInstance("a", { key: "shop/webs/a", service: "webs" }) });
  world.tell({ kind: "connected" });
  world.tell({ kind: "unreadable", key: "shop/web", problem: "too long", whole: true });
  world.list();
  assert.equal(world.ids(), "a a? b c");
  world.wait(3 * holdMs);
  assert.equal(world.ids(), "a b c");
  assert.deepEqual([...world.held.status(0).unreadable], [["shop/web", "too long"]]);
  world.remove("c");
  assert.equal(world.ids(), "a b");

  world.tell({ kind: "readable", key: "shop/web", keys: ["shop/web/b"] });
  assert.equal(world.ids(), "a? b");
  assert.equal(world.held.status(0).unreadable.size, 0);
  world.tell({ kind: "unreadable", key: "shop/web", problem: "too long again", whole: true });
  assert.equal(world.ids(), "a b");
  world.list("b");
  world.list("b");
  assert.equal(world.ids(), "a? b", "who does not say so again can read it");
});

test("a kept view is no less kept where its service cannot be read from the start", () => {
  const instances = ["a", "b"].map((id) => ({ instance: testInstance(id) }));
  const world = make([], { ageMs: 5, instances });
  world.tell({ kind: "connected" });
  world.tell({ kind: "unreadable", key: "shop/web", problem: "too long", whole: true });
  world.list();
  world.wait(2 * holdMs);
  assert.equal(world.ids(), "a b");
});

test("an instance no proxy could use is unreadable, whoever told it", () => {
  const world = make(["a"]);
  const bad = [
    { address: "host.example" },
    ...["0.0.0.0", "::", "::ffff:0.0.0.0", "224.0.0.1", "239.1.2.3", "ff02::1", "255.255.255.255"].map((address) => ({
      address,
    })),
    { port: Number.NaN },
    { port: 0 },
    { port: 70_000 },
    { weight: -1 },
    { weight: 0.5 },
    { locality: "a/b/c/d" },
    { servicePort: 65_536 },
    { serviceAccount: "Über" },
    { labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ""])) },
  ];
  for (const [at, over] of bad.entries()) world.tell({ kind: "put", instance: testInstance(`bad-${at}`, over) });
  world.tell({ kind: "put", instance: testInstance("a", { port: -1 }) });
  assert.equal(world.ids(), "a");
  const { unreadable } = world.held.status(0);
  assert.equal(unreadable.size, bad.length + 1);
  assert.match(unreadable.get("shop/web/bad-1") ?? "", /"0.0.0.0" is what one listens on, not where one is reached/);
  assert.match(unreadable.get("shop/web/bad-8") ?? "", /^the port is not a number$/);
});

test("equal news change nothing, and what changed is told once", () => {
  const world = make(["a"]);
  assert.deepEqual([...world.held.takeChanges()], ["shop/web/a"]);
  world.put("a");
  world.list("a");
  assert.equal(world.held.takeChanges().size, 0);
  world.tell({ kind: "put", instance: testInstance("a", { weight: 2 }) });
  world.remove("b");
  assert.deepEqual([...world.held.takeChanges()], ["shop/web/a"]);
});

test("a source has a bound, and says how many it left out", () => {
  const world = make();
  const instances = Array.from({ length: sourceInstancesMax + 3 }, (_, at) => testInstance(String(at)));
  world.tell({ kind: "listed", instances });
  const { refused, instances: taken } = world.held.status(0);
  assert.deepEqual([taken, refused], [sourceInstancesMax, 3]);
});

test("instances that are left out are counted once, whatever is told of them, until they go or there is room", () => {
  const held = createHeldInstances(0, undefined, 2);
  const put = (id: string, weight = 1) => held.apply({ kind: "put", instance: testInstance(id, { weight }) }, 0);
  held.apply({ kind: "listed", instances: ["a", "b", "c", "d"].map((id) => testInstance(id)) }, 0);
  put("c", 2);
  assert.equal(held.status(0).refused, 2);
  held.apply({ kind: "removed", key: "shop/web/d", because: "deleted" }, 0);
  assert.equal(held.status(0).refused, 1);
  held.apply({ kind: "removed", key: "shop/web/a", because: "deleted" }, 0);
  put("c", 3);
  const { refused, instances } = held.status(0);
  assert.deepEqual([refused, instances], [0, 2]);
});

test("a list that was cut says nothing of what comes after", () => {
  const world = make(["a", "b", "y", "z"]);
  const instances = ["a", "c"].map((id) => testInstance(id));
  world.tell({ kind: "listed", instances, readTo: testInstance("c").key });
  assert.equal(world.ids(), "a b? c y z");
});

test("what is left out is known until it is told otherwise, or a list comes without a word of it", () => {
  const world = make();
  const tell = (key: string, count: number) =>
    world.tell({ kind: "left-out", key, left: { what: "keys", count, max: 9 } });
  const shown = () => [...world.held.status(0).leftOut].map(([key, { count }]) => `${key} ${count}`).join(" ");
  tell("a/", 3);
  tell("b/", 1);
  world.list("x");
  tell("b/", 0);
  assert.equal(shown(), "a/ 3");
  world.tell({ kind: "lost", reason: "gone" });
  assert.equal(shown(), "a/ 3");
  world.tell({ kind: "connected" });
  tell("c/", 7);
  world.list("x");
  assert.equal(shown(), "c/ 7");
});

test("what was kept is in force from the start, with its age and what is left of its hold", () => {
  const before = make(["a", "b"]);
  before.list("a");
  before.wait(60_000);
  const world = make([], before.held.kept(before.now));
  assert.equal(world.ids(), "a b?");
  assert.equal(world.held.status(0).state, "starting");
  world.wait(2 * holdMs);
  assert.equal(world.ids(), "a b?");
  world.list("a");
  world.wait(holdMs - 60_000 - 1);
  assert.equal(world.ids(), "a b?");
  world.wait(1);
  assert.equal(world.ids(), "a");
});

const services = ["one", "two"] as const;
const step = fc.record({
  act: fc.constantFrom("register", "deregister", "expireAll", "cut", "list", "wait", "restart"),
  service: fc.constantFrom(...services),
  id: fc.constantFrom("a", "b", "c", "d"),
  /** Which instances a list lacks although they live. */
  lacks: fc.subarray(services.flatMap((service) => ["a", "b", "c", "d"].map((id) => `shop/${service}/${id}`))),
  ms: fc.constantFrom(1_000, 15_000, 40_000, 200_000),
});

/**
 * Applications that live and die, a registry that goes away, forgets some of them and lets all of a service expire;
 * who was forgotten registers again within five minutes of the registry being there.
 */
const createModel = () => {
  let held = createHeldInstances(0);
  let now = 0;
  let live = false;
  let liveMs = 0;
  const alive = new Set<string>();
  /** Live, but missing from the registry; by when they register again at the latest. */
  const forgotten = new Map<string, number>();
  /** Dead, and missing from a list or expired with others: when on the live clock. */
  const suspected = new Map<string, number>();
  const instanceOf = (key: string) => {
    const [, service = "", id = ""] = key.split("/");
    return testInstance(id, { service });
  };
  const tell = (event: SourceEvent): void => held.apply(event, now);
  const heal = (key: string): void => {
    forgotten.delete(key);
    tell({ kind: "put", instance: instanceOf(key) });
  };
  const pass = (ms: number): void => {
    if (live) for (const [key, byMs] of [...forgotten]) if (byMs <= liveMs + ms) heal(key);
    now = waitWithTicks(held, now, ms);
    if (live) liveMs += ms;
  };
  const acts = {
    register: (key: string) => {
      alive.add(key);
      suspected.delete(key);
      forgotten.delete(key);
      if (live) tell({ kind: "put", instance: instanceOf(key) });
      else forgotten.set(key, liveMs);
    },
    deregister: (key: string) => {
      alive.delete(key);
      forgotten.delete(key);
      suspected.delete(key);
      if (live) tell({ kind: "removed", key, because: "deleted" });
    },
    expireAll: (service: string) => {
      const keys = [...alive].filter((key) => key.startsWith(`shop/${service}/`));
      const known = [...held.values()].filter(({ instance }) => instance.service === service);
      if (!live || keys.length < 2 || known.length > keys.length) return;
      for (const key of keys) if (!held.get(key)) heal(key);
      for (const key of keys) tell({ kind: "removed", key, because: "expired" });
      for (const key of keys) forgotten.set(key, Math.min(forgotten.get(key) ?? Infinity, liveMs + holdMs - 1));
    },
    list: (lacks: readonly string[]) => {
      if (!live) tell({ kind: "connected" });
      const missing = new Set(lacks);
      for (const key of alive) {
        if (!missing.has(key)) forgotten.delete(key);
        // One that nothing is known of cannot be held.
        else if (held.get(key)) forgotten.set(key, Math.min(forgotten.get(key) ?? Infinity, liveMs + holdMs - 1));
        else missing.delete(key);
      }
      tell({ kind: "listed", instances: [...alive].filter((key) => !missing.has(key)).map(instanceOf) });
      live = true;
      for (const { key } of held.values()) if (!alive.has(key) && !suspected.has(key)) suspected.set(key, liveMs);
    },
    cut: () => {
      tell({ kind: "lost", reason: "cut" });
      live = false;
    },
    restart: () => {
      held = createHeldInstances(now, held.kept(now));
      live = false;
    },
  };
  const check = (): void => {
    const inForce = new Set([...held.values()].map(({ key }) => key));
    const usableServices = new Set(
      [...held.values()].flatMap(({ held: why, instance }) => (why ? [] : instance.service)),
    );
    for (const key of alive) {
      if (inForce.has(key) || (!live && forgotten.has(key))) continue;
      // Damped, or forgotten by a restart while it was: others of its service stand in.
      assert.ok(usableServices.has(instanceOf(key).service), `${key} lives and is lost`);
      assert.ok(held.status(now).damped > 0 || !live, `${key} is missing without being damped`);
    }
    for (const key of inForce) {
      if (alive.has(key) || !live) continue;
      const since = suspected.get(key);
      assert.ok(since !== undefined && liveMs - since < holdMs, `${key} is dead and in force beyond its bound`);
    }
  };
  return { acts, pass, check };
};

test("live instances are never lost, and dead ones go within their bound", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60, size: "max" }), (steps) => {
      const { acts, pass, check } = createModel();
      acts.list([]);
      for (const { act, service, id, lacks, ms } of steps) {
        const key = `shop/${service}/${id}`;
        if (act === "wait") pass(ms);
        else if (act === "list") acts.list(lacks);
        else if (act === "expireAll") acts.expireAll(service);
        else if (act === "cut" || act === "restart") acts[act]();
        else acts[act](key);
        check();
      }
    }),
    { numRuns: 2_000 },
  );
});
