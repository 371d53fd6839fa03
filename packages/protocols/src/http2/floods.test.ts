import assert from "node:assert/strict";
import { test } from "node:test";
import { Http2Connection } from "./connection.ts";
import { FRAME, H2_ERROR } from "./protocol.ts";
import {
  dataFrame,
  frame,
  get,
  headersFrame,
  OutputReader,
  post,
  preface,
  requestHead,
  responseHead,
  settings,
  settingsAck,
} from "./testing/frames.ts";
import { Recorder } from "./testing/recorder.ts";

const NOTHING: Buffer = Buffer.alloc(0);
const hello = Buffer.concat([preface, settings, settingsAck]);

interface Flooded {
  readonly server: Http2Connection;
  readonly sink: Recorder;
  /** How often the unit was sent before the connection ended, and the most output that was ever held. */
  readonly count: number;
  readonly outputMax: number;
}

/** Sends the units one after another, taking the output after each (a peer that reads) or never. */
const flood = (unit: (i: number) => Buffer, { count = 20_000, reads = true, prepare = NOTHING } = {}): Flooded => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0 });
  server.start();
  server.receive(Buffer.concat([hello, prepare]));
  let outputMax = 0;
  let sent = 0;
  for (; sent < count && !server.dead; sent++) {
    server.receive(unit(sent));
    outputMax = Math.max(outputMax, server.outputBytes);
    if (reads) server.takeOutput();
  }
  return { server, sink, count: sent, outputMax };
};
const closedCalm = ({ sink }: Flooded): void => {
  assert.match(sink.lines.at(-1) ?? "", /^closed ENHANCE_YOUR_CALM/);
};
const openPost = headersFrame(1, post, false);

const rows: readonly (readonly [what: string, unit: (i: number) => Buffer, prepare: Buffer, atMost: number])[] = [
  ["PING", () => frame(FRAME.ping, 0, 0, "0000000000000000"), NOTHING, 600],
  ["SETTINGS", () => settings, NOTHING, 60],
  ["SETTINGS acknowledgements", () => settingsAck, NOTHING, 1100],
  ["empty DATA", () => dataFrame(1, ""), openPost, 110],
  ["DATA of padding", () => frame(FRAME.data, 8, 1, "03000000"), openPost, 110],
  ["PRIORITY", () => frame(FRAME.priority, 0, 1, "0000000500"), openPost, 1100],
  ["WINDOW_UPDATE", () => frame(FRAME.windowUpdate, 0, 0, "00000001"), NOTHING, 2100],
  ["WINDOW_UPDATE of a stream", () => frame(FRAME.windowUpdate, 0, 1, "00000001"), openPost, 2100],
  ["unknown frames", () => frame(0xbb, 0, 0, "00"), NOTHING, 1100],
  ["GOAWAY", () => frame(FRAME.goaway, 0, 0, "0000000000000000"), NOTHING, 1100],
];
for (const [what, unit, prepare, atMost] of rows) {
  for (const reads of [true, false]) {
    test(`a flood of ${what} ends the connection within ${atMost}${reads ? "" : ", also when it does not read"}`, () => {
      const result = flood(unit, { prepare, reads });
      closedCalm(result);
      assert.ok(result.count <= atMost, `${result.count} were taken`);
      assert.ok(result.outputMax < 1 << 20);
    });
  }
}

const resetFrame = (id: number, code: number): Buffer => frame(FRAME.rstStream, 0, id, Buffer.from([0, 0, 0, code]));

test("rapid reset ends the connection within 500, with each stream ended for the application", () => {
  const result = flood((i) => Buffer.concat([headersFrame(i * 2 + 1, get), resetFrame(i * 2 + 1, 8)]));
  closedCalm(result);
  assert.ok(result.count <= 500);
  const requests = result.sink.lines.filter((line) => line.includes("request")).length;
  assert.equal(result.sink.lines.filter((line) => line.endsWith("over")).length, requests);
  assert.equal(result.server.openStreams, 0);
});

const provocations: readonly (readonly [what: string, spoil: (id: number) => Buffer])[] = [
  ["WINDOW_UPDATE of 0", (id) => frame(FRAME.windowUpdate, 0, id, "00000000")],
  ["WINDOW_UPDATE overflow", (id) => frame(FRAME.windowUpdate, 0, id, "7fffffff")],
  ["DATA behind the end", (id) => dataFrame(id, "x")],
  ["HEADERS behind the end", (id) => headersFrame(id, [["x", "y"]])],
  ["a PRIORITY of the wrong size", (id) => frame(FRAME.priority, 0, id, "00")],
];
for (const [what, spoil] of provocations) {
  test(`resets that the peer provokes by ${what} count as its own`, () => {
    const result = flood((i) => Buffer.concat([headersFrame(i * 2 + 1, get), spoil(i * 2 + 1)]));
    closedCalm(result);
    assert.ok(result.count <= 500);
  });
}

test("malformed requests cannot be sent for ever", () => {
  const result = flood((i) => headersFrame(i * 2 + 1, [[":method", "GET"]]));
  closedCalm(result);
  assert.ok(result.count <= 500);
});

