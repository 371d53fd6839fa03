import assert from "node:assert/strict";
import { test } from "node:test";
import { Http2Connection } from "./connection.ts";
import { H2_ERROR } from "./protocol.ts";
import {
  dataFrame,
  frame,
  get,
  headerList,
  headersFrame,
  OutputReader,
  post,
  preface,
  requestHead,
  responseHead,
  settings,
  settingsAck,
} from "./testing/frames.ts";
import { Pair } from "./testing/pair.ts";
import { Recorder } from "./testing/recorder.ts";

test("a request and its answer pass with bodies and trailers both ways", () => {
  const pair = new Pair();
  const { client, server } = pair;
  const id = client.request(requestHead("POST", "/a?b", [["x-a", "1"]]), false);
  assert.equal(client.data(id, Buffer.from("question"), false), true);
  client.trailers(id, headerList([["x-sum", "2"]]));
  pair.settle();
  server.respond(id, responseHead(103, [["link", "</x>"]]), false);
  server.respond(id, responseHead(200, [["content-type", "text/plain"]]), false);
  server.data(id, Buffer.from("answer"), false);
  server.trailers(id, headerList([["grpc-status", "0"]]));
  pair.settle();
  assert.deepEqual(pair.serverSink.lines, [
    "settings",
    "1 request POST http://a.example/a?b [x-a=1]",
    "1 data question",
    "1 trailers [x-sum=2]",
    "1 over",
  ]);
  assert.deepEqual(pair.clientSink.lines, [
    "settings",
    "1 response 103 [link=</x>]",
    "1 response 200 [content-type=text/plain]",
    "1 data answer",
    "1 trailers [grpc-status=0]",
    "1 over",
  ]);
  assert.deepEqual([client.openStreams, server.openStreams], [0, 0]);
});

test("cookie crumbs become one field, and host stands in for :authority", () => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0 });
  const crumbs = [
    ["cookie", "a=1"],
    ["x", "y"],
    ["cookie", "b=2"],
  ] as const;
  const noAuthority = get.filter(([name]) => name !== ":authority");
  server.receive(Buffer.concat([preface, settings, headersFrame(1, [...noAuthority, ["host", "h"], ...crumbs])]));
  assert.equal(sink.lines[1], "1 request GET http://h/ [x=y,cookie=a=1; b=2] end");
});

test("the scheme is read in lower case, whoever wrote it", () => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0 });
  const fields = get.map(([name, value]) =>
    name === ":scheme" ? ([name, "htTPS"] as const) : ([name, value] as const),
  );
  server.receive(Buffer.concat([preface, settings, headersFrame(1, fields)]));
  assert.equal(sink.lines[1], "1 request GET https://a.example/ [] end");
});

test("a field that came as never-indexed is never indexed when it goes on", () => {
  const pair = new Pair();
  const head = requestHead("GET", "/", [["x-key", "secret"]]);
  head.headers.markSensitive("x-key");
  pair.serverSink.hooks.onRequest = (_id, received) => assert.equal(received.headers.isSensitive("x-key"), true);
  pair.client.request(head, true);
  pair.settle();
  assert.equal(pair.serverSink.lines.length, 2);
});

test("a body waits for the stream's window and goes on as the application consumes", () => {
  const pair = new Pair({ serverSettings: { streamWindow: 1000 } });
  const { client, server } = pair;
  pair.settle();
  const id = client.request(requestHead("POST", "/"), false);
  assert.equal(client.data(id, Buffer.alloc(2500, "x"), true), false);
  pair.settle();
  const received = (): number => pair.serverSink.lines.at(-1)!.replace(/[^x]/g, "").length;
  assert.equal(received(), 1000);
  server.consume(id, 499);
  pair.settle();
  assert.equal(received(), 1000);
  server.consume(id, 1);
  pair.settle();
  assert.equal(received(), 1500);
  server.consume(id, 1000);
  pair.settle();
  assert.equal(received(), 2500);
  assert.match(pair.serverSink.lines.at(-1)!, / end$/);
  assert.equal(pair.clientSink.lines.includes("1 writable"), false);
});

test("a caller that was told to wait hears when everything is out", () => {
  const pair = new Pair({ serverSettings: { streamWindow: 1000 } });
  const { client, server } = pair;
  pair.settle();
  const id = client.request(requestHead("POST", "/"), false);
  assert.equal(client.data(id, Buffer.alloc(1000), false), true);
  assert.equal(client.data(id, Buffer.alloc(1), false), false);
  pair.settle();
  assert.equal(pair.clientSink.lines.includes("1 writable"), false);
  server.consume(id, 1000);
  pair.settle();
  assert.equal(pair.clientSink.lines.filter((line) => line === "1 writable").length, 1);
  assert.equal(client.data(id, Buffer.alloc(1), true), true);
});

