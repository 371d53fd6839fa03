/** `stalled.ts H:P PATH COUNT`: clients that ask for a large answer and read one byte a second of it; prints `stalled N`. */
import { connect } from "node:net";

const [address = "", path = "/", count = "1"] = process.argv.slice(2);
const [host = "", port = ""] = address.split(":");
const readEveryMs = 1_000;

const open = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) }, () =>
      socket.write(`GET ${path} HTTP/1.1\r\nhost: bench\r\n\r\n`),
    );
    socket.once("readable", () => resolve());
    socket.once("error", reject);
    setInterval(() => socket.read(1), readEveryMs);
  });

await Promise.all(Array.from({ length: Number(count) }, open));
process.stdout.write(`stalled ${count}\n`);