test("a peer that opens ever more streams is refused, then sent away", () => {
  const result = flood((i) => headersFrame(i * 2 + 1, get));
  closedCalm(result);
  assert.ok(result.count <= 600);
  assert.equal(result.sink.lines.filter((line) => line.includes("request")).length, 100);
});

test("endless CONTINUATION ends the connection by frames or by bytes, and so does a close in the middle", () => {
  const begin = frame(FRAME.headers, 0, 1, "82");
  const small = flood(() => frame(FRAME.continuation, 0, 1, "00"), { prepare: begin });
  closedCalm(small);
  assert.ok(small.count <= 11);
  const large = flood(() => frame(FRAME.continuation, 0, 1, Buffer.alloc(16_384)), { prepare: begin });
  closedCalm(large);
  assert.ok(large.count <= 5);
  const cut = flood(() => frame(FRAME.continuation, 0, 1, "00"), { prepare: begin, count: 2 });
  cut.server.disconnected("reset");
  assert.match(cut.sink.lines.at(-1) ?? "", /^closed CONNECT_ERROR/);
});

test("a client that cancels some of its requests for hours is not sent away", () => {
  let nowMs = 0;
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => nowMs });
  server.receive(hello);
  for (let i = 0; i < 20_000; i++) {
    const id = i * 2 + 1;
    nowMs += 1;
    server.receive(headersFrame(id, get));
    if (i % 3 === 0) server.receive(resetFrame(id, 8));
    else server.respond(id, responseHead(200), true);
    server.takeOutput();
  }
  assert.equal(server.dead, false);
});

test("a peer that downloads with an update for each frame is not sent away", () => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0 });
  server.receive(Buffer.concat([hello, headersFrame(1, get)]));
  server.respond(1, responseHead(200), false);
  const chunk = Buffer.alloc(16_000);
  const update = (id: number): Buffer => frame(FRAME.windowUpdate, 0, id, Buffer.from([0, 0, 0x3e, 0x80]));
  for (let i = 0; i < 10_000; i++) {
    server.data(1, chunk, false);
    server.takeOutput();
    server.receive(Buffer.concat([update(0), update(1)]));
  }
  assert.equal(server.dead, false);
});

test("header bombs keep to the decoded bound and the connection goes on", () => {
  const bomb = Buffer.concat([
    Buffer.from("8286844001617f8d1e", "hex"),
    Buffer.alloc(3980, 0x61),
    Buffer.alloc(12_000, 0xbe),
  ]);
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0 });
  server.receive(hello);
  for (let i = 0; i < 100; i++) server.receive(frame(FRAME.headers, 5, i * 2 + 1, bomb));
  assert.equal(server.dead, false);
  assert.equal(sink.lines.filter((line) => line.includes("refused: header fields too large")).length, 100);
  const crumbs = Array.from({ length: 10_000 }, () => ["cookie", "a=b"] as const);
  const split = Buffer.concat(crumbs.map(() => Buffer.from([0x60, 3, 0x61, 0x3d, 0x62])));
  server.receive(frame(FRAME.headers, 1, 301, split.subarray(0, 16_000)));
  server.receive(frame(FRAME.continuation, 4, 301, split.subarray(16_000, 32_000)));
  assert.match(sink.lines.at(-1) ?? "", /301 refused/);
});

test("ten thousand streams reset at once do not stall", () => {
  const sink = new Recorder();
  const limits = { concurrentStreams: 10_000 };
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0, limits });
  server.receive(hello);
  for (let i = 0; i < 10_000; i++) server.receive(headersFrame(i * 2 + 1, get));
  const start = performance.now();
  server.disconnected("gone");
  assert.ok(performance.now() - start < 500);
  assert.equal(server.openStreams, 0);
});

test("HEADERS, RST_STREAM and DATA in one packet, in any order, leave nothing open", () => {
  const parts = [openPost, resetFrame(1, 8), dataFrame(1, "x"), dataFrame(1, "y", true), resetFrame(1, 8)];
  const orders = (rest: readonly Buffer[]): Buffer[][] => {
    if (rest.length === 0) return [[]];
    return rest.flatMap((part, i) => orders(rest.filter((_, j) => j !== i)).map((order) => [part, ...order]));
  };
  for (const order of orders(parts)) {
    const sink = new Recorder();
    const server = new Http2Connection({ role: "server", sink, nowMs: () => 0 });
    server.receive(Buffer.concat([hello, ...order]));
    const shown = sink.lines.filter((line) => line.includes("request")).length;
    const over = sink.lines.filter((line) => line.endsWith("over")).length;
    assert.equal(shown, over + server.openStreams);
    assert.equal(server.openStreams, 0);
  }
});

test("a server's resets cost its client nothing but the streams", () => {
  const sink = new Recorder();
  const client = new Http2Connection({ role: "client", sink, nowMs: () => 0 });
  client.receive(settings);
  for (let i = 0; i < 5_000; i++) {
    const id = client.request(requestHead("GET", "/"), true);
    client.receive(resetFrame(id, H2_ERROR.refusedStream));
    client.takeOutput();
  }
  assert.equal(client.dead, false);
  assert.equal(client.openStreams, 0);
  assert.equal(new OutputReader().read(client.takeOutput()).length, 0);
});
