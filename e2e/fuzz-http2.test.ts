/** HTTP/2 frames, HPACK and gRPC framing under seeded structural mutation: no throw, no bound passed, nothing left open. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Random } from "@weft/core/world";
import { encodeGrpcFrame, GrpcFrameDecoder, GrpcFrameError } from "@weft/protocols/grpc/frames";
import { GrpcMessageCounter } from "@weft/protocols/grpc/message-counter";
import { Base64Stream } from "@weft/protocols/grpc/web";
import { FieldBlock, HpackDecoder } from "@weft/protocols/hpack/decoder";
import { FieldMemo } from "@weft/protocols/hpack/memo";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import { Http2Connection } from "@weft/protocols/http2/connection";
import { http2Limits } from "@weft/protocols/http2/limits";
import { FRAME, h2ErrorName } from "@weft/protocols/http2/protocol";
import type { Http2ClientSink, Http2ServerSink, ResetCause } from "@weft/protocols/http2/sink";
import {
  dataFrame,
  frame,
  get,
  headersFrame,
  post,
  preface,
  settings,
  settingsAck,
} from "@weft/protocols/http2/testing/frames";
import { Http2Workspace } from "@weft/protocols/http2/workspace";
import { type FuzzResult, fuzz, mutator } from "@weft/testkit/fuzz";

const inputs = { server: 400_000, client: 250_000, hpack: 300_000, grpc: 100_000 };

const report = (t: { diagnostic(text: string): void }, result: FuzzResult, expected: number): void => {
  t.diagnostic(`${result.inputs} inputs, ${result.behaviours} behaviours`);
  const shown = result.failures.map(({ input, message }) => `${message} ${input.toString("hex")}`);
  assert.deepEqual(shown, []);
  assert.equal(result.inputs, expected);
  assert.ok(result.behaviours > 10);
};

const pick = <T>(list: readonly T[], random: Random): T => list[Math.floor(random() * list.length)] as T;
const integer = (below: number, random: Random): number => Math.floor(random() * below);

/** Bytes as frames; what is behind the last whole one is one more piece. */
const framesOf = (bytes: Buffer): Buffer[] => {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 9 <= bytes.length ? Math.min(bytes.length, at + 9 + bytes.readUIntBE(at, 3)) : bytes.length;
    frames.push(bytes.subarray(at, end));
    at = end;
  }
  return frames;
};
const ids = [0, 1, 2, 3, 5, 7, 9, 101, 0x7fff_ffff];
const anyBytes = mutator(["\x82\x86\x84", "\x00\x01x\x01y", "\xff\xff\xff", "\x40\x01a\x01b", "\x3f\xe1\x1f"]);

/** One frame changed: its id, type, flags, length, payload; or frames doubled, moved, removed, taken from elsewhere. */
const mutateFrames = (input: Buffer, other: Buffer, random: Random): Buffer => {
  const frames = framesOf(input);
  for (let edits = 1 + integer(3, random); edits > 0; edits--) {
    const at = integer(frames.length, random);
    const chosen = Buffer.from(frames[at] ?? settings);
    if (chosen.length < 9) continue;
    switch (integer(9, random)) {
      case 0:
        chosen.writeUInt32BE(pick(ids, random), 5);
        break;
      case 1:
        chosen[3] = integer(12, random);
        break;
      case 2:
        chosen[4] = (chosen[4] ?? 0) ^ (1 << integer(8, random));
        break;
      case 3:
        chosen.writeUIntBE(integer(random() < 0.9 ? 40 : 20_000, random), 0, 3);
        break;
      case 4:
        frames.splice(integer(frames.length, random), 0, chosen);
        continue;
      case 5:
        frames.splice(at, 1);
        continue;
      case 6:
        frames.splice(at, 0, pick(framesOf(other), random) ?? settings);
        continue;
      case 7: {
        const payload = anyBytes(chosen.subarray(9), other, random);
        frames[at] = frame(chosen[3] ?? 0, chosen[4] ?? 0, chosen.readUInt32BE(5) & 0x7fff_ffff, payload);
        continue;
      }
      default:
        for (let i = integer(20, random); i > 0; i--) frames.splice(at, 0, chosen);
        continue;
    }
    frames[at] = chosen;
  }
  return Buffer.concat(frames);
};

