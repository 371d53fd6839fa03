import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { type DialHandler, dialTcp } from "./dial.ts";

const listen = async (onSocket: (socket: Socket) => void): Promise<{ server: Server; port: number }> => {
  const server = createServer(onSocket).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
};
const silent: DialHandler = {
  onConnected: () => {},
  onRead: () => assert.fail("heard of bytes"),
  onClose: () => assert.fail("heard of the end"),
};

test("bytes go both ways, and the peer's end is told once with a reason", async () => {
  const { server, port } = await listen((socket) => socket.once("data", (bytes) => socket.end(bytes)));
  const heard: string[] = [];
  await new Promise<void>((resolve) => {
    const dialed = dialTcp(
      { host: "127.0.0.1", port },
      {
        onConnected: () => dialed.write(Buffer.from("echo")),
        onRead: (bytes) => void heard.push(bytes.toString()),
        onClose: (reason) => {
          heard.push(reason);
          resolve();
        },
      },
    );
  });
  assert.deepEqual(heard, ["echo", "the peer closed the connection"]);
  server.close();
});

test("a connection refused ends with its reason and never stood", async () => {
  const { server, port } = await listen(() => {});
  server.close();
  await once(server, "close");
  const reason = await new Promise<string>((resolve) => {
    const onConnected = (): void => assert.fail("connected");
    dialTcp({ host: "127.0.0.1", port }, { ...silent, onConnected, onClose: resolve });
  });
  assert.match(reason, /ECONNREFUSED/);
});

test("nothing is heard after our own close, not even of bytes on their way", async () => {
  const { server, port } = await listen((socket) => {
    socket.on("error", () => {}).resume();
    socket.write("late");
  });
  const accepted = once(server, "connection");
  const dialed = dialTcp({ host: "127.0.0.1", port }, { ...silent, onConnected: () => dialed.close() });
  const [socket] = (await accepted) as [Socket];
  // It ends with a reset or without one.
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  server.close();
});

test("what was written before the finish arrives", async () => {
  const { server, port } = await listen(() => {});
  const accepted = once(server, "connection");
  const dialed = dialTcp(
    { host: "127.0.0.1", port },
    {
      ...silent,
      onConnected: () => {
        dialed.write(Buffer.alloc(300_000, 1));
        dialed.finish();
      },
    },
  );
  const [socket] = (await accepted) as [Socket];
  let received = 0;
  socket.on("data", (bytes) => {
    received += bytes.length;
  });
  await once(socket, "close");
  assert.equal(received, 300_000);
  server.close();
});
