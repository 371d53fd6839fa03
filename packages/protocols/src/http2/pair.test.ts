import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "@weft/core/random";
import type { Random } from "@weft/core/world";
import { Http2Connection } from "./connection.ts";
import { H2_ERROR } from "./protocol.ts";
import {
  dataFrame,
  type Fields,
  frame,
  get,
  headerList,
  headersFrame,
  post,
  preface,
  requestHead,
  responseHead,
  settings,
  settingsAck,
} from "./testing/frames.ts";
import { Pair } from "./testing/pair.ts";
import { Recorder } from "./testing/recorder.ts";
import { Http2Workspace } from "./workspace.ts";

const byteAt = (seed: number, i: number): number => (seed * 31 + i * 7 + (i >>> 8)) & 0xff;
const bodyOf = (seed: number, from: number, to: number): Buffer => {
  const bytes = Buffer.alloc(to - from);
  for (let i = from; i < to; i++) bytes[i - from] = byteAt(seed, i);
  return bytes;
};

/** One side's body of one stream: how much is sent, how much has come, and what it must be. */
interface Transfer {
  readonly seed: number;
  readonly size: number;
  sent: number;
  blocked: boolean;
  ended: boolean;
}

/** The application of one side in a random run: sends bodies in random pieces, reads with random delay. */
class App {
  readonly sending = new Map<number, Transfer>();
  readonly received = new Map<number, { seed: number; bytes: number; unread: number; ended: boolean }>();
  readonly over = new Set<number>();
  readonly resets = new Set<number>();
  private readonly connection: Http2Connection;
  private readonly random: Random;

  constructor(connection: Http2Connection, sink: Recorder, random: Random) {
    this.connection = connection;
    this.random = random;
    sink.hooks.onData = (id, chunk, end) => this.onData(id, chunk, end);
    sink.hooks.onTrailers = (id, trailers) => {
      const got = this.received.get(id)!;
      assert.equal(trailers.get("x-size"), String(got.bytes), `stream ${id} came whole`);
      got.ended = true;
    };
    sink.hooks.onWritable = (id) => {
      const transfer = this.sending.get(id);
      if (transfer) transfer.blocked = false;
    };
    sink.hooks.onReset = (id) => this.resets.add(id);
    sink.hooks.onStreamEnd = (id) => {
      assert.equal(this.over.has(id), false, `stream ${id} ends once`);
      this.over.add(id);
      this.sending.delete(id);
    };
  }

  expect(id: number, seed: number): void {
    this.received.set(id, { seed, bytes: 0, unread: 0, ended: false });
  }

  private onData(id: number, chunk: Buffer, end: boolean): void {
    const got = this.received.get(id)!;
    for (let i = 0; i < chunk.length; i++) {
      if (chunk[i] !== byteAt(got.seed, got.bytes + i)) assert.fail(`stream ${id} differs at ${got.bytes + i}`);
    }
    got.bytes += chunk.length;
    got.unread += chunk.length;
    got.ended = end;
  }

  act(): void {
    for (const [id, transfer] of this.sending) {
      if (transfer.blocked || transfer.ended || this.random() < 0.5) continue;
      const to = Math.min(transfer.size, transfer.sent + Math.ceil(this.random() * 30_000));
      const last = to === transfer.size;
      const trailers = last && this.random() < 0.3;
      const chunk = bodyOf(transfer.seed, transfer.sent, to);
      transfer.sent = to;
      transfer.ended = last;
      const owned = this.random() < 0.5;
      const send = owned ? "dataOwned" : "data";
      transfer.blocked = !this.connection[send](id, chunk, last && !trailers);
      if (!owned) chunk.fill(0xdd);
      if (trailers) this.connection.trailers(id, headerList([["x-size", String(transfer.size)]]));
    }
    for (const [id, got] of this.received) {
      if (got.unread === 0 || this.random() < 0.5) continue;
      const count = Math.ceil(this.random() * got.unread);
      got.unread -= count;
      this.connection.consume(id, count);
    }
  }
}

const windows = [1_000, 16_384, 65_535, 300_000];
const pick = <T>(random: Random, values: readonly T[]): T => values[Math.floor(random() * values.length)]!;

const simulate = (seed: number): void => {
  const random = seededRandom(seed);
  const side = (): { streamWindow: number; connectionWindow: number } => ({
    streamWindow: pick(random, windows),
    connectionWindow: 65_535 + Math.floor(random() * 200_000),
  });
  const outputBytes = pick(random, [5_000, 50_000, 256_000]);
  const pair = new Pair({ clientSettings: side(), serverSettings: side(), limits: { outputBytes } });
  const client = new App(pair.client, pair.clientSink, random);
  const server = new App(pair.server, pair.serverSink, random);
  const newTransfer = (id: number): Transfer => {
    const size = Math.floor(random() ** 3 * 200_000);
    return { seed: id, size, sent: 0, blocked: false, ended: false };
  };
  pair.serverSink.hooks.onRequest = (id, head, end) => {
    assert.equal(head.path, `/${id}`);
    if (!end) server.expect(id, id);
    pair.server.respond(
      id,
      responseHead(200, [
        ["x-id", String(id)],
        ["x-same", "v"],
      ]),
      false,
    );
    server.sending.set(id, newTransfer(id));
  };
  pair.clientSink.hooks.onResponse = (id, head) => {
    assert.equal(head.headers.get("x-id"), String(id));
    client.expect(id, id);
  };
  let opened = 0;
  let cancelled = 0;
  const STREAMS = 30;
  for (let turn = 0; turn < 3000; turn++) {
    if (opened < STREAMS && random() < 0.3) {
      const id = pair.client.request(requestHead("POST", `/${opened * 2 + 1}`, [["x-turn", String(turn)]]), false);
      if (id > 0) {
        opened++;
        client.sending.set(id, newTransfer(id));
      }
    }
    if (random() < 0.02) {
      const id = Math.floor(random() * opened) * 2 + 1;
      if (!client.over.has(id) && opened > 0) cancelled++;
      pick(random, [pair.client, pair.server]).reset(id, H2_ERROR.cancel);
    }
    client.act();
    server.act();
    const moved = pair.step(random);
    if (!moved && opened === STREAMS && client.sending.size + server.sending.size === 0) break;
  }
  for (const sink of [pair.clientSink, pair.serverSink]) {
    assert.deepEqual(
      sink.lines.filter((line) => line.startsWith("closed")),
      [],
    );
  }
  assert.equal(opened, STREAMS);
  assert.ok(cancelled < STREAMS);
  assert.deepEqual([pair.client.openStreams, pair.server.openStreams], [0, 0]);
  assert.equal(client.over.size, STREAMS);
};