/** Keeps count of what a connection tells, and does something back now and then. */
class Watcher implements Http2ServerSink, Http2ClientSink {
  connection: Http2Connection | undefined = undefined;
  open = new Set<number>();
  closed = 0;
  trace = "";
  private readonly random: Random;
  constructor(random: Random) {
    this.random = random;
  }
  onOutput(): void {}
  onRequest(id: number, _head: RequestHead, end: boolean): void {
    assert.ok(!this.open.has(id), "a stream shown twice");
    this.open.add(id);
    this.told(end ? "R" : "r");
    this.act(id);
  }
  onResponse(id: number, _head: ResponseHead, end: boolean): void {
    assert.ok(this.open.has(id), "a response for no request");
    this.told(end ? "A" : "a");
  }
  onData(id: number, chunk: Buffer, end: boolean): void {
    assert.ok(this.open.has(id), "data for a stream that is over");
    this.told(end ? "D" : "d");
    this.connection?.consume(id, chunk.length);
    if (end) this.act(id);
  }
  onTrailers(id: number): void {
    assert.ok(this.open.has(id), "trailers for a stream that is over");
    this.told("t");
  }
  onWritable(id: number): void {
    assert.ok(this.open.has(id), "room for a stream that is over");
    this.told("w");
  }
  onReset(id: number, code: number, cause: ResetCause): void {
    assert.ok(this.open.has(id), "a reset of a stream that is over");
    this.told(`x${code}${cause[0]}`);
  }
  onStreamEnd(id: number): void {
    assert.ok(this.open.delete(id), "a stream that ends twice");
    this.told("o");
  }
  onSettings(): void {
    this.told("s");
  }
  onGoaway(): void {
    this.told("g");
  }
  onClosed(code: number, reason: string): void {
    this.closed++;
    this.told(`${h2ErrorName(code)} ${reason}`);
  }
  onRefused(_id: number, reason: string): void {
    this.told(`!${reason}`);
  }
  private told(what: string): void {
    assert.ok(this.closed <= 1, "told something after the end");
    if (this.trace.length < 60) this.trace += what;
  }
  private act(id: number): void {
    const { connection, random } = this;
    const choice = random();
    if (choice < 0.3) return;
    if (choice < 0.4) {
      connection?.reset(id, 8);
      return;
    }
    connection?.respond(id, { status: choice < 0.5 ? 404 : 200, headers: new HeaderList() }, choice < 0.6);
    connection?.data(id, body, choice < 0.8);
  }
}
const body = Buffer.alloc(3000, "b");

const feed = (connection: Http2Connection, watcher: Watcher, input: Buffer, random: Random): string => {
  watcher.connection = connection;
  connection.start();
  for (let at = 0; at < input.length; ) {
    const size = random() < 0.7 ? input.length : 1 + integer(60, random);
    const chunk = Buffer.from(input.subarray(at, at + size));
    connection.receive(chunk);
    chunk.fill(0xee);
    assert.ok(connection.outputBytes <= http2Limits.outputBytesMax + http2Limits.outputBytes, "too much output held");
    if (random() < 0.5) connection.takeOutput();
    at += size;
  }
  assert.ok(connection.openStreams <= http2Limits.concurrentStreams, "too many streams");
  connection.disconnected("end of input");
  assert.equal(connection.openStreams, 0, "streams left open");
  assert.equal(watcher.open.size, 0, "streams whose end was not told");
  assert.equal(watcher.closed, 1, "ended other than once");
  return watcher.trace;
};

const requestCorpus = [
  [settings, settingsAck, headersFrame(1, get), headersFrame(3, post, false), dataFrame(3, "body", true)],
  [settings, headersFrame(1, post, false), frame(FRAME.rstStream, 0, 1, "00000008"), dataFrame(1, "late")],
  [settings, frame(FRAME.headers, 0, 1, "82"), frame(FRAME.continuation, 4, 1, "868441096c6f63616c686f7374")],
  [settings, headersFrame(1, [...post, ["content-length", "4"]], false), dataFrame(1, "abc"), dataFrame(1, "d", true)],
  [settings, headersFrame(1, post, false), dataFrame(1, "x"), headersFrame(1, [["x-trailer", "1"]])],
  [settings, frame(FRAME.ping, 0, 0, "0102030405060708"), frame(FRAME.windowUpdate, 0, 0, "00000100")],
  [
    frame(FRAME.settings, 0, 0, "000400000001000300000064"),
    headersFrame(1, get),
    frame(FRAME.windowUpdate, 0, 1, "00000001"),
  ],
  [
    settings,
    frame(FRAME.goaway, 0, 0, "0000000000000000"),
    headersFrame(1, get),
    frame(FRAME.priority, 0, 3, "0000000510"),
  ],
  [settings, frame(FRAME.headers, 0x29, 3, "020000000005828684410161000"), frame(99, 0, 7, "aabb")],
].map((frames) => Buffer.concat(frames));

test("a server survives any run of frames", (t) => {
  const workspace = new Http2Workspace();
  const result = fuzz({
    seed: 2,
    inputs: inputs.server,
    corpus: requestCorpus,
    mutate: mutateFrames,
    run: (input, random) => {
      const watcher = new Watcher(random);
      const server = new Http2Connection({ role: "server", sink: watcher, nowMs: () => 0, workspace });
      return feed(server, watcher, Buffer.concat([preface, input]), random);
    },
  });
  report(t, result, inputs.server);
});

