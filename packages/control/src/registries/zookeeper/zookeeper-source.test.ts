/** The driver against a ZooKeeper in memory: what it tells is what the tree holds, whatever happens in between. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { frame, int, long } from "@weft/protocols/zookeeper/jute";
import fc from "fast-check";
import { parseRegistryUrl } from "../outside/registry-url.ts";
import type { SourceEvent, SourceInstance } from "../outside/source-events.ts";
import { type ZookeeperLimits, zookeeperLimits } from "./limits.ts";
import { createFakeZookeeper, createVirtualWorld } from "./testing/fake-zookeeper.ts";
import { parseZookeeperUrl } from "./zookeeper-driver.ts";
import { openZookeeperSource } from "./zookeeper-source.ts";

interface SetupOptions {
  readonly url?: string;
  readonly limits?: Partial<ZookeeperLimits>;
  readonly seed?: number;
  readonly old?: boolean;
}

const setup = ({
  url = "zookeeper://a:1/s?session-timeout-ms=9000",
  limits,
  seed = 1,
  old = false,
}: SetupOptions = {}) => {
  const world = createVirtualWorld(seed);
  const zookeeper = createFakeZookeeper(world);
  zookeeper.old = old;
  const settings = {
    ...parseZookeeperUrl(parseRegistryUrl(url), undefined),
    limits: { ...zookeeperLimits, ...limits },
  };
  const open = (): Disposable => openZookeeperSource(settings, zookeeper.dial)(world.tools);
  return { world, zookeeper, open, events: world.events };
};

const record = (port: number, more: object = {}): string => JSON.stringify({ address: "10.0.0.1", port, ...more });
const dubbo = (port: number): string => encodeURIComponent(`dubbo://10.0.0.1:${port}/com.acme.Shop?version=1`);
const brief = (event: SourceEvent): string => {
  switch (event.kind) {
    case "listed":
      return `listed ${event.instances.map(({ id, port }) => `${id}=${port}`).sort()}`;
    case "put":
      return `put ${event.instance.id}=${event.instance.port}`;
    case "removed":
      return `removed ${event.key}`;
    case "unreadable":
      return `unreadable ${event.key}: ${event.problem}`;
    case "readable":
      return `readable ${event.key} ${event.keys.length}`;
    case "left-out":
      return `left out ${event.key}: ${event.left.count} ${event.left.what} over ${event.left.max}`;
    default:
      return event.kind;
  }
};
const take = (events: SourceEvent[]): readonly string[] => events.splice(0).map(brief);

for (const old of [false, true]) {
  const how = old ? "watches of single nodes" : "one watch of the tree";

  test(`what is there is listed once, and each change after it is told by itself, with ${how}`, () => {
    const { world, zookeeper, open, events } = setup({ old });
    zookeeper.put("/s/web/a", record(1));
    zookeeper.put("/s/web/b", record(2));
    open();
    world.run(100);
    assert.deepEqual(take(events), ["connected", "listed a=1,b=2"]);

    zookeeper.put("/s/web/c", record(3));
    zookeeper.put("/s/api/d", record(4));
    world.run(100);
    assert.deepEqual(take(events).toSorted(), ["put c=3", "put d=4"]);
    const before = zookeeper.requests.length;
    zookeeper.put("/s/web/a", record(9));
    world.run(100);
    assert.deepEqual(take(events), ["put a=9"]);
    assert.deepEqual(zookeeper.requests.slice(before), [{ kind: "data", path: "/s/web/a", watch: old }]);
    zookeeper.delete("/s/web/b");
    zookeeper.delete("/s/api");
    world.run(100);
    assert.deepEqual(new Set(take(events)), new Set(["removed /s/web/b", "removed /s/api/d"]));
  });

  test(`a node that goes with no session was deleted, another may have expired, with ${how}`, () => {
    const { world, zookeeper, open, events } = setup({ old });
    for (const id of ["a", "b", "c"]) zookeeper.put(`/s/web/${id}`, record(1));
    zookeeper.owners.set("/s/web/b", 77n);
    zookeeper.owners.set("/s/web/c", 78n);
    open();
    world.run(100);
    take(events);
    zookeeper.delete("/s/web/a");
    zookeeper.delete("/s/web/b");
    zookeeper.owners.delete("/s/web/c");
    zookeeper.put("/s/web/c", record(3));
    world.run(100);
    zookeeper.delete("/s/web/c");
    world.run(100);
    const reasons = events.flatMap((event) => (event.kind === "removed" ? `${event.key} ${event.because}` : []));
    assert.deepEqual(reasons.toSorted(), ["/s/web/a deleted", "/s/web/b expired", "/s/web/c deleted"]);
  });

  test(`a tree that is not there yet is an empty list, and is seen when it comes, with ${how}`, () => {
    const { world, zookeeper, open, events } = setup({ old });
    open();
    world.run(100);
    assert.deepEqual(take(events), ["connected", "listed "]);
    zookeeper.put("/s/web/a", record(1));
    world.run(100);
    assert.deepEqual(take(events), ["put a=1"]);
    zookeeper.delete("/s");
    world.run(100);
    assert.deepEqual(take(events), ["removed /s/web/a"]);
    zookeeper.put("/s/web/a", record(2));
    world.run(100);
    assert.deepEqual(take(events), ["put a=2"]);
  });

  test(`Dubbo's providers need no reading, and come and go with ${how}`, () => {
    const { world, zookeeper, open, events } = setup({ old, url: "zookeeper://a:1/s?layout=dubbo" });
    zookeeper.put(`/s/com.acme.Shop/providers/${dubbo(1)}`);
    zookeeper.put("/s/com.acme.Shop/consumers/consumer%3A%2F%2F10.0.0.9%2Fcom.acme.Shop");
    zookeeper.put("/s/metadata/x/y");
    open();
    world.run(100);
    assert.deepEqual(take(events), ["connected", "listed 10.0.0.1:1=1"]);
    zookeeper.put("/s/com.acme.Cart");
    world.run(100);
    zookeeper.put(`/s/com.acme.Cart/providers/${dubbo(2)}`);
    world.run(100);
    assert.deepEqual(take(events), ["put 10.0.0.1:2=2"]);
    zookeeper.delete("/s/com.acme.Cart/providers");
    world.run(100);
    assert.deepEqual(take(events), [`removed /s/com.acme.Cart/providers/${dubbo(2)}`]);
    zookeeper.put(`/s/com.acme.Cart/providers/${dubbo(3)}`);
    world.run(100);
    assert.deepEqual(take(events), ["put 10.0.0.1:3=3"]);
    assert.ok(!zookeeper.requests.some(({ kind }) => kind === "data"));
  });

  test(`after any history what was told is what the tree holds, with ${how}`, () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("put"), at: fc.integer({ min: 0, max: 11 }), port: fc.integer({ min: 1, max: 99 }) }),
      fc.record({ do: fc.constant("delete"), at: fc.integer({ min: 0, max: 11 }), port: fc.constant(0) }),
      fc.record({
        do: fc.constantFrom("drop", "break", "expire", "wait", "hold", "trickle"),
        at: fc.integer({ min: 0, max: 2 }),
        port: fc.constant(0),
      }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer(), (steps, seed) => {
        const { world, zookeeper, open, events } = setup({ old, seed });
        open();
        for (const { do: what, at, port } of steps) {
          const path = `/s/${"xyz"[at % 3]}/${at}`;
          if (what === "put") zookeeper.put(path, record(port));
          else if (what === "delete") zookeeper.delete(path);
          else if (what === "drop") zookeeper.delete(`/s/${"xyz"[at]}`);
          else if (what === "break") zookeeper.breakConnection();
          else if (what === "hold") zookeeper.hold = true;
          else if (what === "trickle") zookeeper.release(at + 1);
          else if (what === "wait") world.run(at * 40);
          else {
            zookeeper.sessions.clear();
            zookeeper.breakConnection();
          }
          if (seed % 2 === 0) world.run();
        }
        zookeeper.hold = false;
        zookeeper.release();
        world.run(60_000);
        const told = viewOf(events);
        const held = [...zookeeper.nodes].filter(([path]) => path.split("/").length === 4);
        assert.deepEqual(
          new Map([...told].map(([key, { port }]) => [key, port])),
          new Map(held.sort().map(([path, data]) => [path, JSON.parse(data).port])),
        );
      }),
      { numRuns: 300 },
    );
  });
}

/** What one believes who takes every list as it is. */
const viewOf = (events: readonly SourceEvent[]): ReadonlyMap<string, SourceInstance> => {
  let view = new Map<string, SourceInstance>();
  for (const event of events) {
    if (event.kind === "listed") view = new Map(event.instances.map((one) => [one.key, one]));
    else if (event.kind === "put") view.set(event.instance.key, event.instance);
    else if (event.kind === "removed") view.delete(event.key);
  }
  return new Map([...view].sort());
};

