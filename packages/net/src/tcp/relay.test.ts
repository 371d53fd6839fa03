import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { listenTcp } from "./accept.ts";
import { connectTcp } from "./connect.ts";
import type { Connection, ConnectionHandler } from "./connection.ts";
import { gatherBytes, ownReadBuffersMax } from "./limits.ts";
import { SocketLoop } from "./socket-loop.ts";

const loopback = { host: "127.0.0.1", port: 0 };
const mebibyte = 1024 * 1024;

/** Bytes that say where they belong. */
const pattern = (bytes: number): Buffer => {
  const block = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 4) block.writeUInt32LE(at, at);
  return block;
};
const block = pattern(8 * mebibyte);

/** What each side reads goes to the other, which is asked whether it can take more; `most` is what ever waited. */
const relay = (loop: SocketLoop, from: Connection, to: Connection, note: (queued: number) => void): void => {
  const side = (own: Connection, other: Connection): ConnectionHandler => ({
    onRead: (bytes) => {
      other.write(bytes);
      if (other.congested) own.pause();
      note(other.queuedBytes);
    },
    onPeerEnd: () => other.end(),
    onDrain: () => other.resume(),
    onClose: () => other.destroy(),
  });
  assert.equal(from.loop, loop);
  from.handler = side(from, to);
  to.handler = side(to, from);
};

interface Line {
  readonly loop: SocketLoop;
  readonly reader: Socket;
  /** Where the bytes come from. */
  readonly writer: Socket;
  readonly queuedMost: () => number;
  /** What waits for the reader. */
  readonly queuedNow: () => number;
  close(): Promise<void>;
}

/** A writer, a relay and a reader that stands still. */
const openLine = async (loop: SocketLoop): Promise<Line> => {
  const accepted = Promise.withResolvers<Socket>();
  const source = createServer((socket) => accepted.resolve(socket)).listen(0, "127.0.0.1");
  await once(source, "listening");
  const at = source.address();
  assert.ok(at !== null && typeof at === "object");
  let most = 0;
  let queued = (): number => 0;
  const gone = Promise.withResolvers<unknown>();
  const front = listenTcp({ loop, address: loopback }, (client) => {
    const upstream = connectTcp(loop, { kind: "ip", host: "127.0.0.1", port: at.port }, {}, () => {});
    relay(loop, client, upstream, (waiting) => {
      most = Math.max(most, waiting);
    });
    queued = () => client.queuedBytes;
    const closed = [client, upstream].map(({ socket }) => once(socket, "close"));
    gone.resolve(Promise.allSettled(closed));
  });
  const reader = connect(await front.bound);
  reader.on("error", () => {});
  reader.pause();
  const writer = await accepted.promise;
  writer.on("error", () => {});
  return {
    loop,
    reader,
    writer,
    queuedMost: () => most,
    queuedNow: () => queued(),
    close: async () => {
      reader.destroy();
      writer.destroy();
      await gone.promise;
      front.close();
      source.close();
      await once(source, "close");
    },
  };
};

/** Takes every read buffer there may be: how many there are says whether some were kept. */
const readBuffersLeft = (loop: SocketLoop): number => {
  let count = 0;
  while (loop.takeReadBuffer() !== undefined) count++;
  return count;
};

for (const direct of [true, false]) {
  const how = direct ? "own read buffers" : "one read buffer and streams";

  test(`a stalled reader gets every byte in its place when it reads again, with ${how}`, async () => {
    const line = await openLine(new SocketLoop({ directWrites: direct }));
    const total = 4 * block.length;
    for (let sent = 0; sent < total; sent += block.length) line.writer.write(block);
    line.writer.end();
    let received = 0;
    let wrong = 0;
    let stalls = 0;
    line.reader.on("data", (bytes: Buffer) => {
      for (let at = (4 - (received % 4)) % 4; at + 4 <= bytes.length; at += 4096) {
        if (bytes.readUInt32LE(at) !== (received + at) % block.length) wrong++;
      }
      received += bytes.length;
      if (received < (stalls + 1) * 4 * mebibyte) return;
      stalls++;
      line.reader.pause();
      setImmediate(() => line.reader.resume());
    });
    line.reader.resume();
    await once(line.reader, "end");
    assert.deepEqual({ received, wrong }, { received: total, wrong: 0 });
    assert.ok(stalls > 4);
    assert.ok(line.queuedMost() <= 64 * 1024 + 256 * 1024, `${line.queuedMost()} bytes waited`);
    await line.close();
    assert.equal(readBuffersLeft(line.loop), ownReadBuffersMax);
  });

  test(`a reader that leaves in the middle of a write leaves no read buffer behind, with ${how}`, async () => {
    const line = await openLine(new SocketLoop({ directWrites: direct }));
    const closed = new Promise((resolve) => line.writer.once("close", resolve));
    for (let i = 0; i < 4; i++) line.writer.write(block);
    line.reader.once("data", () => line.reader.resetAndDestroy());
    line.reader.resume();
    await closed;
    await line.close();
    assert.equal(readBuffersLeft(line.loop), ownReadBuffersMax);
  });
}

test("connections beyond the read buffers there may be get every byte too", async () => {
  const loop = new SocketLoop();
  assert.equal(readBuffersLeft(loop), ownReadBuffersMax);
  const line = await openLine(loop);
  line.writer.end(block);
  const parts: Buffer[] = [];
  line.reader.on("data", (bytes: Buffer) => parts.push(bytes));
  line.reader.resume();
  await once(line.reader, "end");
  assert.ok(Buffer.concat(parts).equals(block));
  await line.close();
});

test("a reader that stands still keeps no gather pieces but those of what is left of a write", async () => {
  const loop = new SocketLoop();
  assert.equal(readBuffersLeft(loop), ownReadBuffersMax);
  let out = 0;
  const [take, give] = [loop.takeGather.bind(loop), loop.giveGather.bind(loop)];
  loop.takeGather = () => {
    out++;
    return take();
  };
  loop.giveGather = (piece) => {
    out--;
    give(piece);
  };
  const line = await openLine(loop);
  // More than both kernels take.
  for (let i = 0; i < 8; i++) line.writer.write(block);
  let last = -1;
  while (out === 0 || last !== line.writer.bytesWritten - line.writer.writableLength) {
    last = line.writer.bytesWritten - line.writer.writableLength;
    for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate);
  }
  assert.ok(out > 0 && out * gatherBytes <= 192 * 1024, `${out} pieces are held`);
  assert.ok((out - 2) * gatherBytes <= line.queuedNow(), `${out} pieces for ${line.queuedNow()} bytes`);
  await line.close();
});
