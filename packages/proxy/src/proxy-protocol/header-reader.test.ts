import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import { firstBytesMostMs, silentMostMs } from "../listeners/limits.ts";
import { createStats } from "../observe/create-stats.ts";
import { TimerWheel } from "../timers/timer-wheel.ts";
import { HeaderReader } from "./header-reader.ts";
import { compileProxyProtocolFilter } from "./listener-filter.ts";

/** A reader on a connection and a clock that are the test's. */
const open = (timeoutMs: number, allowRequestsWithoutProxyProtocol: boolean) => {
  const clock = { now: 0, due: [] as { at: number; callback: () => void }[] };
  const wheel = new TimerWheel({ nowMs: () => clock.now, wallMs: () => 0 }, (callback, ms) => {
    const entry = { at: clock.now + ms, callback };
    clock.due.push(entry);
    return { [Symbol.dispose]: () => void clock.due.splice(clock.due.indexOf(entry), 1) };
  });
  const state = { destroyed: false, known: false };
  const connection = { handler: undefined as unknown as ConnectionHandler, destroy: () => (state.destroyed = true) };
  const reader = new HeaderReader({
    filter: compileProxyProtocolFilter({ allowRequestsWithoutProxyProtocol }, createStats()),
    connection: connection as unknown as Connection,
    wheel,
    timeoutMs,
    goesOnAfterTimeout: true,
    onKnown: () => {
      state.known = true;
    },
    onGone: () => {},
  });
  const advance = (ms: number): void => {
    const end = clock.now + ms;
    for (;;) {
      const next = clock.due.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      clock.due.splice(clock.due.indexOf(next), 1);
      clock.now = Math.max(clock.now, next.at);
      next.callback();
    }
    clock.now = end;
  };
  return { reader, state, advance };
};
/** Timers fire up to so much late. */
const late = 2_000;

test("without a timeout of the listener a client that says nothing is closed after an hour all the same", () => {
  for (const allowsNone of [true, false]) {
    const { state, advance } = open(0, allowsNone);
    advance(silentMostMs - late);
    assert.deepEqual(state, { destroyed: false, known: false });
    advance(2 * late);
    assert.deepEqual(state, { destroyed: true, known: false });
  }
});

test("without a timeout of the listener a header that dribbles is closed much sooner", () => {
  const { reader, state, advance } = open(0, true);
  advance(60_000);
  reader.onRead(Buffer.from("PRO"));
  advance(firstBytesMostMs / 2);
  reader.onRead(Buffer.from("XY"));
  advance(firstBytesMostMs / 2 + late);
  assert.deepEqual(state, { destroyed: true, known: false });
});

test("with one, who sent no header in time goes on where headers may be missing", () => {
  const { state, advance } = open(500, true);
  advance(500 + late);
  assert.deepEqual(state, { destroyed: false, known: true });
  const other = open(500, false);
  other.advance(500 + late);
  assert.deepEqual(other.state, { destroyed: true, known: false });
});

test("it is idle only while nothing was read and nothing decided", () => {
  const { reader } = open(0, false);
  assert.equal(reader.idleSinceMs, 0);
  reader.onRead(Buffer.from("PROXY "));
  assert.equal(reader.idleSinceMs, -1);
  const decided = open(0, false).reader;
  decided.onRead(Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\r\n"));
  assert.equal(decided.idleSinceMs, -1);
});
