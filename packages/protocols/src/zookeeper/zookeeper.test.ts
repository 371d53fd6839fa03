import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { errorInWords } from "./error-codes.ts";
import { cuttingFrameReader, type Frame, frameReader } from "./frame-reader.ts";
import { cursorOf, frame, int, long, readTexts, text, ZookeeperFormatError } from "./jute.ts";
import { cutFrameBytes } from "./limits.ts";
import {
  type ConnectResponse,
  decodeBody,
  decodeConnectResponse,
  decodeEvent,
  decodeMessage,
  encodeConnect,
  encodeRequest,
  type NodeStat,
  opcodes,
  type ReplyBody,
  type ZookeeperRequest,
} from "./messages.ts";
import {
  decodeConnectRequest,
  decodeRequest,
  emptyStat,
  encodeConnectResponse,
  encodeEvent,
  encodeReply,
} from "./testing/server-side.ts";

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const bytes = fc.uint8Array({ maxLength: 64 }).map((value) => Buffer.from(value));
const path = fc.string({ unit: "binary", maxLength: 40 }).filter((value) => value.isWellFormed());
/** Records as object literals make them, to be compared with what a decoder makes. */
const plain = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const stat: fc.Arbitrary<NodeStat> = plain({
  ...{ czxid: int64, mzxid: int64, ctimeMs: int64, mtimeMs: int64, version: int32, childrenVersion: int32 },
  ...{ aclVersion: int32, ephemeralOwner: int64, dataBytes: int32, childCount: int32, pzxid: int64 },
});
const request: fc.Arbitrary<ZookeeperRequest> = fc.oneof(
  fc.constantFrom({ kind: "ping" } as const, { kind: "close" } as const),
  plain({ kind: fc.constant("auth" as const), scheme: path, login: path }),
  plain({ kind: fc.constantFrom("children", "data", "exists"), path, watch: fc.boolean() }),
  plain({ kind: fc.constant("add-watch" as const), path, recursive: fc.boolean() }),
  plain({ kind: fc.constant("create" as const), path, data: bytes, ephemeral: fc.boolean(), owned: fc.boolean() }),
  plain({ kind: fc.constant("set" as const), path, data: bytes }),
  plain({ kind: fc.constant("delete" as const), path }),
);
const body: fc.Arbitrary<ReplyBody> = fc.oneof(
  plain({ kind: fc.constant("children" as const), children: fc.array(path, { maxLength: 8 }), stat }),
  plain({ kind: fc.constant("data" as const), data: bytes, stat }),
  plain({ kind: fc.constantFrom("exists" as const, "set" as const), stat }),
  plain({ kind: fc.constant("create" as const), path }),
);

const bodyOf = (encoded: Buffer): Buffer => {
  const [only, more] = frameReader(1 << 20)(encoded);
  assert.ok(only !== undefined && more === undefined);
  return only;
};
const kindOf = (reply: ReplyBody) => (reply.kind === "nothing" ? "add-watch" : reply.kind);

test("every request and every answer reads back as it was written", () => {
  fc.assert(
    fc.property(int32, request, (xid, sent) => {
      assert.deepEqual(decodeRequest(bodyOf(encodeRequest(xid, sent))), { xid, request: sent });
    }),
  );
  fc.assert(
    fc.property(int32, int64, body, (xid, zxid, sent) => {
      const message = decodeMessage(bodyOf(encodeReply({ xid, zxid }, sent)));
      assert.deepEqual([message.xid, message.zxid, message.error], [xid, zxid, 0]);
      assert.deepEqual(decodeBody(kindOf(sent), message), sent);
    }),
  );
  const event = plain({ change: fc.constantFrom("created", "deleted", "data", "children", "other"), path });
  fc.assert(
    fc.property(event, (sent) => {
      assert.deepEqual(decodeEvent(decodeMessage(bodyOf(encodeEvent(sent as never)))), sent);
    }),
  );
});

test("both halves of the greeting read back as they were written", () => {
  const asked = plain({
    ...{ lastZxidSeen: int64, timeoutMs: int32, sessionId: int64, password: bytes, readOnly: fc.boolean() },
  });
  fc.assert(fc.property(asked, (sent) => assert.deepEqual(decodeConnectRequest(bodyOf(encodeConnect(sent))), sent)));
  const answered = plain({ timeoutMs: int32, sessionId: int64, password: bytes, readOnly: fc.boolean() });
  fc.assert(
    fc.property(answered, (sent: ConnectResponse) => {
      assert.deepEqual(decodeConnectResponse(bodyOf(encodeConnectResponse(sent))), sent);
    }),
  );
});

test("a server that does not say whether it is read-only is not", () => {
  const old = bodyOf(frame(int(0), int(4000), long(7n), int(16), Buffer.alloc(16)));
  assert.equal(decodeConnectResponse(old).readOnly, false);
});

test("frames are the same wherever the network cuts the bytes", () => {
  fc.assert(
    fc.property(fc.array(bytes, { minLength: 1, maxLength: 5 }), (sent) => {
      const stream = Buffer.concat(sent.map((one) => frame(one)));
      for (let cut = 0; cut <= stream.length; cut++) {
        const read = frameReader(64);
        const got = [stream.subarray(0, cut), stream.subarray(cut)].flatMap((part) => read(part));
        assert.deepEqual(got, sent, `cut at ${cut}`);
      }
      const read = frameReader(64);
      assert.deepEqual(
        Array.from(stream, (byte) => Buffer.from([byte])).flatMap((part) => read(part)),
        sent,
      );
    }),
    { numRuns: 40 },
  );
});

