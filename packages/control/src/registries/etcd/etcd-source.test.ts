import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { silentLogger } from "@weft/core/world";
import { encodeRangeAnswer } from "@weft/protocols/etcd/testing/server-messages";
import fc from "fast-check";
import type { SourceEvent } from "../outside/source-events.ts";
import { pageRecords } from "./etcd-list.ts";
import { openEtcdSource } from "./etcd-source.ts";
import { resyncMs } from "./etcd-watch.ts";
import { createFakeEtcd } from "./testing/fake-etcd.ts";

const make = (
  prepare: (etcd: ReturnType<typeof createFakeEtcd>) => void = () => {},
  limits: { readonly keysMax?: number } = {},
) => {
  const etcd = createFakeEtcd();
  prepare(etcd);
  const events: SourceEvent[] = [];
  const timers = new Set<{ readonly callback: () => void; readonly delayMs: number }>();
  let nowMs = 0;
  const source = openEtcdSource({ prefix: "/weft/", credentials: undefined, dial: etcd.dial, ...limits })({
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
  const settle = async (turns = 40): Promise<void> => {
    for (let at = 0; at < turns; at++) await turn();
  };
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  /** Runs every timer that is armed, and lets what follows from it happen. */
  const fire = async (turns = 40): Promise<void> => {
    for (const timer of [...timers]) {
      if (timers.delete(timer)) timer.callback();
    }
    await settle(turns);
  };
  const words = (): readonly string[] => {
    const told = events.map((event) => {
      if (event.kind === "listed") return `listed ${event.instances.map(({ id }) => id).join(" ")}`.trim();
      if (event.kind === "put") return `put ${event.instance.id}`;
      if (event.kind === "removed") return `${event.because} ${event.key}`;
      if (event.kind === "unreadable") return `unreadable ${event.key}`;
      return event.kind === "lost" ? `lost: ${event.reason}` : event.kind;
    });
    events.length = 0;
    return told;
  };
  return { etcd, fire, settle, pass, words, timers, source, events };
};
const at = "10.0.0.1:80";

test("what is there is listed, what comes is told, and who deleted without a lease cannot have expired", async () => {
  const { etcd, fire, words } = make((fresh) => fresh.put("/weft/web/a", at));
  await fire();
  assert.deepEqual(words(), ["connected", "listed a"]);
  etcd.put("/weft/web/b", at, 7n);
  etcd.put("/weft/web/c", "nonsense");
  etcd.delete("/weft/web/a");
  etcd.delete("/weft/web/b");
  assert.deepEqual(words(), ["put b", "unreadable /weft/web/c", "deleted /weft/web/a", "expired /weft/web/b"]);
});

test("pages follow each other without a gap, and shrink where they are too large", async () => {
  const { etcd, fire, words } = make((fresh) => {
    for (let id = 0; id < pageRecords + 1; id++) fresh.put(`/weft/web/${String(id).padStart(5, "0")}`, at);
    fresh.put("/other/web/1", at);
  });
  etcd.recordsMax = 300;
  await fire();
  const [, listed = ""] = words();
  assert.equal(new Set(listed.split(" ").slice(1)).size, pageRecords + 1);
  assert.deepEqual(etcd.calls.slice(0, 3), ["range /weft/ 1000", "range /weft/ 250", "range /weft/web/00249\0 250"]);
});

test("after an outage history is followed on: a deletion is told as one, what the list has is not told again", async () => {
  const { etcd, fire, words } = make((fresh) => {
    fresh.put("/weft/web/a", at);
    fresh.put("/weft/web/b", at);
  });
  await fire();
  etcd.down("cut");
  await fire();
  assert.deepEqual(words(), ["connected", "listed a b", "lost: cut"]);
  etcd.delete("/weft/web/b");
  etcd.put("/weft/web/c", at);
  etcd.delete("/weft/web/c");
  etcd.put("/weft/web/c", at);
  etcd.up();
  await fire();
  assert.deepEqual(words(), ["connected", "listed a c", "deleted /weft/web/b"]);
  etcd.delete("/weft/web/c");
  assert.deepEqual(words(), ["deleted /weft/web/c"]);
});

test("history that was compacted is given up: the list stands, and the watch goes on from there", async () => {
  const { etcd, fire, words } = make((fresh) => fresh.put("/weft/web/a", at));
  await fire();
  etcd.down("cut");
  await fire();
  etcd.delete("/weft/web/a");
  etcd.put("/weft/web/b", at);
  etcd.compact();
  etcd.up();
  words();
  await fire();
  assert.deepEqual(words(), ["connected", "listed b"]);
  etcd.put("/weft/web/d", at);
  assert.deepEqual(words(), ["put d"]);
});

test("of history that was compacted in part, the rest is told all the same", async () => {
  const { etcd, fire, words } = make((fresh) => {
    for (const id of ["a", "b", "c"]) fresh.put(`/weft/web/${id}`, at);
  });
  await fire();
  etcd.down("cut");
  await fire();
  etcd.delete("/weft/web/a");
  etcd.compact();
  etcd.delete("/weft/web/b");
  etcd.up();
  words();
  await fire();
  assert.deepEqual(words(), ["connected", "listed c", "deleted /weft/web/b"]);
});

test("keys that are taken away while their leases live are deleted, however many; those whose leases ended expired", async () => {
  const { etcd, fire, settle, words } = make((fresh) => {
    for (const id of [1, 2, 3]) fresh.put(`/weft/web/${id}`, at, BigInt(id));
    for (const id of [1, 2, 3]) fresh.leases.set(BigInt(id), 30);
    fresh.put("/weft/other/1", at, 9n);
  });
  await fire();
  words();
  assert.equal(etcd.calls.filter((call) => call.startsWith("lease")).length, 0, "nothing is asked while nothing goes");
  for (const id of [1, 2]) etcd.delete(`/weft/web/${id}`);
  assert.deepEqual(words(), ["expired /weft/web/1", "expired /weft/web/2"]);
  await settle();
  assert.deepEqual(words(), ["deleted /weft/web/1", "deleted /weft/web/2"]);
  etcd.leases.clear();
  etcd.delete("/weft/web/3");
  assert.deepEqual(words(), ["deleted /weft/web/3"], "its lease had 30 s when the first went: it was revoked");
  etcd.delete("/weft/other/1");
  await settle();
  assert.deepEqual(words(), ["expired /weft/other/1"]);
  assert.deepEqual(
    etcd.calls.filter((call) => call.startsWith("lease")),
    ["lease 1", "lease 2", "lease 3", "lease 9"],
  );
});

test("a lease that may have ended when its key went is no proof, and a key that came back is not taken out", async () => {
  const { etcd, fire, settle, words, pass } = make((fresh) => {
    for (const id of [1, 2]) fresh.put(`/weft/web/${id}`, at, BigInt(id));
    fresh.leases.set(2n, 5);
  });
  await fire();
  words();
  etcd.delete("/weft/web/1");
  await settle();
  pass(5_000);
  etcd.leases.clear();
  etcd.delete("/weft/web/2");
  await settle();
  assert.deepEqual(words(), ["expired /weft/web/1", "expired /weft/web/2"]);
  etcd.leases.set(3n, 30);
  etcd.put("/weft/web/3", at, 3n);
  etcd.delete("/weft/web/3");
  etcd.put("/weft/web/3", at, 3n);
  await settle();
  assert.deepEqual(words(), ["put 3", "expired /weft/web/3", "put 3"]);
});

test("whatever etcd says of its progress, every change and every deletion is told in the end", async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constantFrom("put" as const, "delete" as const), id: fc.constantFrom("a", "b") }),
    fc.record({ kind: fc.constantFrom("progress" as const, "lag" as const, "deliver" as const, "cut" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 12, maxLength: 30 }), async (steps) => {
      const { etcd, fire, events, source } = make();
      await fire();
      const there = new Map<string, string>();
      let port = 1;
      for (const one of steps) {
        if (one.kind === "put") {
          const value = `10.0.0.1:${++port}`;
          etcd.put(`/weft/web/${one.id}`, value);
          there.set(`/weft/web/${one.id}`, value);
        } else if (one.kind === "delete") {
          if (there.delete(`/weft/web/${one.id}`)) etcd.delete(`/weft/web/${one.id}`);
        } else if (one.kind === "progress") etcd.send({});
        else if (one.kind === "lag") etcd.lag();
        else if (one.kind === "deliver") etcd.deliver();
        else {
          etcd.down("cut");
          await fire(4);
          etcd.up();
          await fire(12);
        }
      }
      etcd.deliver();
      assert.deepEqual(toldBy(events), there);
      source[Symbol.dispose]();
    }),
    { numRuns: 200 },
  );
});