test("trailers wait behind a body that waits", () => {
  const pair = new Pair({ clientSettings: { streamWindow: 10 } });
  pair.settle();
  const id = pair.client.request(requestHead("GET", "/"), true);
  pair.settle();
  pair.server.respond(id, responseHead(200), false);
  pair.server.data(id, Buffer.from("0123456789abcde"), false);
  const trailers = headerList([["t", "1"]]);
  pair.server.trailers(id, trailers);
  trailers.clear();
  pair.settle();
  assert.equal(pair.clientSink.lines.at(-1), "1 data 0123456789");
  pair.client.consume(id, 10);
  pair.settle();
  assert.deepEqual(pair.clientSink.lines.slice(-3), ["1 data 0123456789abcde", "1 trailers [t=1]", "1 over"]);
});

test("a slow stream does not hold up the others", () => {
  const pair = new Pair({ serverSettings: { streamWindow: 100 } });
  pair.settle();
  const slow = pair.client.request(requestHead("POST", "/slow"), false);
  pair.client.data(slow, Buffer.alloc(5000), true);
  const quick = pair.client.request(requestHead("POST", "/quick"), false);
  pair.client.data(quick, Buffer.from("done"), true);
  pair.settle();
  assert.equal(pair.serverSink.lines.at(-1), "3 data done end");
});

test("streams share the connection's window in turn", () => {
  const sink = new Recorder();
  const client = new Http2Connection({ role: "client", sink, nowMs: () => 0 });
  const reader = new OutputReader();
  client.start();
  client.receive(Buffer.concat([settings, settingsAck]));
  const ids = [1, 2, 3].map(() => client.request(requestHead("POST", "/"), false));
  for (const id of ids) client.data(id, Buffer.alloc(60_000), true);
  reader.read(client.takeOutput());
  client.receive(frame(8, 0, 0, Buffer.from([0, 0, 0xea, 0x60])));
  const sent = reader.read(client.takeOutput());
  assert.ok(sent.some((line) => line.startsWith("3 DATA")) && sent.some((line) => line.startsWith("5 DATA")));
});

test("output beyond its bound leaves bodies in their streams until it is taken", () => {
  const pair = new Pair({ limits: { outputBytes: 30_000 }, serverSettings: { streamWindow: 1 << 20 } });
  pair.settle();
  const id = pair.client.request(requestHead("POST", "/"), false);
  assert.equal(pair.client.data(id, Buffer.alloc(200_000), false), false);
  assert.ok(pair.client.outputBytes < 30_000 + 17_000);
  pair.serverSink.hooks.onData = (stream, chunk) => pair.server.consume(stream, chunk.length);
  pair.settle();
  assert.equal(pair.clientSink.lines.at(-1), "1 writable");
});

test("a caller that never stops loses the stream at the queue's bound, not the memory", () => {
  const pair = new Pair({ limits: { streamQueueBytes: 10_000 }, serverSettings: { streamWindow: 100 } });
  pair.settle();
  const id = pair.client.request(requestHead("POST", "/"), false);
  for (let i = 0; i < 20; i++) pair.client.data(id, Buffer.alloc(1000), false);
  assert.deepEqual(pair.clientSink.lines.slice(-2), ["1 reset INTERNAL_ERROR self", "1 over"]);
});

test("large chunks the caller gives away are sent without a copy", () => {
  const pair = new Pair({ serverSettings: { streamWindow: 1 << 20 } });
  pair.settle();
  const id = pair.client.request(requestHead("POST", "/"), false);
  const chunk = Buffer.alloc(10_000, "z");
  pair.client.dataOwned(id, chunk, true);
  const out = pair.client.takeOutput();
  assert.ok(out.some((buffer) => buffer.buffer === chunk.buffer && buffer.length === 10_000));
});

