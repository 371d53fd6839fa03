import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { connectTcp } from "./connect.ts";
import type { Connection } from "./connection.ts";
import { SocketLoop } from "./socket-loop.ts";
import { openTransparent, socketAddressOf, type TransparentSource } from "./transparent-source.ts";

/** Asking for a foreign source takes a right that not every machine gives its tests. */
const mayBeOthers = ((): boolean => {
  const fd = openTransparent({ host: "192.0.2.1", mark: 0 });
  return typeof fd === "number";
})();

interface Called {
  readonly connection: Connection;
  readonly text: Promise<string>;
  readonly closed: Promise<NodeJS.ErrnoException | undefined>;
}
const call = (port: number, host: string, transparentSource: TransparentSource, useReadBuffer = true): Called => {
  const closed = Promise.withResolvers<NodeJS.ErrnoException | undefined>();
  const text = Promise.withResolvers<string>();
  let got = "";
  const connection = connectTcp(
    new SocketLoop({ useReadBuffer }),
    { kind: "ip", host, port },
    { transparentSource },
    () => {
      connection.write(Buffer.from("hello"));
      connection.end();
    },
  );
  connection.handler = {
    onRead: (bytes) => {
      got += bytes.toString();
    },
    onPeerEnd: () => text.resolve(got),
    onDrain() {},
    onClose: (error) => closed.resolve(error),
  };
  return { connection, text: text.promise, closed: closed.promise };
};

/** Says who calls, and what it said. */
const startServer = async (host: string) => {
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    let said = "";
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      said += bytes.toString();
    });
    socket.on("end", () => socket.end(`${socket.remoteAddress} ${said}`));
  }).listen(0, host);
  await once(server, "listening");
  const at = server.address();
  return { server, port: at !== null && typeof at === "object" ? at.port : 0 };
};

for (const useReadBuffer of [true, false]) {
  test(`a connection comes from the address it is told, read by ${useReadBuffer ? "buffer" : "events"}`, {
    skip: !mayBeOthers,
  }, async () => {
    const { server, port } = await startServer("127.0.0.1");
    for (const host of ["127.9.8.7", "127.0.0.1"]) {
      const { text, closed } = call(port, "127.0.0.1", { host, mark: 77 }, useReadBuffer);
      assert.equal(await text, `${host} hello`);
      assert.equal(await closed, undefined);
    }
    server.close();
  });
}

test("a refused connection, and a source of the other family, end with their reason", {
  skip: !mayBeOthers,
}, async () => {
  const { server, port } = await startServer("127.0.0.1");
  server.close();
  await once(server, "close");
  assert.equal((await call(port, "127.0.0.1", { host: "127.9.8.7", mark: 0 }).closed)?.code, "ECONNREFUSED");
  const other = await call(port, "127.0.0.1", { host: "2001:db8::1", mark: 0 }).closed;
  assert.ok(other?.code !== undefined, String(other));
});

test("what is no address is an error, not a connection from elsewhere", async () => {
  const { closed } = call(1, "127.0.0.1", { host: "pipe", mark: 0 });
  assert.equal((await closed)?.code, "EINVAL");
});

test("addresses are written as the kernel reads them", () => {
  assert.equal(socketAddressOf("1.2.3.4")?.toString("hex"), "02000000010203040000000000000000");
  assert.equal(socketAddressOf("::1")?.toString("hex"), `0a00${"00".repeat(21)}01${"00".repeat(4)}`);
  assert.equal(socketAddressOf("a.example"), undefined);
});