test("a frame stays what it was when the buffer it came in is used again", () => {
  const buffer = frame(Buffer.from("held"));
  const [got] = frameReader(64)(buffer);
  buffer.fill(0);
  assert.equal(got?.toString(), "held");
});

test("a frame may be as long as the bound and no longer, and a length is never negative", () => {
  assert.equal(frameReader(8)(frame(Buffer.alloc(8))).length, 1);
  assert.throws(() => frameReader(8)(int(9)), {
    name: "ZookeeperFormatError",
    message: /9 bytes is over the bound of 8/,
  });
  assert.throws(() => frameReader(8)(int(-1)), { name: "ZookeeperFormatError", message: /length is -1/ });
  assert.throws(() => frameReader(8)(int(2 ** 31 - 1)), ZookeeperFormatError);
});

test("of a frame over the bound its head is given, wherever it is cut, and those around it are whole", () => {
  const parts = [8, 20, 0, 200, 21, 3].map((length, at) => Buffer.alloc(length, at + 1));
  const stream = Buffer.concat(parts.map((one) => frame(one)));
  const wanted: readonly Frame[] = parts.map((one) => ({
    bytes: one.length > 20 ? one.subarray(0, cutFrameBytes) : one,
    length: one.length,
  }));
  for (let cut = 0; cut <= stream.length; cut++) {
    const read = cuttingFrameReader(20, 200);
    assert.deepEqual([stream.subarray(0, cut), stream.subarray(cut)].flatMap(read), wanted, `cut at ${cut}`);
  }
  assert.throws(() => cuttingFrameReader(20, 200)(int(201)), { message: /201 bytes is over the bound of 200/ });
  assert.throws(() => cuttingFrameReader(20, 200)(int(-1)), { message: /length is -1/ });
});

test("a stream that broke is not taken up again", () => {
  const read = frameReader(8);
  assert.throws(() => read(int(-5)));
  assert.throws(() => read(frame(Buffer.alloc(1))), /broke earlier/);
});

test("an answer that is cut short or goes on behind its end is a typed error, at every length", () => {
  fc.assert(
    fc.property(body, fc.uint8Array({ minLength: 1, maxLength: 4 }), (sent, more) => {
      const whole = bodyOf(encodeReply({ xid: 1, zxid: 1n }, sent));
      const decode = (one: Buffer): ReplyBody => decodeBody(kindOf(sent), decodeMessage(one));
      for (let length = 0; length < whole.length; length++) {
        assert.throws(() => decode(whole.subarray(0, length)), ZookeeperFormatError, `${length} of ${whole.length}`);
      }
      assert.throws(() => decode(Buffer.concat([whole, more])), ZookeeperFormatError);
    }),
  );
});

test("whatever bytes come, they are a message or a typed error", () => {
  const kinds = Object.keys(opcodes) as (keyof typeof opcodes)[];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(...kinds), (noise, kind) => {
      for (const decode of [
        () => decodeBody(kind, decodeMessage(Buffer.from(noise))),
        () => decodeEvent(decodeMessage(Buffer.from(noise))),
        () => decodeConnectResponse(Buffer.from(noise)),
      ]) {
        try {
          decode();
        } catch (error) {
          assert.ok(error instanceof ZookeeperFormatError, String(error));
        }
      }
    }),
    { numRuns: 500 },
  );
});

test("a list that claims more entries than it has bytes is refused before any is read", () => {
  assert.throws(() => readTexts(cursorOf(int(1_000_000_000))), /1000000000 entries in 0 bytes/);
  assert.throws(() => readTexts(cursorOf(int(-2))), ZookeeperFormatError);
  assert.deepEqual(readTexts(cursorOf(int(-1))), []);
});

test("a text that is not UTF-8 is refused", () => {
  const bad = Buffer.concat([int(1), int(2), Buffer.from([0xc3, 0x28])]);
  assert.throws(() => readTexts(cursorOf(bad)), /not UTF-8/);
});

test("an answer with an error has no body, and one with a body besides is refused", () => {
  const error = { xid: 3, zxid: 9n, error: -101 };
  assert.deepEqual(decodeBody("data", decodeMessage(bodyOf(encodeReply(error)))), { kind: "nothing" });
  const both = bodyOf(encodeReply(error, { kind: "exists", stat: emptyStat }));
  assert.throws(() => decodeBody("data", decodeMessage(both)), ZookeeperFormatError);
});

test("what a watch added answers with is read with and without its error", () => {
  for (const parts of [[], [int(0)]]) {
    const answer = bodyOf(frame(int(1), long(1n), int(0), ...parts));
    assert.deepEqual(decodeBody("add-watch", decodeMessage(answer)), { kind: "nothing" });
  }
});

test("a kind of change that is not known is an event of no kind", () => {
  const later = bodyOf(frame(int(-1), long(-1n), int(0), int(42), int(3), text("/a")));
  assert.deepEqual(decodeEvent(decodeMessage(later)), { change: "other", path: "/a" });
});

test("an error is said in words where it is known, and by its number elsewhere", () => {
  assert.match(errorInWords(-101), /no such node/);
  assert.match(errorInWords(-9999), /-9999/);
});