test("a reset reaches the other side once, and what follows for that stream is nothing", () => {
  const pair = new Pair();
  const id = pair.client.request(requestHead("POST", "/"), false);
  pair.settle();
  pair.client.reset(id, H2_ERROR.cancel);
  pair.client.data(id, Buffer.from("late"), true);
  pair.settle();
  pair.server.respond(id, responseHead(200), false);
  pair.server.data(id, Buffer.from("late"), true);
  pair.settle();
  assert.deepEqual(pair.serverSink.lines.slice(2), ["1 reset CANCEL peer", "1 over"]);
  assert.deepEqual(pair.clientSink.lines.slice(1), ["1 over"]);
});

test("an answer that crosses a reset is ignored", () => {
  const pair = new Pair();
  const id = pair.client.request(requestHead("POST", "/"), false);
  pair.settle();
  pair.client.reset(id, H2_ERROR.cancel);
  pair.server.respond(id, responseHead(200), false);
  pair.server.data(id, Buffer.from("crossing"), true);
  pair.settle();
  assert.deepEqual(pair.clientSink.lines.slice(1), ["1 over"]);
  assert.equal(pair.client.dead || pair.server.dead, false);
});

test("an answer before the request's end resets the rest of the request with NO_ERROR", () => {
  const pair = new Pair();
  const id = pair.client.request(requestHead("POST", "/"), false);
  pair.client.data(id, Buffer.from("part"), false);
  pair.settle();
  pair.server.respond(id, responseHead(413), true);
  assert.equal(pair.server.openStreams, 0);
  pair.client.data(id, Buffer.from("more"), false);
  pair.settle();
  assert.deepEqual(pair.clientSink.lines.slice(1), ["1 response 413 [] end", "1 over"]);
  assert.equal(pair.client.dead || pair.server.dead, false);
});

test("a tunnel ends each way alone", () => {
  const pair = new Pair();
  pair.settle();
  const head = { ...requestHead("CONNECT", ""), scheme: "", authority: "db:5432" };
  const id = pair.client.request(head, false);
  pair.settle();
  assert.equal(pair.serverSink.lines.at(-1), "1 request CONNECT ://db:5432 []");
  pair.server.respond(id, responseHead(200), false);
  pair.server.data(id, Buffer.from("bye"), true);
  pair.settle();
  pair.client.data(id, Buffer.from("still here"), true);
  pair.settle();
  assert.deepEqual(pair.serverSink.lines.slice(-2), ["1 data still here end", "1 over"]);
  assert.deepEqual(pair.clientSink.lines.slice(-2), ["1 data bye end", "1 over"]);
});

test("a refused tunnel is an ordinary answer", () => {
  const pair = new Pair();
  pair.settle();
  const id = pair.client.request({ ...requestHead("CONNECT", ""), scheme: "" }, false);
  pair.settle();
  pair.server.respond(id, responseHead(403), true);
  pair.settle();
  assert.deepEqual([pair.client.openStreams, pair.server.openStreams], [0, 0]);
});

test("extended CONNECT is sent when the server allows it, and only then", () => {
  const open = new Pair();
  const websocket = { ...requestHead("CONNECT", "/chat"), protocol: "websocket" };
  assert.equal(open.client.request(websocket, false), 0);
  open.settle();
  assert.equal(open.client.request(websocket, false), 1);
  open.settle();
  assert.equal(open.serverSink.lines.at(-1), "1 request CONNECT http://a.example/chat(websocket) []");
  const shut = new Pair({ serverSettings: { connectProtocol: false } });
  shut.settle();
  assert.equal(shut.client.request(websocket, false), 0);
});

test("a client opens as many streams as the server takes, and the next when one ends", () => {
  const pair = new Pair({ limits: { concurrentStreams: 2 } });
  pair.settle();
  assert.deepEqual(
    [1, 2, 3].map(() => pair.client.request(requestHead("GET", "/"), true)),
    [1, 3, 0],
  );
  pair.settle();
  pair.server.respond(1, responseHead(204), true);
  pair.settle();
  assert.equal(pair.client.slots, 1);
  assert.equal(pair.client.request(requestHead("GET", "/"), true), 5);
});

test("streams beyond the limit are refused and the others unharmed", () => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0, limits: { concurrentStreams: 1 } });
  server.receive(Buffer.concat([preface, settings, settingsAck, headersFrame(1, get), headersFrame(3, get)]));
  assert.equal(new OutputReader().read(server.takeOutput()).at(-1), "3 RST_STREAM REFUSED_STREAM");
  assert.equal(sink.lines.filter((line) => line.includes("request")).length, 1);
});