/** What is there by events alone, a list being no proof that anything is gone. */
const toldBy = (events: readonly SourceEvent[]): ReadonlyMap<string, string> => {
  const told = new Map<string, string>();
  for (const event of events) {
    const puts = event.kind === "listed" ? event.instances : event.kind === "put" ? [event.instance] : [];
    for (const { key, address, port } of puts) told.set(key, `${address}:${port}`);
    if (event.kind === "removed") told.delete(event.key);
  }
  return told;
};

test("a watch whose history goes while it runs begins with a list again", async () => {
  const { etcd, fire, words } = make((fresh) => fresh.put("/weft/web/a", at));
  await fire();
  words();
  etcd.send({ canceled: true, compactRevision: 99 });
  await fire();
  assert.deepEqual(words(), ["connected", "listed a"]);
});

test("another store under the address, and one that went back, are not replayed", async () => {
  const { etcd, fire, words } = make((fresh) => {
    for (const id of ["a", "b", "c"]) fresh.put(`/weft/web/${id}`, at);
  });
  await fire();
  for (const cluster of ["1", "2"]) {
    etcd.down("cut");
    await fire();
    etcd.replace(cluster);
    if (cluster === "2") for (let id = 0; id < 20; id++) etcd.put(`/weft/web/new-${id}`, at);
    etcd.up();
    words();
    await fire();
    assert.equal(words().filter((word) => !/^(connected|listed)/.test(word)).length, 0);
    etcd.put("/weft/web/x", at);
    assert.deepEqual(words(), ["put x"]);
  }
});