test("a record that does not parse harms no other, and is named again with each new list", () => {
  const { world, zookeeper, open, events } = setup();
  const problem = "the record is not a JSON object";
  zookeeper.put("/s/web/a", record(1));
  zookeeper.put("/s/web/b", "{");
  open();
  world.run(100);
  assert.deepEqual(take(events), ["connected", `unreadable /s/web/b: ${problem}`, "listed a=1"]);
  zookeeper.put("/s/web/a", "[]");
  zookeeper.put("/s/web/b", record(2));
  world.run(100);
  assert.deepEqual(take(events), [`unreadable /s/web/a: ${problem}`, "put b=2"]);
  for (let i = 0; i < 2; i++) {
    zookeeper.breakConnection();
    world.run(1_000);
    // Not in the list: whoever holds an earlier good record of it knows by the other event that it is there.
    assert.deepEqual(take(events), ["lost", "connected", `unreadable /s/web/a: ${problem}`, "listed b=2"]);
  }
});

test("a service that may not be listed keeps what it had, and a node that may not be read is named", () => {
  const { world, zookeeper, open, events } = setup();
  zookeeper.put("/s/web/a", record(1));
  zookeeper.put("/s/api/b", record(2));
  open();
  world.run(100);
  take(events);
  zookeeper.errors.set("/s/web", -102);
  zookeeper.errors.set("/s/api/b", -102);
  zookeeper.breakConnection();
  world.run(1_000);
  assert.deepEqual(take(events), [
    "lost",
    "connected",
    "unreadable /s/web: the login may not read the node",
    "unreadable /s/api/b: the login may not read the node",
    "listed a=1",
  ]);
});