test("a server says GOAWAY twice, answers what it took, and ends with the last stream", () => {
  const pair = new Pair();
  const first = pair.client.request(requestHead("GET", "/first"), true);
  pair.settle();
  pair.server.shutdown();
  const crossing = pair.client.request(requestHead("GET", "/crossing"), true);
  pair.settle();
  assert.deepEqual(
    pair.clientSink.lines.filter((line) => line.startsWith("goaway")),
    ["goaway 2147483647 NO_ERROR", "goaway 3 NO_ERROR"],
  );
  assert.equal(pair.client.request(requestHead("GET", "/late"), true), 0);
  pair.server.respond(first, responseHead(200), true);
  pair.server.respond(crossing, responseHead(200), true);
  pair.settle();
  assert.equal(pair.serverSink.lines.at(-1), "closed NO_ERROR: drained");
  assert.equal(pair.clientSink.lines.at(-1), "closed NO_ERROR: drained");
  assert.equal(pair.clientSink.lines.filter((line) => line.includes("response 200")).length, 2);
});

test("the second GOAWAY does not wait for a peer that answers no PING", () => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0 });
  server.receive(Buffer.concat([preface, settings, settingsAck, headersFrame(1, get)]));
  server.shutdown();
  assert.equal(server.deadlineMs(), 1000);
  server.tick(1000);
  server.receive(headersFrame(3, get));
  assert.deepEqual(new OutputReader().read(server.takeOutput()).slice(-1), ["GOAWAY 1 NO_ERROR"]);
  server.respond(1, responseHead(200), true);
  assert.equal(sink.lines.at(-1), "closed NO_ERROR: drained");
});

test("streams above the peer's GOAWAY come back as unprocessed", () => {
  const sink = new Recorder();
  const client = new Http2Connection({ role: "client", sink, nowMs: () => 0 });
  client.receive(settings);
  for (let i = 0; i < 3; i++) client.request(requestHead("GET", "/"), true);
  client.receive(frame(7, 0, 0, "0000000300000000"));
  assert.deepEqual(sink.lines.slice(1), ["5 reset REFUSED_STREAM unprocessed", "5 over", "goaway 3 NO_ERROR"]);
  assert.equal(client.slots, 0);
});

test("a lost socket ends every stream once and nothing moves any more", () => {
  const pair = new Pair();
  const id = pair.client.request(requestHead("POST", "/"), false);
  pair.settle();
  pair.client.disconnected("ECONNRESET");
  pair.client.disconnected("again");
  pair.client.data(id, Buffer.from("x"), true);
  pair.client.reset(id, 8);
  pair.client.consume(id, 5);
  assert.equal(pair.client.request(requestHead("GET", "/"), true), 0);
  assert.deepEqual(pair.clientSink.lines.slice(1), [
    "1 reset CONNECT_ERROR connection",
    "1 over",
    "closed CONNECT_ERROR: ECONNRESET",
  ]);
});

test("keepalive sends a PING into silence and gives up on no answer", () => {
  let nowMs = 0;
  const sink = new Recorder();
  const keepalive = { intervalMs: 30_000, timeoutMs: 5_000 };
  const client = new Http2Connection({ role: "client", sink, nowMs: () => nowMs, keepalive });
  client.start();
  client.receive(Buffer.concat([settings, settingsAck]));
  assert.equal(client.deadlineMs(), 30_000);
  nowMs = 30_000;
  client.tick(nowMs);
  assert.equal(new OutputReader().read(client.takeOutput()).at(-1), "PING");
  client.receive(frame(6, 1, 0, "7765667400000002"));
  assert.equal(client.deadlineMs(), 60_000);
  nowMs = 60_000;
  client.tick(nowMs);
  assert.equal(client.deadlineMs(), 65_000);
  client.tick(65_000);
  assert.equal(sink.lines.at(-1), "closed CONNECT_ERROR: keepalive timeout");
});

test("with a timeout longer than the interval the next PING is not late for it", () => {
  let nowMs = 0;
  const keepalive = { intervalMs: 1_000, timeoutMs: 20_000 };
  const client = new Http2Connection({ role: "client", sink: new Recorder(), nowMs: () => nowMs, keepalive });
  client.start();
  client.receive(Buffer.concat([settings, settingsAck]));
  nowMs = 1_000;
  client.tick(nowMs);
  assert.equal(client.deadlineMs(), 2_000);
  client.receive(frame(6, 1, 0, "7765667400000002"));
  client.takeOutput();
  nowMs = 2_000;
  client.tick(nowMs);
  assert.equal(new OutputReader().read(client.takeOutput()).at(-1), "PING");
});