test("any run of bodies, cuts, windows, delays and resets keeps every byte and ends every stream once", () => {
  for (let seed = 1; seed <= 40; seed++) {
    try {
      simulate(seed);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});

const sized: Fields = [...post, ["content-length", "6"]];
const scenario = Buffer.concat([
  preface,
  frame(4, 0, 0, "000300000064000400010000"),
  settingsAck,
  headersFrame(1, sized, false),
  dataFrame(1, "abc"),
  frame(6, 0, 0, "0102030405060708"),
  frame(0, 8, 1, Buffer.from("\x04def\0\0\0\0", "latin1")),
  headersFrame(1, [["x-trailer", "1"]]),
  frame(1, 0x29, 3, Buffer.from("\x02\0\0\0\0\x05\x82\x86\0\0", "latin1")),
  frame(9, 0, 3),
  frame(9, 4, 3, Buffer.from("8441096c6f63616c686f7374", "hex")),
  frame(99, 0, 7, "aabb"),
  frame(8, 0, 0, "00000100"),
  headersFrame(5, post, false),
  frame(0, 9, 5, Buffer.from("\x02xy\0\0", "latin1")),
  headersFrame(7, post, false),
  frame(3, 0, 7, "00000008"),
  headersFrame(9, [...get, ["bad name", "x"]]),
  frame(0, 1, 5, Buffer.from("late")),
]);

const eventsOf = (chunks: readonly Buffer[]): string[] => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0 });
  server.start();
  for (const chunk of chunks) {
    const own = Buffer.from(chunk);
    server.receive(own);
    own.fill(0xee);
  }
  // A request whose reset came with it in one chunk is not shown; one whose reset comes later is.
  const lines = sink.lines.filter((line) => !line.startsWith("7 "));
  return [...lines, Buffer.concat([...server.takeOutput()]).toString("hex")];
};

test("the same bytes are the same events and the same answer wherever the network cuts them", () => {
  const whole = eventsOf([scenario]);
  assert.ok(whole.length > 10);
  for (let cut = 1; cut < scenario.length; cut++) {
    assert.deepEqual(eventsOf([scenario.subarray(0, cut), scenario.subarray(cut)]), whole, `cut at byte ${cut}`);
  }
  assert.deepEqual(eventsOf([...scenario].map((byte) => Buffer.from([byte]))), whole);
  const random = seededRandom(9113);
  for (let run = 0; run < 200; run++) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < scenario.length; ) {
      const size = 1 + Math.floor(random() * 40);
      chunks.push(scenario.subarray(at, at + size));
      at += size;
    }
    assert.deepEqual(eventsOf(chunks), whole);
  }
});

test("mutated bytes never throw, and a connection that ends has ended every stream it showed", () => {
  const random = seededRandom(77);
  const workspace = new Http2Workspace();
  for (let run = 0; run < 5_000; run++) {
    const bytes = Buffer.from(scenario);
    const flips = 1 + Math.floor(random() * 5);
    for (let i = 0; i < flips; i++) bytes[24 + Math.floor(random() * (bytes.length - 24))] = Math.floor(random() * 256);
    const sink = new Recorder();
    const server = new Http2Connection({ role: "server", sink, nowMs: () => 0, workspace });
    server.receive(bytes);
    server.disconnected("end");
    const { lines } = sink;
    const shown = lines.filter((line) => line.includes(" request ")).length;
    assert.equal(lines.filter((line) => line.endsWith(" over")).length, shown);
    assert.equal(lines.filter((line) => line.startsWith("closed")).length, 1);
  }
});

test("mutated answers never throw in a client", () => {
  const random = seededRandom(78);
  const workspace = new Http2Workspace();
  const answer = Buffer.concat([
    settings,
    settingsAck,
    headersFrame(
      1,
      [
        [":status", "103"],
        ["link", "x"],
      ],
      false,
    ),
    headersFrame(
      1,
      [
        [":status", "200"],
        ["content-length", "3"],
      ],
      false,
    ),
    dataFrame(1, "abc", true),
    headersFrame(3, [[":status", "204"]]),
    frame(3, 0, 5, "00000007"),
    frame(7, 0, 0, "0000000500000000"),
  ]);
  for (let run = 0; run < 5_000; run++) {
    const bytes = Buffer.from(answer);
    const flips = Math.floor(random() * 5);
    for (let i = 0; i < flips; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    const sink = new Recorder();
    const client = new Http2Connection({ role: "client", sink, nowMs: () => 0, workspace });
    for (let i = 0; i < 3; i++) client.request(requestHead("GET", "/"), true);
    client.receive(bytes);
    client.disconnected("end");
    assert.equal(sink.lines.filter((line) => line.endsWith(" over")).length, 3);
  }
});