test("where the root itself may not be listed nothing is, and it is asked ever more seldom", () => {
  const { world, zookeeper, open, events } = setup();
  zookeeper.errors.set("/s", -102);
  open();
  world.run(10 * 60_000);
  assert.ok(!events.some(({ kind }) => kind === "listed"));
  assert.match(
    events.map((event) => (event.kind === "lost" ? event.reason : "")).join(),
    /watching \/s: the login may not/,
  );
  assert.ok(zookeeper.dialed.length < 150, String(zookeeper.dialed.length));
});

test("no more requests are out than the window has, however large the tree", () => {
  const { world, zookeeper, open, events } = setup({ limits: { windowMax: 8 } });
  for (let i = 0; i < 300; i++) zookeeper.put(`/s/web/${i}`, record(i + 1));
  zookeeper.hold = true;
  open();
  let most = 0;
  for (let i = 0; i < 400; i++) {
    world.run();
    most = Math.max(most, zookeeper.outstanding());
    zookeeper.release(3);
  }
  world.run();
  assert.equal(most, 8);
  assert.equal(events.findLast((event) => event.kind === "listed")?.instances.length, 300);
});

test("services and instances over a bound are left out and named, and taken in when there is room", () => {
  const { world, zookeeper, open, events } = setup({ limits: { instancesPerServiceMax: 2, servicesMax: 2 } });
  for (const path of ["/s/a/1", "/s/a/2", "/s/a/3", "/s/b/4", "/s/c/5"])
    zookeeper.put(path, record(Number(path.at(-1))));
  open();
  world.run(100);
  const told = take(events);
  assert.equal(told.at(-1), "listed 1=1,2=2,4=4");
  assert.deepEqual(told.slice(1, -1).sort(), ["left out /s/a: 1 instances over 2", "left out /s: 1 services over 2"]);
  zookeeper.put("/s/a/6", record(6));
  zookeeper.put("/s/d/7", record(7));
  world.run(100);
  assert.deepEqual(take(events).toSorted(), ["left out /s/a: 2 instances over 2", "left out /s: 2 services over 2"]);
  zookeeper.delete("/s/a/6");
  zookeeper.delete("/s/d");
  world.run(100);
  assert.deepEqual(take(events).toSorted(), ["left out /s/a: 1 instances over 2", "left out /s: 1 services over 2"]);
  zookeeper.delete("/s/a/1");
  zookeeper.delete("/s/b");
  world.run(100);
  const room = ["left out /s/a: 0 instances over 2", "left out /s: 0 services over 2"];
  assert.deepEqual(take(events).toSorted(), [...room, "put 3=3", "put 5=5", "removed /s/a/1", "removed /s/b/4"]);
});

