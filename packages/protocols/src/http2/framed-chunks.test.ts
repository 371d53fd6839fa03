/** A chunk that many connections send is cut into frames once: what goes out must be the same as if each cut it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Http2Connection } from "./connection.ts";
import { FRAME } from "./protocol.ts";
import {
  frame,
  headersFrame,
  OutputReader,
  post,
  preface,
  responseHead,
  settings,
  settingsAck,
} from "./testing/frames.ts";
import { Recorder } from "./testing/recorder.ts";
import { Http2Workspace } from "./workspace.ts";

const chunkOf = (bytes: number): Buffer => Buffer.alloc(bytes).map((_, i) => (i * 31) ^ (i >>> 8)) as Buffer;
const largeWindows = Buffer.concat([
  frame(FRAME.settings, 0, 0, "000400f00000"),
  frame(FRAME.windowUpdate, 0, 0, "00f00000"),
]);

/** A connection with one open stream, of which the answer's head is out. */
const open = (workspace: Http2Workspace, streamId: number, windows = largeWindows) => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0, workspace });
  server.start();
  server.receive(Buffer.concat([preface, settings, settingsAck, windows, headersFrame(streamId, post)]));
  server.respond(streamId, responseHead(200), false);
  server.takeOutput();
  const output = (): Buffer => Buffer.concat(server.takeOutput());
  return { server, output };
};
const send = (workspace: Http2Workspace, streamId: number, chunk: Buffer): Buffer => {
  const { server, output } = open(workspace, streamId);
  assert.equal(server.dataOwned(streamId, chunk, false), true);
  return output();
};

test("the same chunk goes out on each connection as if it were the only one", () => {
  for (const size of [1, 16_384, 16_385, 32_768, 100_000, 250_000]) {
    const chunk = chunkOf(size);
    const shared = new Http2Workspace();
    for (const streamId of [1, 1, 1, 3, 5, 1, 3]) {
      assert.deepEqual(send(shared, streamId, chunk), send(new Http2Workspace(), streamId, chunk), `${size} bytes`);
    }
  }
});

test("from its second sending on it is one piece that all connections share, for one stream's number", () => {
  const workspace = new Http2Workspace();
  const chunk = chunkOf(50_000);
  const pieces = [1, 1, 1, 3].map((streamId) => {
    const { server } = open(workspace, streamId);
    server.dataOwned(streamId, chunk, false);
    return server.takeOutput();
  });
  assert.ok((pieces[0]?.length ?? 0) > 1);
  assert.equal(pieces[1]?.length, 1);
  assert.equal(pieces[2]?.[0], pieces[1]?.[0]);
  assert.ok((pieces[3]?.length ?? 0) > 1);
});

test("windows count what went out, and a client whose windows are too small gets no more than they allow", () => {
  const workspace = new Http2Workspace();
  const chunk = chunkOf(60_000);
  send(workspace, 1, chunk);
  send(workspace, 1, chunk);
  const { server, output } = open(workspace, 1, Buffer.alloc(0));
  // 65,535 bytes are what a client takes that says nothing.
  assert.equal(server.dataOwned(1, chunk, false), true);
  assert.equal(server.dataOwned(1, chunk, false), false);
  const reader = new OutputReader();
  const sizes = (): number[] =>
    reader.read([output()]).map((line) => Number(/^1 DATA (\d+)/.exec(line)?.[1] ?? Number.NaN));
  assert.equal(
    sizes().reduce((sum, size) => sum + size, 0),
    65_535,
  );
  server.receive(
    Buffer.concat([frame(FRAME.windowUpdate, 0, 1, "00010000"), frame(FRAME.windowUpdate, 0, 0, "00010000")]),
  );
  assert.equal(
    sizes().reduce((sum, size) => sum + size, 0),
    120_000 - 65_535,
  );
});

test("with output that waits already it waits in its stream, as other DATA does", () => {
  const workspace = new Http2Workspace();
  const chunk = chunkOf(200_000);
  send(workspace, 1, chunk);
  const { server, output } = open(workspace, 1);
  assert.equal(server.dataOwned(1, chunk, false), true);
  assert.equal(server.dataOwned(1, chunk, false), false);
  const first = output().length;
  assert.ok(first < 300_000, `${first} bytes at once`);
  let total = first;
  for (let more = output(); more.length > 0; more = output()) total += more.length;
  assert.equal(total, 400_000 + 9 * 26);
});
