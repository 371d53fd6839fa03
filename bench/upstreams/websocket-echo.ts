/** Accepts a WebSocket and sends every byte back, without looking at frames: what is measured is the proxy before it. */
import { createHash } from "node:crypto";
import { type AddressInfo, createServer } from "node:net";

const magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  let head = "";
  const onHead = (bytes: Buffer): void => {
    head += bytes.toString("latin1");
    if (!head.includes("\r\n\r\n")) return;
    socket.off("data", onHead);
    const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1];
    if (key === undefined) {
      socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    const accept = createHash("sha1")
      .update(key + magic)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
    );
    socket.on("data", (data) => socket.write(data));
  };
  socket.on("data", onHead);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`));
process.once("SIGTERM", () => process.exit(0));
