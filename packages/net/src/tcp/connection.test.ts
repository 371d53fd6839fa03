import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { listenTcp } from "./accept.ts";
import { connectTcp } from "./connect.ts";
import type { Connection, ConnectionHandler } from "./connection.ts";
import { SocketLoop } from "./socket-loop.ts";

const handler = (part: Partial<ConnectionHandler>): ConnectionHandler => ({
  onRead() {},
  onPeerEnd() {},
  onDrain() {},
  onClose() {},
  ...part,
});

const loopback = { host: "127.0.0.1", port: 0 };

for (const useReadBuffer of [true, false]) {
  const how = useReadBuffer ? "one read buffer" : "'data' events";

  test(`bytes come back through an echo, also many of them and after the client ended, with ${how}`, async () => {
    const loop = new SocketLoop({ useReadBuffer });
    const server = listenTcp({ loop, address: loopback }, (connection) => {
      connection.handler = handler({
        onRead: (bytes) => {
          connection.write(bytes);
          if (connection.congested) connection.pause();
        },
        onDrain: () => connection.resume(),
        onPeerEnd: () => connection.end(),
      });
    });
    const at = await server.bound;
    const total = 8 * 1024 * 1024;
    let received = 0;
    let sum = 0;
    await new Promise<void>((resolve) => {
      const client: Connection = connectTcp(loop, { kind: "ip", ...at }, {}, () => {
        const block = Buffer.alloc(total, 7);
        client.write(block);
        client.end();
      });
      client.handler = handler({
        onRead: (bytes) => {
          received += bytes.length;
          for (let i = 0; i < bytes.length; i += 1024) sum += bytes[i] === 7 ? 0 : 1;
        },
        onPeerEnd: () => client.end(),
        onClose: () => resolve(),
      });
    });
    assert.equal(received, total);
    assert.equal(sum, 0);
    server.close();
  });

  test(`a connection refused ends in onClose with its error and without onConnected, with ${how}`, async () => {
    const loop = new SocketLoop({ useReadBuffer });
    const server = listenTcp({ loop, address: loopback }, () => {});
    const at = await server.bound;
    server.close();
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      const client = connectTcp(loop, { kind: "ip", ...at }, {}, () => assert.fail("connected"));
      client.handler = handler({ onClose: resolve });
    });
    assert.equal(error?.code, "ECONNREFUSED");
  });

  test(`a reset of the peer is told as an error, with ${how}`, async () => {
    const loop = new SocketLoop({ useReadBuffer });
    let closed: (error: NodeJS.ErrnoException | undefined) => void = () => {};
    const outcome = new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      closed = resolve;
    });
    const server = listenTcp({ loop, address: loopback }, (connection) => {
      connection.handler = handler({ onRead: () => {}, onClose: closed });
    });
    const at = await server.bound;
    const client = connect(at);
    await once(client, "connect");
    client.write("x", () => client.resetAndDestroy());
    assert.equal((await outcome)?.code, "ECONNRESET");
    server.close();
  });

  test(`a reader that stands still makes the writer congested and gets everything later, with ${how}`, async () => {
    const loop = new SocketLoop({ useReadBuffer });
    const total = 32 * 1024 * 1024;
    const block = Buffer.alloc(64 * 1024, 1);
    let sent = 0;
    let drains = 0;
    const server = listenTcp({ loop, address: loopback }, (connection) => {
      const fill = (): void => {
        while (sent < total && !connection.congested) {
          connection.write(block);
          connection.flush();
          sent += block.length;
        }
        if (sent >= total) connection.end();
      };
      connection.handler = handler({
        onDrain: () => {
          drains++;
          fill();
        },
      });
      fill();
    });
    const at = await server.bound;
    const client = connect(at);
    await once(client, "connect");
    let received = 0;
    client.on("data", (bytes) => {
      received += bytes.length;
    });
    await once(client, "close");
    assert.equal(received, total);
    assert.ok(drains > 0);
    server.close();
  });
}

test("a port in use is a coded error that says what to do", async () => {
  const loop = new SocketLoop();
  const first = listenTcp({ loop, address: loopback }, () => {});
  const at = await first.bound;
  const second = listenTcp({ loop, address: at }, () => {});
  await assert.rejects(second.bound, { code: "WF5001" });
  first.close();
});

test("an address of another machine is a coded error", async () => {
  const server = listenTcp({ loop: new SocketLoop(), address: { host: "192.0.2.1", port: 0 } }, () => {});
  await assert.rejects(server.bound, { code: "WF5002" });
});

for (const bound of [16 * 1024, 256 * 1024]) {
  test(`a connection is congested when more than ${bound} bytes wait, where that is its bound`, async () => {
    const loop = new SocketLoop();
    const block = Buffer.alloc(8 * 1024, 1);
    const waiting = Promise.withResolvers<number>();
    const server = listenTcp({ loop, address: loopback }, (connection) => {
      connection.handler = handler({});
      connection.congestedAt = bound;
      for (let sent = 0; !connection.congested && sent < 64 * 1024 * 1024; sent += block.length) {
        connection.write(block);
        connection.flush();
      }
      waiting.resolve(connection.queuedBytes);
      connection.destroy();
    });
    const at = await server.bound;
    const client = connect(at);
    client.on("error", () => {});
    client.pause();
    const queued = await waiting.promise;
    assert.ok(queued > bound && queued <= bound + 2 * block.length, String(queued));
    client.destroy();
    server.close();
  });
}
