/** `idle.ts H:P COUNT`: opens keep-alive connections, one answered request on each; prints `open N` and holds them. */
import { connect, type Socket } from "node:net";

const [address = "", count = "1"] = process.argv.slice(2);
const [host = "", port = ""] = address.split(":");
const atOnce = 64;
const sockets: Socket[] = [];

const open = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) }, () =>
      socket.write("GET /items HTTP/1.1\r\nhost: bench\r\n\r\n"),
    );
    socket.once("data", () => resolve());
    socket.once("error", reject);
    sockets.push(socket);
  });

while (sockets.length < Number(count)) {
  await Promise.all(Array.from({ length: Math.min(atOnce, Number(count) - sockets.length) }, open));
}
process.stdout.write(`open ${sockets.length}\n`);