test("a client survives any run of frames", (t) => {
  const workspace = new Http2Workspace();
  const ok = [[":status", "200"]] as const;
  const head = (): RequestHead => ({
    ...{ method: "POST", scheme: "http", authority: "a.example", path: "/", protocol: "" },
    headers: new HeaderList(),
  });
  const result = fuzz({
    seed: 3,
    inputs: inputs.client,
    corpus: [
      [settings, headersFrame(1, ok), headersFrame(3, ok, false), dataFrame(3, "body", true)],
      [
        settings,
        headersFrame(1, [[":status", "103"]], false),
        headersFrame(1, ok, false),
        headersFrame(1, [["t", "1"]]),
      ],
      [settings, settingsAck, frame(FRAME.goaway, 0, 0, "0000000100000000"), headersFrame(1, ok)],
      [frame(FRAME.settings, 0, 0, "000400000001"), frame(FRAME.windowUpdate, 0, 1, "00000064"), headersFrame(1, ok)],
      [settings, headersFrame(3, ok, false), frame(FRAME.rstStream, 0, 3, "00000007"), dataFrame(3, "late")],
    ].map((frames) => Buffer.concat(frames)),
    mutate: mutateFrames,
    run: (input, random) => {
      const watcher = new Watcher(random);
      const client = new Http2Connection({ role: "client", sink: watcher, nowMs: () => 0, workspace });
      for (const end of [true, false, false]) watcher.open.add(client.request(head(), end));
      client.data(3, body, false);
      return feed(client, watcher, input, random);
    },
  });
  report(t, result, inputs.client);
});

test("any header block decodes within its bounds or is refused", (t) => {
  const memo = new FieldMemo();
  const result = fuzz({
    seed: 4,
    inputs: inputs.hpack,
    corpus: [
      "828684410f7777772e6578616d706c652e636f6d",
      "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
      "3fe11f82",
      "408825a849e95ba97d7f8925a849e95bb8e8b4bf",
      "10087061737377 6f726406736563726574".replace(" ", ""),
      "bebfc0be",
      "20823fe1ff0382",
    ].map((hex) => Buffer.from(hex, "hex")),
    mutate: anyBytes,
    run: (input) => {
      const decoder = new HpackDecoder(memo);
      const block = new FieldBlock(2000, 20);
      const half = input.length >> 1;
      const first = decoder.decode(input, 0, half, block);
      const second = first && decoder.decode(input, half, input.length, block);
      assert.ok(decoder.size <= 4096 && decoder.count <= 128, "a table beyond its size");
      assert.ok(block.count <= 20, "fields beyond their number");
      let bytes = 0;
      for (let i = 0; i < block.count; i++) bytes += block.fields[i]?.size ?? 0;
      assert.ok(bytes <= 2000, "fields beyond their size");
      return `${first}${second}${block.count}${block.overflowed}${decoder.count}`;
    },
  });
  report(t, result, inputs.hpack);
});

test("any gRPC body is messages or a refusal of the framing's own", (t) => {
  const result = fuzz({
    seed: 5,
    inputs: inputs.grpc,
    corpus: [
      encodeGrpcFrame(Buffer.from("hello")),
      encodeGrpcFrame(Buffer.alloc(0)),
      Buffer.from("AAAAAAVoZWxsbw=="),
      Buffer.concat([encodeGrpcFrame(body), encodeGrpcFrame(Buffer.from("x"), true)]),
    ],
    mutate: mutator(["\0\0\0\0\x05", "\x01\0\0\0\0", "\x80\0\0\0\x0f", "====", "AAAA"]),
    run: (input, random) => {
      const [decoder, counter, text] = [new GrpcFrameDecoder(4096), new GrpcMessageCounter(), new Base64Stream()];
      let [messages, refused, spoilt] = [0, false, false];
      for (let at = 0; at < input.length; ) {
        const size = 1 + integer(50, random);
        const chunk = input.subarray(at, at + size);
        counter.receive(chunk);
        spoilt ||= text.receive(chunk) === undefined;
        try {
          if (!refused)
            for (const { bytes } of decoder.receive(chunk)) assert.ok(bytes.length <= 4096 && ++messages > 0);
        } catch (error) {
          assert.ok(error instanceof GrpcFrameError, String(error));
          refused = true;
        }
        at += size;
      }
      assert.ok(refused || counter.count - messages <= 1, "counted otherwise than decoded");
      return `${messages}${refused}${spoilt}`;
    },
  });
  report(t, result, inputs.grpc);
});
