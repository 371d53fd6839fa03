import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { silentLogger } from "@weft/core/world";
import { createHeldInstances } from "../outside/held-instances.ts";
import type { SourceEvent } from "../outside/source-events.ts";
import { testInstance } from "../outside/testing/instance.ts";
import { createConsulCalls } from "./consul-calls.ts";
import { resyncMs } from "./consul-session.ts";
import { openConsulSource } from "./consul-source.ts";
import { createFakeConsul, type FakeConsul } from "./testing/fake-consul.ts";

const nowhere = { datacenter: undefined, namespace: undefined, partition: undefined };

const make = (prepare: (consul: FakeConsul) => void = () => {}, watches = 96) => {
  const consul = createFakeConsul();
  prepare(consul);
  const events: SourceEvent[] = [];
  const timers = new Set<{ readonly callback: () => void; readonly delayMs: number }>();
  let nowMs = 0;
  const source = openConsulSource({
    dial: () => createConsulCalls(consul.dial(), nowhere, undefined),
    rules: { toNamespace: "default", tags: [], passingOnly: false },
    watches,
  })({
    emit: (event) => events.push(event),
    clock: { nowMs: () => nowMs, wallMs: () => 0 },
    setTimer: (callback, delayMs) => {
      const timer = { callback, delayMs };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    random: () => 0,
    log: silentLogger,
  });
  const settle = async (): Promise<void> => {
    for (let at = 0; at < 60; at++) await turn();
  };
  /** Runs every timer that is armed for no longer, and lets what follows from it happen. */
  const fire = async (mostMs = 20_000): Promise<void> => {
    nowMs += mostMs;
    for (const timer of [...timers]) {
      if (timer.delayMs <= mostMs && timers.delete(timer)) timer.callback();
    }
    await settle();
  };
  const words = (): readonly string[] => {
    const told = events.map((event) => {
      if (event.kind === "listed") return `listed ${event.instances.map(({ id }) => id).join(" ")}`.trim();
      if (event.kind === "put") return `put ${event.instance.id} ${event.instance.health}`;
      if (event.kind === "removed") return `${event.because} ${event.key}`;
      if (event.kind === "missing") return `missing ${event.keys.join(" ")}`;
      if (event.kind === "unreadable") return `unreadable ${event.key}`;
      if (event.kind === "readable") return `readable ${event.key}: ${event.keys.join(" ")}`;
      return event.kind === "lost" ? `lost: ${event.reason}` : event.kind;
    });
    events.length = 0;
    return told;
  };
  return { consul, fire, settle, words, events, timers, source };
};

test("what is there is listed; what comes, fails, drains and goes is told at once", async () => {
  const { consul, fire, settle, words } = make((fresh) => fresh.register("web", "a"));
  await fire();
  assert.deepEqual(words(), ["connected", "listed a"]);
  consul.register("web", "b");
  await settle();
  assert.deepEqual(words(), ["put b healthy"]);
  await fire();
  consul.check("web", "a", "critical");
  await settle();
  await fire();
  consul.check("web", "b", "critical", "_service_maintenance:b");
  await settle();
  await fire();
  consul.deregister("web", "a");
  await settle();
  assert.deepEqual(words(), ["put a unhealthy", "put b draining", "deleted web/n1/a"]);
});

test("a service that comes is read, and one that goes with its last instance is believed", async () => {
  const { consul, fire, settle, words } = make();
  await fire();
  assert.deepEqual(words(), ["connected", "listed"]);
  consul.register("web", "a");
  await settle();
  assert.deepEqual(words(), ["put a healthy"]);
  await fire();
  consul.deregister("web", "a");
  await settle();
  assert.deepEqual(words(), ["deleted web/n1/a"]);
});

test("after a lost connection the first answer is only a list: what it lacks was not seen to go", async () => {
  const { consul, fire, words } = make((fresh) => {
    fresh.register("web", "a");
    fresh.register("web", "b");
  });
  await fire();
  consul.down("connect ECONNREFUSED");
  await fire();
  await fire();
  assert.deepEqual([...new Set(words())], ["connected", "listed a b", "lost: connect ECONNREFUSED"]);
  consul.deregister("web", "b");
  consul.up();
  await fire();
  assert.deepEqual(words(), ["connected", "listed a"]);
});

test("a Consul that comes back without its data took nobody out", async () => {
  const { consul, fire, settle, words } = make((fresh) => fresh.register("web", "a"));
  await fire();
  words();
  consul.empty();
  consul.register("other", "x");
  await settle();
  const [lost = "", ...more] = words();
  assert.match(lost, /^lost: the index of .* went back/);
  assert.deepEqual(more, []);
  await fire();
  assert.deepEqual(words(), ["connected", "listed x"]);
});

test("the index of one service may go back while that of the catalogue does not: it is read as it is now", async () => {
  const { consul, fire, settle, words } = make((fresh) => fresh.register("web", "a"));
  await fire();
  words();
  consul.lie("/v1/health/service/web", { headers: { "x-consul-index": "5" } });
  consul.register("web", "b");
  await settle();
  assert.deepEqual(words(), ["put b healthy"]);
  consul.lie("/v1/health/service/web", { headers: { "x-consul-index": "4" }, body: Buffer.from("[]") });
  await fire();
  assert.deepEqual(words(), ["deleted web/n1/a", "deleted web/n1/b"]);
});

test("what a token may no longer read is missing and not deleted; what goes otherwise is", async () => {
  const { consul, fire, settle, words } = make((fresh) => {
    for (const id of ["a", "b"]) fresh.register("web", id);
    fresh.register("shop", "s");
  });
  await fire();
  words();
  consul.hide(["web"]);
  await settle();
  assert.deepEqual([...new Set(words())], ["missing web/n1/a web/n1/b"]);
  await fire();
  consul.deregister("shop", "s");
  await settle();
  assert.deepEqual(words(), ["deleted shop/n1/s"]);
});

test("services are missing and not deleted where a catalogue loses more than half of them in one answer", async () => {
  const { consul, fire, settle, words } = make((fresh) => {
    for (const name of ["a", "b", "c", "d"]) fresh.register(name, name);
  }, 1);
  await fire();
  words();
  consul.lie("/v1/catalog/services", { headers: { "x-consul-index": "90" }, body: Buffer.from('{"a":[]}') });
  consul.register("a", "a2");
  await settle();
  await fire(1_000);
  const told = words();
  assert.ok(told.includes("missing b/n1/b c/n1/c d/n1/d"));
  assert.ok(told.every((word) => !word.startsWith("deleted")));
});

test("most services of a catalogue that still shows Consul's own were deregistered, and are believed to be", async () => {
  const { consul, fire, settle, words } = make((fresh) => {
    for (const name of ["a", "b", "c", "d"]) fresh.register(name, name);
    fresh.register("consul", "consul", { port: 8300 });
  }, 1);
  await fire();
  words();
  for (const name of ["b", "c", "d"]) consul.deregister(name, name);
  await settle();
  await fire(1_000);
  assert.deepEqual(words().toSorted(), ["deleted b/n1/b", "deleted c/n1/c", "deleted d/n1/d"]);
});

test("of more services than are watched, those that fail are read at once, others after a change of the catalogue", async () => {
  const { consul, fire, settle, words } = make((fresh) => {
    for (const name of ["a", "b", "c", "d"]) fresh.register(name, `${name}1`);
  }, 2);
  await fire();
  await fire();
  words();
  assert.deepEqual(
    consul.waiting().filter((path) => path.includes("/service/")),
    ["/v1/health/service/a", "/v1/health/service/b"],
  );
  consul.check("d", "d1", "critical");
  await settle();
  assert.deepEqual(words(), ["put d1 unhealthy"]);
  await fire();
  consul.register("c", "c2");
  await settle();
  assert.deepEqual(words(), []);
  await fire(1_000);
  assert.deepEqual(words(), ["put c2 healthy"]);
  const watched = consul.waiting().filter((path) => path.includes("/service/"));
  assert.deepEqual(watched, ["/v1/health/service/d", "/v1/health/service/c"]);
});

test("a check of a node that fails concerns every service on it", async () => {
  const { consul, fire, settle, words } = make((fresh) => {
    fresh.register("a", "a1", { node: "n9" });
    fresh.register("b", "b1", { node: "n2" });
    fresh.register("c", "c1", { node: "n2" });
  }, 1);
  await fire();
  await fire();
  words();
  consul.check("b", "b1", "critical", "serfHealth");
  consul.check("c", "c1", "critical", "serfHealth");
  await settle();
  await fire();
  await fire();
  assert.deepEqual([...words()].sort(), ["put b1 unhealthy", "put c1 unhealthy"]);
});

test("a change that a watched service explains makes nobody read the others", async () => {
  const { consul, fire, settle } = make((fresh) => {
    for (const name of ["a", "b", "c"]) fresh.register(name, `${name}1`);
  }, 1);
  await fire();
  await fire();
  consul.calls.length = 0;
  consul.register("a", "a2");
  await settle();
  await fire(1_000);
  assert.deepEqual(
    consul.calls.filter((call) => /service\/[bc]/.test(call)),
    [],
  );
});

for (const [what, lie, reason] of [
  ["no JSON", { body: Buffer.from("<html>") }, /not JSON/],
  ["another shape", { body: Buffer.from("[1]") }, /no object of services/],
  ["a refusal of the token", { status: 403, body: Buffer.from("ACL not found") }, /403: ACL not found/],
  ["too many requests", { status: 429, body: Buffer.from("slow down\n") }, /429: slow down/],
  ["no leader", { status: 500, body: Buffer.from("No cluster leader") }, /500: No cluster leader/],
] as const) {
  test(`${what} loses the connection with its reason, and is tried again`, async () => {
    const { consul, fire, words } = make((fresh) => {
      fresh.register("web", "a");
      fresh.lie("/v1/catalog/services", lie);
    });
    await fire();
    assert.match(words().at(-1) ?? "", reason);
    consul.lie("/v1/catalog/services", undefined);
    await fire();
    assert.deepEqual(words(), ["connected", "listed a"]);
  });
}

test("an answer of a Consul without a leader is not used: what was known stays until it has one", async () => {
  const { consul, fire, settle, words } = make((fresh) => fresh.register("web", "a"));
  await fire();
  words();
  consul.hasLeader = false;
  consul.deregister("web", "a");
  consul.register("other", "x");
  await settle();
  await fire();
  const told = words();
  assert.ok(told.includes("lost: Consul knows no leader, so that its answer may be old"), told.join());
  assert.ok(!told.some((word) => word.startsWith("connected")));
  consul.hasLeader = true;
  await fire();
  await fire();
  assert.deepEqual(words(), ["connected", "listed x"]);
});

test("an index of 0, and a server that holds no query, are not asked in a loop", async () => {
  const { consul, fire, settle, timers } = make((fresh) => {
    fresh.register("web", "a");
    fresh.lie("/v1/", { headers: { "x-consul-index": "0" }, body: Buffer.from("{}") });
  });
  await fire();
  await settle();
  const asked = consul.calls.length;
  await settle();
  assert.equal(consul.calls.length, asked);
  assert.ok(asked <= 4);
  assert.ok([...timers].some(({ delayMs }) => delayMs >= 1_000));
});

test("a service too large to tell is reported and keeps what it had, also over a new connection; the others are followed", async () => {
  const { consul, fire, settle, words } = make((fresh) => {
    fresh.register("web", "a");
    fresh.register("vast", "v");
  });
  await fire();
  words();
  consul.huge.add("vast");
  consul.register("vast", "w");
  await settle();
  await fire();
  consul.register("web", "b");
  await settle();
  assert.deepEqual(words(), ["put w healthy", "unreadable vast", "put b healthy"]);
  consul.down("cut");
  await fire();
  consul.up();
  words();
  await fire();
  assert.deepEqual(words(), ["connected", "unreadable vast", "listed a b v w"]);
  consul.huge.clear();
  consul.register("vast", "x");
  await settle();
  await fire(1_000);
  await fire(1_000);
  assert.deepEqual(words().toSorted(), ["put x healthy", "readable vast: vast/n1/v vast/n1/w vast/n1/x"]);
});

test("a service too large to tell holds no earlier instance back from a control plane that starts anew", async () => {
  const { consul, fire, settle, events } = make((fresh) => {
    fresh.register("web", "a");
    fresh.register("vast", "v");
    fresh.huge.add("vast");
  });
  const instance = (id: string) => testInstance(id, { key: `vast/n1/${id}`, service: "vast" });
  const held = createHeldInstances(0, {
    ageMs: 0,
    instances: [{ instance: instance("v") }, { instance: instance("w") }],
  });
  const believe = () => {
    for (const event of events.splice(0)) held.apply(event, 0);
    return [...held.values()].map(({ key, held: why }) => `${key}${why ? "?" : ""}`).sort();
  };
  await fire();
  assert.deepEqual(believe(), ["vast/n1/v", "vast/n1/w", "web/n1/a"]);
  assert.match(held.status(0).unreadable.get("vast") ?? "", /more than/);
  consul.huge.clear();
  consul.register("vast", "x");
  await settle();
  await fire(1_000);
  await fire(1_000);
  assert.deepEqual(believe(), ["vast/n1/v", "vast/n1/w?", "vast/n1/x", "web/n1/a"]);
  assert.equal(held.status(0).unreadable.size, 0);
});

test("checks too many to tell are reported, and the services without a query of their own are read now and then", async () => {
  const { consul, fire, settle, words } = make((fresh) => {
    for (const id of ["a", "b", "c"]) fresh.register(id, id);
    fresh.huge.add("critical");
  }, 2);
  await fire();
  await settle();
  assert.deepEqual(words(), ["connected", "listed a b c", "unreadable health/state/critical"]);
  consul.check("c", "c", "critical");
  await settle();
  await fire(resyncMs);
  for (let i = 0; i < 4; i++) await fire(1_000);
  assert.deepEqual(words().toSorted(), ["put c unhealthy", "unreadable health/state/critical"]);
  consul.huge.clear();
  await fire(resyncMs);
  await settle();
  assert.deepEqual(words(), ["deleted health/state/critical"]);
});

test("an instance told twice is reported and used once; a service of 50,000 is listed whole", async () => {
  const { consul, fire, words } = make((fresh) => {
    fresh.register("web", "a");
    const entry = { Node: { Node: "n1", Address: "10.0.0.1" }, Checks: [] };
    const ids = [...Array.from({ length: 50_000 }, (_, at) => `i${at}`), "i7"];
    const body = Buffer.from(JSON.stringify(ids.map((ID) => ({ ...entry, Service: { ID, Port: 80 } }))));
    fresh.register("vast", "i0");
    fresh.lie("/v1/health/service/vast", { headers: { "x-consul-index": "11" }, body });
  });
  await fire();
  const [connected, unreadable, listed = ""] = words();
  assert.deepEqual([connected, unreadable], ["connected", "unreadable vast/n1/i7#twice"]);
  assert.equal(new Set(listed.split(" ").slice(1)).size, 50_001);
  consul.down("closed");
});

test("a source that is closed asks nothing more", async () => {
  const { consul, fire, settle, words, timers, source } = make((fresh) => fresh.register("web", "a"));
  await fire();
  source[Symbol.dispose]();
  await settle();
  words();
  consul.register("web", "b");
  await fire();
  assert.deepEqual(words(), []);
  assert.deepEqual(consul.waiting(), []);
  assert.equal(timers.size, 0);
});
