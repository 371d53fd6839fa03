import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { createGrpcChannel } from "./client.ts";
import { frameMessage } from "./message-reader.ts";
import { openGrpcServer } from "./server.ts";

const mib = 1024 * 1024;

test("a message far over 4 MiB goes from our server to our client whole, and one over its limit ends the call", async () => {
  const server = await openGrpcServer({
    address: { host: "127.0.0.1", port: 0 },
    handlers: new Map([
      [
        "/t.T/Large",
        {
          kind: "bidi",
          open: (call) => ({
            message: (bytes) => void call.send(frameMessage(Buffer.alloc(Buffer.from(bytes).readUInt32BE(0), 7))),
            drained() {},
            halfClosed() {},
            closed() {},
          }),
        },
      ],
    ]),
    log: silentLogger,
    random: () => 0.5,
  });
  const { port } = server.address;
  using channel = createGrpcChannel({ target: { kind: "tcp", host: "127.0.0.1", port } });
  const ask = (size: number): Promise<number | undefined> =>
    new Promise((resolve) => {
      const stream = channel.open(
        { path: "/t.T/Large" },
        { onMessage: (bytes) => resolve(bytes.length), onEnd: (error) => resolve(error && -error.status) },
      );
      const question = Buffer.alloc(4);
      question.writeUInt32BE(size);
      stream.send(question);
    });
  assert.equal(await ask(20 * mib), 20 * mib);
  assert.equal(await ask(65 * mib), -8);
  assert.equal(await ask(1), 1);
  await server.close(100);
});