test("a record over the bound is unreadable", () => {
  const { world, zookeeper, open, events } = setup({ limits: { recordBytesMax: 100 } });
  zookeeper.put("/s/web/a", record(1, { payload: "x".repeat(100) }));
  open();
  world.run(100);
  assert.deepEqual(take(events), ["connected", "unreadable /s/web/a: the record is over 100 bytes", "listed "]);
});

test("what changes while it is being read is read once more", () => {
  const { world, zookeeper, open, events } = setup();
  zookeeper.put("/s/web/a", record(1));
  open();
  world.run(100);
  take(events);
  zookeeper.put("/s/web/a", record(2));
  zookeeper.hold = true;
  world.run();
  zookeeper.put("/s/web/a", record(3));
  zookeeper.put("/s/web/a", record(4));
  zookeeper.hold = false;
  zookeeper.release();
  world.run(100);
  assert.equal(take(events).at(-1), "put a=4");
});

/** Lets so many answers through, one by one; news goes past those that are held back. */
const stepper = (options: SetupOptions) => {
  const all = setup(options);
  const { world, zookeeper } = all;
  zookeeper.hold = true;
  const letThrough = (count: number): void => {
    for (let i = 0; i < count; i++) {
      world.run();
      zookeeper.release(1);
    }
    world.run();
  };
  const letAll = (): void => {
    zookeeper.hold = false;
    zookeeper.release();
    world.run(100);
  };
  return { ...all, letThrough, letAll };
};

test("a list that is older than the news of what it lacks takes nothing out", () => {
  for (const [answers, path] of [
    [1, "/s/api/b"],
    [2, "/s/web/b"],
  ] as const) {
    const { zookeeper, world, open, events, letThrough, letAll } = stepper({});
    zookeeper.put("/s/web/a", record(1));
    open();
    letThrough(answers);
    zookeeper.put(path, record(2));
    world.run();
    letThrough(1);
    letAll();
    assert.deepEqual(take(events), ["connected", "listed a=1,b=2"], path);
  }
});

test("what was read of a node that is gone is not told of the one that came after it", () => {
  const { world, zookeeper, open, events, letAll } = stepper({});
  zookeeper.put("/s/web/a", record(1));
  open();
  letAll();
  take(events);
  zookeeper.hold = true;
  zookeeper.put("/s/web/a", record(2));
  world.run();
  zookeeper.delete("/s/web/a");
  zookeeper.put("/s/web/a", record(3));
  world.run();
  letAll();
  assert.deepEqual(take(events), ["removed /s/web/a", "put a=3"]);
});

test("a tree that comes into being between two questions is seen without one watch of it", () => {
  const { zookeeper, open, events, letThrough, letAll } = stepper({ old: true });
  open();
  letThrough(1);
  zookeeper.put("/s/web/a", record(1));
  letAll();
  assert.equal(viewOf(events).get("/s/web/a")?.port, 1);
});

test("a session is taken up again, and one that is gone is followed by a new one", () => {
  const { world, zookeeper, open } = setup();
  open();
  world.run(100);
  zookeeper.breakConnection();
  world.run(1_000);
  assert.deepEqual([...zookeeper.sessions], [1n]);
  zookeeper.sessions.clear();
  zookeeper.breakConnection();
  world.run(1_000);
  assert.deepEqual([...zookeeper.sessions], [2n]);
});

