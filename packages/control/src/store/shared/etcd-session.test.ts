/** What is told of one revision is taken whole or not at all, wherever the way to etcd is cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { grpcStatus } from "@weft/core/grpc-status";
import type { GrpcChannel, GrpcStreamHandlers } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import type { EtcdKeyValue } from "@weft/protocols/etcd/messages";
import { encodeRangeAnswer, encodeWatchAnswer, readMessage } from "@weft/protocols/etcd/testing/server-messages";
import { type EtcdSession, isOtherHistory, watchShared } from "./etcd-session.ts";
import { createSharedMirror } from "./shared-mirror.ts";
import { createManualTime } from "./testing/manual-time.ts";

const record = (key: string, modRevision: number, value = "1"): EtcdKeyValue => ({
  ...{ key: Buffer.from(`/weft/${key}`), value: Buffer.from(value), modRevision, lease: 0n },
});
const answer = (revision: number, keys: readonly string[], fragment = false): Uint8Array =>
  encodeWatchAnswer({
    ...{ clusterId: "1", revision, created: false, canceled: false, compactRevision: 0, cancelReason: "", fragment },
    events: keys.map((key) => ({ kind: "put", record: record(key, revision), before: undefined })),
  });

/** A server that says what it is told to, and what it was asked for. */
const setUp = (unary: GrpcChannel["unary"] = () => Promise.reject(new Error("not asked"))) => {
  const asked: number[] = [];
  const streams: GrpcStreamHandlers[] = [];
  const channel: GrpcChannel = {
    open: (_call, handlers) => {
      streams.push(handlers);
      return {
        send: (message) => {
          const create = readMessage(message).get(1);
          if (create instanceof Uint8Array) asked.push(Number(readMessage(create).get(3)));
        },
        ...{ finish: () => {}, pause: () => {}, resume: () => {}, cancel: () => {} },
      };
    },
    unary,
    [Symbol.dispose]: () => {},
  };
  const { setTimer } = createManualTime();
  const session: EtcdSession = { channel, metadata: () => ({}), prefix: "/weft/", setTimer };
  return { asked, streams, session };
};

test("a watch that ends among the pieces of one revision is followed by one that begins with that revision", async () => {
  const { asked, streams, session } = setUp();
  const mirror = createSharedMirror({ clusterId: "1", revision: 4, records: [] });
  const told: string[][] = [];
  mirror.follow("g", (changes) => told.push(changes.map(({ key }) => key)));
  const pieces = [answer(5, ["g/a"], true), answer(5, ["g/b"], true), answer(5, ["g/c"])];
  for (let cutAfter = 0; cutAfter < pieces.length; cutAfter++) {
    const ended = watchShared(session, mirror);
    for (const piece of pieces.slice(0, cutAfter)) streams.at(-1)?.onMessage(piece);
    streams.at(-1)?.onEnd(undefined);
    await ended;
    assert.deepEqual([told, mirror.revision()], [[], 4]);
  }
  void watchShared(session, mirror);
  for (const piece of pieces) streams.at(-1)?.onMessage(piece);
  assert.deepEqual(asked, [5, 5, 5, 5]);
  assert.deepEqual([told, mirror.revision()], [[["g/a", "g/b", "g/c"]], 5]);
});

test("a history without the last record that is known is another one; one that is compacted says nothing", async () => {
  const known = { key: "g/a", value: "1", revision: 5 };
  const reading = (records: readonly EtcdKeyValue[]) =>
    setUp(async () => encodeRangeAnswer({ clusterId: "1", revision: 9, more: false, records })).session;
  const compacted = setUp(() => Promise.reject(new GrpcError(grpcStatus.outOfRange, "compacted"))).session;
  const away = setUp(() => Promise.reject(new GrpcError(grpcStatus.unavailable, "away"))).session;
  assert.equal(await isOtherHistory(reading([record("g/a", 5)]), known, 9), false);
  assert.equal(await isOtherHistory(reading([]), known, 9), true);
  assert.equal(await isOtherHistory(reading([record("g/a", 4)]), known, 9), true);
  assert.equal(await isOtherHistory(reading([record("g/a", 5, "2")]), known, 9), true);
  assert.equal(await isOtherHistory(compacted, known, 9), false);
  assert.equal(await isOtherHistory(away, undefined, 9), false);
  assert.equal(await isOtherHistory(away, known, 4), false);
  await assert.rejects(isOtherHistory(away, known, 9));
});
