/** Connections of one thread share stream records: none may ever act on what has become another's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Http2Connection } from "./connection.ts";
import { FRAME } from "./protocol.ts";
import {
  dataFrame,
  frame,
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
import { Http2Workspace } from "./workspace.ts";

const hello = Buffer.concat([preface, settings, settingsAck]);
const reset = (id: number): Buffer => frame(FRAME.rstStream, 0, id, "00000008");
const windowUpdate = (id: number): Buffer => frame(FRAME.windowUpdate, 0, id, "00100000");

const open = (workspace: Http2Workspace) => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0, workspace });
  const reader = new OutputReader();
  server.start();
  server.receive(hello);
  const output = (): string[] => reader.read(server.takeOutput());
  output();
  return { server, sink, output };
};

test("a stream that ends in the line of one connection is not served by it once another has it", () => {
  const workspace = new Http2Workspace();
  const [first, second] = [open(workspace), open(workspace)];
  // The first connection's window is used up by one stream, a second one stands in line.
  for (const id of [1, 3]) {
    first.server.receive(headersFrame(id, post));
    first.server.receive(windowUpdate(id));
    first.server.respond(id, responseHead(200), false);
    first.server.data(id, Buffer.alloc(65_535, "1"), false);
  }
  first.output();
  first.server.receive(reset(3));
  // The other connection takes the record, and its data has to wait too.
  second.server.receive(headersFrame(1, post));
  second.server.respond(1, responseHead(200), false);
  second.server.data(1, Buffer.alloc(100_000, "2"), false);
  second.server.receive(windowUpdate(1));
  second.output();
  first.server.receive(windowUpdate(0));
  assert.deepEqual(
    first.output().filter((line) => line.includes("DATA")),
    [],
  );
  second.server.receive(windowUpdate(0));
  const sent = second.output().map((line) => Number(/^1 DATA (\d+)/.exec(line)?.[1] ?? 0));
  assert.equal(
    sent.reduce((sum, bytes) => sum + bytes, 0),
    100_000 - 65_535,
  );
});

test("the rest of a DATA frame for a stream that is gone does not end another connection's stream of that id", () => {
  const workspace = new Http2Workspace();
  const [first, second] = [open(workspace), open(workspace)];
  first.server.receive(headersFrame(1, post, false));
  const body = dataFrame(1, "0123456789", true);
  first.server.receive(body.subarray(0, 12));
  first.server.reset(1, 8);
  second.server.receive(headersFrame(1, post, false));
  first.server.receive(body.subarray(12));
  second.server.receive(dataFrame(1, "mine", true));
  assert.equal(second.sink.lines.at(-1), "1 data mine end");
});

test("what a callback opens on another connection is not taken for the stream it was called for", () => {
  const workspace = new Http2Workspace();
  const first = open(workspace);
  const clientSink = new Recorder();
  const client = new Http2Connection({ role: "client", sink: clientSink, nowMs: () => 0, workspace });
  client.start();
  client.receive(settings);
  first.sink.hooks.onData = (id) => {
    first.server.reset(id, 2);
    assert.equal(client.request(requestHead("GET", "/"), true), 1);
  };
  first.server.receive(Buffer.concat([headersFrame(1, post, false), dataFrame(1, "x", true)]));
  assert.equal(client.openStreams, 1);
  assert.equal(first.server.openStreams, 0);
});

const frames = {
  headers: headersFrame(1, post, false),
  data: dataFrame(1, "body"),
  end: dataFrame(1, "", true),
  reset: reset(1),
  other: headersFrame(3, post),
};
for (const order of [
  ["headers", "reset"],
  ["headers", "reset", "data"],
  ["headers", "data", "reset"],
  ["headers", "data", "end", "reset", "other"],
  ["other", "headers", "reset", "data"],
] as const) {
  test(`a request that comes with its reset is not shown: ${order.join(", ")}`, () => {
    const { server, sink, output } = open(new Http2Workspace());
    const ids = order[0] === "other" ? { first: 3, second: 5 } : { first: 1, second: 3 };
    const renumber = (bytes: Buffer): Buffer => {
      const own = Buffer.from(bytes);
      own.writeUInt32BE(own.readUInt32BE(5) === 1 ? (ids.first === 3 ? 5 : 1) : 3, 5);
      return own;
    };
    server.receive(Buffer.concat(order.map((name) => renumber(frames[name]))));
    const others = (order as readonly string[]).includes("other") ? 1 : 0;
    assert.equal(sink.lines.filter((line) => line.includes(" request ")).length, others);
    assert.equal(sink.lines.filter((line) => line.includes(" data ")).length, 0);
    assert.equal(server.openStreams, others);
    assert.deepEqual(
      output().filter((line) => line.includes("GOAWAY")),
      [],
    );
  });
}

test("answers that are not read end the connection before they are a megabyte and a half", () => {
  const { server, sink } = open(new Http2Workspace());
  const answer = (id: number) => responseHead(204, [["x-filler", `${id}`.repeat(700)]]);
  sink.hooks.onRequest = (id) => server.respond(id, answer(id), true);
  const floods: string[] = [];
  Object.assign(sink, { onFlood: (what: string) => floods.push(what) });
  for (let i = 0; i < 5000 && !server.dead; i++) server.receive(headersFrame(i * 2 + 1, post));
  assert.match(sink.lines.at(-1) ?? "", /^closed ENHANCE_YOUR_CALM: answers are not read/);
  assert.ok(server.outputBytes < 1_500_000);
  assert.deepEqual(floods, ["output"]);
});
