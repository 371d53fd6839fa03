/** `ping-pong.ts websocket|grpc H:P CONNECTIONS STREAMS SECONDS`: one message of 64 bytes in flight on every stream. */
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { performance } from "node:perf_hooks";

const [kind, address = "", connections = "1", streams = "1", seconds = "1"] = process.argv.slice(2);
const [host = "", port = ""] = address.split(":");
const messageBytes = 64;
const times: number[] = [];
let failed = 0;
let stopping = false;

/** Sends, and again when as many bytes have come back. */
const pingPong = (send: () => void): ((received: number) => void) => {
  let waiting = messageBytes;
  let sentAt = performance.now();
  send();
  return (received) => {
    waiting -= received;
    if (waiting > 0) return;
    const now = performance.now();
    times.push(now - sentAt);
    if (stopping) return;
    waiting = messageBytes;
    sentAt = now;
    send();
  };
};

const openWebSocket = (): void => {
  // A masked binary frame, as clients send them.
  const frame = Buffer.alloc(messageBytes, 7);
  frame.set([0x82, 0x80 | (messageBytes - 6), 1, 2, 3, 4]);
  const socket = connect({ host, port: Number(port), noDelay: true }, () =>
    socket.write(
      "GET / HTTP/1.1\r\nhost: bench\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ),
  );
  socket.once("data", (head) => {
    if (!head.toString("latin1").startsWith("HTTP/1.1 101")) failed++;
    const received = pingPong(() => socket.write(frame));
    socket.on("data", ({ length }) => received(length));
  });
  socket.on("error", () => failed++);
};

const openGrpc = (): void => {
  const message = Buffer.alloc(messageBytes, 7);
  message.set([0, 0, 0, 0, messageBytes - 5]);
  const session = connectHttp2(`http://${address}`);
  session.on("error", () => failed++);
  for (let i = 0; i < Number(streams); i++) {
    const stream = session.request(
      { ":method": "POST", ":path": "/bench.Echo/Talk", "content-type": "application/grpc", te: "trailers" },
      { endStream: false },
    );
    stream.on("response", (head) => {
      if (head[":status"] !== 200) failed++;
    });
    stream.on("error", () => failed++);
    const received = pingPong(() => stream.write(message));
    stream.on("data", ({ length }: Buffer) => received(length));
  }
};

for (let i = 0; i < Number(connections); i++) (kind === "grpc" ? openGrpc : openWebSocket)();
const startedAt = performance.now();
setTimeout(() => {
  stopping = true;
  const took = (performance.now() - startedAt) / 1000;
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? 0;
  const result = { requests: times.length, failed, seconds: took, p50Ms: at(0.5), p99Ms: at(0.99) };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}, Number(seconds) * 1000);