test("an idle connection is kept by pings at a quarter of the time-out, and a silent one is given up before it ends", () => {
  const { world, zookeeper, open, events } = setup();
  open();
  world.run(100);
  const before = zookeeper.requests.length;
  world.run(90_000);
  const pings = zookeeper.requests.slice(before).filter(({ kind }) => kind === "ping").length;
  assert.equal(pings, 40);
  assert.equal(zookeeper.dialed.length, 1);
  take(events);
  zookeeper.mode = "mute";
  world.run(6_100);
  assert.deepEqual(take(events), ["lost"]);
  world.run(60_000);
  assert.deepEqual(take(events), []);
  zookeeper.mode = "serves";
  world.run(20_000);
  assert.deepEqual(take(events), ["connected", "listed "]);
});

test("a server whose answers take 10 s is waited for, also at the greeting, with the default time-out", () => {
  const { world, zookeeper, open, events } = setup({ url: "zookeeper://a:1/s" });
  zookeeper.put("/s/web/a", record(1));
  zookeeper.delayMs = 10_000;
  open();
  world.run(80_000);
  assert.deepEqual(take(events), ["connected", "listed a=1"]);
  zookeeper.put("/s/web/b", record(2));
  world.run(200_000);
  assert.deepEqual(take(events), ["put b=2"]);
});

test("every server of the list is tried, and the waits grow", () => {
  const { world, zookeeper, open, events } = setup({ url: "zookeeper://a:1,b:2,c:3/s" });
  zookeeper.mode = "refuses";
  open();
  world.run(250);
  assert.deepEqual(new Set(zookeeper.dialed.map(({ host }) => host)), new Set(["a", "b", "c"]));
  world.run(10 * 60_000);
  assert.ok(zookeeper.dialed.length < 600, String(zookeeper.dialed.length));
  assert.deepEqual(take(events), ["lost"]);
});

test("servers that close every greeting are asked for a new session, as after a loss of their data", () => {
  const { world, zookeeper, open, events } = setup();
  zookeeper.put("/s/web/a", record(1));
  open();
  world.run(100);
  zookeeper.mode = "closes-greetings";
  zookeeper.breakConnection();
  world.run(30_000);
  zookeeper.mode = "serves";
  world.run(20_000);
  assert.deepEqual([...zookeeper.sessions], [1n, 2n]);
  assert.equal(take(events).at(-1), "listed a=1");
});

test("a server that gives no session says why, and is asked again later", () => {
  const { world, zookeeper, open, events } = setup();
  zookeeper.mode = "no-sessions";
  open();
  world.run(1_000);
  assert.deepEqual(events.splice(0), [
    { kind: "lost", reason: "a:1: no session: the server has no quorum and only reads" },
  ]);
  zookeeper.mode = "serves";
  world.run(20_000);
  assert.deepEqual(take(events), ["connected", "listed "]);
});

test("a server without a quorum will do, and its session is not shown to others", () => {
  const { world, zookeeper, open, events } = setup();
  zookeeper.readOnly = true;
  zookeeper.put("/s/web/a", record(1));
  open();
  world.run(100);
  assert.deepEqual(take(events), ["connected", "listed a=1"]);
  zookeeper.readOnly = false;
  zookeeper.breakConnection();
  world.run(1_000);
  assert.deepEqual([...zookeeper.sessions], [1n, 2n]);
});

const longName = (at: number): string => `${at}`.padStart(60, "x");