test("a watch that stops answering is given up; one that never did, as of an old server, is not", async () => {
  const { etcd, fire, words, timers } = make();
  await fire();
  words();
  assert.deepEqual(
    [...timers].map(({ delayMs }) => delayMs),
    [resyncMs],
  );
  await fire();
  await fire();
  assert.deepEqual(words(), []);
  etcd.answersProgress = false;
  await fire();
  assert.deepEqual(words(), []);
  await fire();
  assert.deepEqual(words(), ["lost: the watch has not answered for 30 s"]);
  await fire();
  await fire();
  await fire();
  await fire();
  assert.deepEqual(words(), ["connected", "listed"]);
});

test("a server that answers the same page for ever, or other keys, or nonsense, is lost or named, and never followed", async () => {
  const { etcd, fire, words } = make((fresh) => {
    for (const id of ["a", "b"]) fresh.put(`/weft/web/${id}`, at);
  });
  const record = (key: string) => ({ key: Buffer.from(key), value: Buffer.from(at), modRevision: 2, lease: 0n });
  const answer = { clusterId: "1", revision: 5, more: true };
  etcd.lie = () => encodeRangeAnswer({ ...answer, records: [record("/weft/web/a"), record("/weft/web/b")] });
  await fire();
  assert.match(words().at(-1) ?? "", /lost: etcd answers with keys before those/);
  etcd.lie = () => encodeRangeAnswer({ ...answer, more: false, records: [record("/weft2/web/a")] });
  await fire();
  assert.deepEqual(words(), ["connected", "unreadable /weft2/web/a", "listed"]);
  etcd.down("cut");
  etcd.up();
  etcd.lie = () => Buffer.from([0xff, 0xff, 0xff]);
  await fire();
  assert.match(words().at(-1) ?? "", /^lost: /);
  etcd.lie = undefined;
  await fire();
  assert.deepEqual(words(), ["connected", "listed a b"]);
  etcd.say(Buffer.from([0xff, 0x01]));
  await fire();
  assert.match(words()[0] ?? "", /^lost: an answer of the watch cannot be read/);
});

test("a service of 50,000 instances is listed whole", async () => {
  const { fire, words } = make((fresh) => {
    for (let id = 0; id < 50_000; id++) fresh.put(`/weft/web/${id}`, at);
  });
  await fire(400);
  assert.equal(new Set((words()[1] ?? "").split(" ")).size, 50_001);
});

test("an answer that is none ends the connection, not the process", async () => {
  const { etcd, fire, words } = make();
  await fire();
  etcd.send({ canceled: true, cancelReason: "no leader" });
  await fire();
  assert.deepEqual(words().slice(0, 3), ["connected", "listed", "lost: etcd ended the watch: no leader"]);
});

test("a server that is not there is tried again, ever more seldom, until the source is closed", async () => {
  const { etcd, fire, words, timers, source } = make((fresh) => fresh.down("refused"));
  const delays: number[] = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    await fire();
    delays.push(...[...timers].map(({ delayMs }) => delayMs));
  }
  assert.deepEqual(
    words(),
    Array.from({ length: 8 }, () => "lost: refused"),
  );
  assert.deepEqual(delays, [25, 50, 100, 200, 400, 800, 1000, 1000]);
  source[Symbol.dispose]();
  etcd.up();
  await fire();
  assert.deepEqual(words(), []);
});

test("more keys than are read are counted, and what is known of them stays over a list", async () => {
  const { etcd, fire, words, events } = make(
    (fresh) => {
      for (const id of ["a", "b", "c", "d", "e"]) fresh.put(`/weft/web/${id}`, at);
    },
    { keysMax: 3 },
  );
  await fire();
  const left = { kind: "left-out", key: "/weft/", left: { what: "keys", count: 2, max: 3 } };
  assert.deepEqual(
    events.find(({ kind }) => kind === "left-out"),
    left,
  );
  const listed = events.find((event) => event.kind === "listed");
  assert.equal(listed?.kind === "listed" && listed.readTo, "/weft/web/c");
  assert.deepEqual(words(), ["connected", "left-out", "listed a b c"]);
  etcd.put("/weft/web/f", at);
  assert.deepEqual(words(), ["put f"]);
  etcd.down("away");
  await fire();
  words();
  // Deleted and made again during the outage: the replay tells both, in their order.
  etcd.delete("/weft/web/f");
  etcd.put("/weft/web/f", at);
  etcd.delete("/weft/web/e");
  etcd.up();
  await fire();
  assert.deepEqual(words(), [
    ...["connected", "left-out", "listed a b c"],
    ...["deleted /weft/web/f", "put f", "deleted /weft/web/e"],
  ]);
  // With no more than are read, nothing is said.
  etcd.down("away");
  await fire();
  for (const id of ["a", "f"]) etcd.delete(`/weft/web/${id}`);
  etcd.up();
  words();
  await fire();
  assert.deepEqual(words().slice(0, 2), ["connected", "listed b c d"]);
});