test("a peer that never says SETTINGS, or never ends a header block, is given up in time", () => {
  const silent = new Recorder();
  const server = new Http2Connection({ role: "server", sink: silent, nowMs: () => 0 });
  assert.equal(server.deadlineMs(), 10_000);
  server.tick(9_999);
  assert.equal(server.dead, false);
  server.tick(10_000);
  assert.match(silent.lines.at(-1)!, /^closed SETTINGS_TIMEOUT/);
  const slow = new Recorder();
  const other = new Http2Connection({ role: "server", sink: slow, nowMs: () => 50 });
  other.receive(Buffer.concat([preface, settings, settingsAck, frame(1, 0, 1, "82")]));
  assert.equal(other.deadlineMs(), 10_050);
  other.tick(10_050);
  assert.match(slow.lines.at(-1)!, /^closed ENHANCE_YOUR_CALM/);
});

test("heads and trailers go where the application says", () => {
  const pair = new Pair();
  const mine = requestHead("", "");
  const sink = Object.assign(pair.serverSink, { requestFor: () => mine });
  sink.hooks.onRequest = (_id, head) => assert.equal(head, mine);
  pair.client.request(requestHead("GET", "/x"), true);
  pair.settle();
  assert.equal(mine.path, "/x");
});

test("a head larger than a frame is cut into CONTINUATION and arrives whole", () => {
  const pair = new Pair();
  const value = "v".repeat(40_000);
  pair.client.request(
    requestHead("GET", "/", [
      ["x-large", value],
      ["x-after", "1"],
    ]),
    true,
  );
  pair.settle();
  assert.equal(pair.serverSink.lines.at(-1), `1 request GET http://a.example/ [x-large=${value},x-after=1] end`);
});

test("a smaller table setting is obeyed by both directions", () => {
  const pair = new Pair({ clientSettings: { headerTableSize: 0 }, serverSettings: { headerTableSize: 64 } });
  for (let i = 0; i < 3; i++) {
    const id = pair.client.request(requestHead("GET", "/", [["x-a", "same"]]), true);
    pair.settle();
    pair.server.respond(id, responseHead(200, [["x-b", "same"]]), true);
    pair.settle();
  }
  assert.equal(pair.client.dead || pair.server.dead, false);
  assert.equal(pair.clientSink.lines.filter((line) => line.endsWith("[x-b=same] end")).length, 3);
});

test("the connection's window comes back for streams the application never read", () => {
  const sink = new Recorder();
  const windows = { streamWindow: 65_535, connectionWindow: 65_535 };
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0, settings: windows });
  server.receive(Buffer.concat([preface, settings, settingsAck]));
  for (let id = 1; id < 40; id += 2) {
    server.receive(Buffer.concat([headersFrame(id, post, false), dataFrame(id, "x".repeat(16_000))]));
    server.reset(id, H2_ERROR.cancel);
    server.receive(dataFrame(id, "y".repeat(16_000)));
  }
  assert.equal(server.dead, false);
});

test("a callback may end the stream or the connection in the middle of a chunk", () => {
  for (const act of ["reset", "goaway", "disconnected", "respond"] as const) {
    const pair = new Pair();
    pair.serverSink.hooks.onData = (id) => {
      if (act === "reset") pair.server.reset(id, H2_ERROR.cancel);
      if (act === "goaway") pair.server.goaway(H2_ERROR.internalError);
      if (act === "disconnected") pair.server.disconnected("gone");
      if (act === "respond") pair.server.respond(id, responseHead(200), true);
    };
    const id = pair.client.request(requestHead("POST", "/"), false);
    pair.client.data(id, Buffer.alloc(20_000), true);
    pair.settle();
    assert.equal(pair.serverSink.lines.filter((line) => line === "1 over").length, 1, act);
    assert.equal(pair.server.openStreams, 0);
  }
});

test("padding counts in both windows and comes back without the application", () => {
  const sink = new Recorder();
  const windows = { streamWindow: 65_535, connectionWindow: 65_535 };
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0, settings: windows });
  server.receive(Buffer.concat([preface, settings, settingsAck, headersFrame(1, post, false)]));
  const padded = frame(0, 8, 1, Buffer.concat([Buffer.from([255, 0x78]), Buffer.alloc(255)]));
  for (let i = 0; i < 1000; i++) {
    server.receive(padded);
    server.consume(1, 1);
  }
  assert.equal(server.dead, false);
  assert.equal(server.openStreams, 1);
});