for (const old of [false, true]) {
  const how = old ? "watches of single nodes" : "one watch of the tree";

  test(`a list too long is reported, its service keeps what it had, and the others are followed, with ${how}`, () => {
    const { world, zookeeper, open, events } = setup({ old, url: "zookeeper://a:1/s?frame-bytes-max=1024" });
    zookeeper.put("/s/api/c", record(3));
    zookeeper.put("/s/web/a", record(1));
    open();
    world.run(100);
    assert.deepEqual(take(events), ["connected", "listed a=1,c=3"]);
    for (let at = 0; at < 30; at++) zookeeper.put(`/s/web/${longName(at)}`, record(100 + at));
    world.run(100);
    take(events);

    zookeeper.breakConnection();
    world.run(2_000);
    const told = take(events);
    const tooLong = /^unreadable \/s\/web: the answer has \d+ bytes, over the 1024 that are taken/;
    assert.match(told.find((one) => one.startsWith("unreadable")) ?? "", tooLong);
    assert.match(told.at(-1) ?? "", /^listed .*\ba=1,c=3/);
    assert.equal(told.filter((one) => one === "lost").length, 1);
    zookeeper.put("/s/api/d", record(4));
    zookeeper.put("/s/api/c", record(5));
    world.run(100);
    assert.deepEqual(take(events).toSorted(), ["put c=5", "put d=4"]);

    for (let at = 0; at < 30; at++) zookeeper.delete(`/s/web/${longName(at)}`);
    zookeeper.put("/s/web/b", record(2));
    world.run(100);
    const after = take(events);
    assert.ok(after.some((one) => one.startsWith("readable /s/web ")));
    assert.equal(after.filter((one) => one.startsWith("put b=2")).length, 1);
    assert.ok(!after.includes("removed /s/web/a"));
    assert.ok(!after.includes("lost"));
  });

  test(`a record too long is reported by itself, with ${how}`, () => {
    const { world, zookeeper, open, events } = setup({ old, url: "zookeeper://a:1/s?frame-bytes-max=1024" });
    zookeeper.put("/s/web/a", record(1));
    zookeeper.put("/s/web/b", record(2, { payload: "x".repeat(2_000) }));
    open();
    world.run(100);
    const told = take(events);
    assert.match(told[1] ?? "", /^unreadable \/s\/web\/b: the answer has \d+ bytes/);
    assert.deepEqual([told[0], ...told.slice(2)], ["connected", "listed a=1"]);
  });
}

test("services too many to list are an outage that says where, and what was known stays", () => {
  const { world, zookeeper, open, events } = setup({ url: "zookeeper://a:1/s?frame-bytes-max=1024" });
  for (let at = 0; at < 30; at++) zookeeper.put(`/s/${longName(at)}/a`, record(1));
  open();
  world.run(100);
  const [connected, lost] = events;
  assert.equal(connected?.kind, "connected");
  assert.match(lost?.kind === "lost" ? lost.reason : "", /listing \/s: the answer has \d+ bytes, over the 1024/);
});

for (const [what, bytes] of [
  ["an answer to nothing", frame(int(77), long(1n), int(0))],
  ["a frame over the bound", int(1 << 30)],
  ["a negative length", int(-7)],
  ["a frame cut short", frame(int(1))],
  ["an event of no sense", frame(int(-1), long(1n), int(0), int(3))],
] as const) {
  test(`${what} costs the connection and nothing else`, () => {
    const { world, zookeeper, open, events } = setup();
    zookeeper.put("/s/web/a", record(1));
    open();
    world.run(100);
    take(events);
    zookeeper.say(bytes);
    world.run(1_000);
    const [lost, ...rest] = events.splice(0);
    assert.match(lost?.kind === "lost" ? lost.reason : "", /a:1: the server broke the protocol/);
    assert.deepEqual(rest.map(brief), ["connected", "listed a=1"]);
  });
}

test("an event for another tree is passed over", () => {
  const { world, zookeeper, open, events } = setup();
  open();
  world.run(100);
  take(events);
  const before = zookeeper.requests.length;
  for (const path of ["/other/web/a", "/s2/web/a", "/s/web/a/deep", "", "/"]) zookeeper.put(path, record(1));
  world.run(100);
  assert.deepEqual(
    take(events).filter((one) => !one.includes("unreadable /s/web/a")),
    [],
  );
  assert.ok(zookeeper.requests.length - before < 6);
});

test("disposed, it says farewell and nothing more", () => {
  const { world, zookeeper, open, events } = setup();
  const source = open();
  world.run(100);
  take(events);
  source[Symbol.dispose]();
  assert.equal(zookeeper.requests.at(-1)?.kind, "close");
  zookeeper.put("/s/web/a", record(1));
  world.run(60_000);
  assert.deepEqual(take(events), []);
  assert.equal(zookeeper.dialed.length, 1);
});
