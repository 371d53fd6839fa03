import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { silentLogger } from "@weft/core/world";
import type { SourceEvent } from "../outside/source-events.ts";
import { pageRecords } from "./etcd-list.ts";
import { openEtcdSource } from "./etcd-source.ts";
import { resyncMs } from "./etcd-watch.ts";
import { createFakeEtcd } from "./testing/fake-etcd.ts";

const make = (prepare: (etcd: ReturnType<typeof createFakeEtcd>) => void = () => {}) => {
  const etcd = createFakeEtcd();
  prepare(etcd);
  const events: SourceEvent[] = [];
  const timers = new Set<{ readonly callback: () => void; readonly delayMs: number }>();
  const source = openEtcdSource({ prefix: "/weft/", credentials: undefined, dial: etcd.dial })({
    emit: (event) => events.push(event),
    clock: { nowMs: () => 0, wallMs: () => 0 },
    setTimer: (callback, delayMs) => {
      const timer = { callback, delayMs };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    random: () => 0,
    log: silentLogger,
  });
  /** Runs every timer that is armed, and lets what follows from it happen. */
  const fire = async (): Promise<void> => {
    for (const timer of [...timers]) {
      if (timers.delete(timer)) timer.callback();
    }
    for (let at = 0; at < 40; at++) await turn();
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
  return { etcd, fire, words, timers, source };
};
const at = "10.0.0.1:80";

test("what is there is listed, what comes is told, and who deleted without a lease cannot have expired", async () => {
  const { etcd, fire, words } = make((fresh) => fresh.put("/weft/web/a", at));
  await fire();
  assert.deepEqual(words(), ["connected", "listed a"]);
  etcd.put("/weft/web/b", at, true);
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
