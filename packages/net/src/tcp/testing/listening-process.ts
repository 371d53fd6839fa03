/**
 * For tests: a process that listens and says its name to who connects. `first PATH PORT` offers its socket at PATH;
 * `second PATH` takes it. Its lines on standard output tell what it does.
 */
import { realClock, setRealTimer } from "../../clock.ts";
import { listenTcp, type TcpListener } from "../accept.ts";
import { duplicateDescriptor } from "../libc.ts";
import { offerSockets } from "../offer-sockets.ts";
import { SocketLoop } from "../socket-loop.ts";
import { takeSockets } from "../take-sockets.ts";

const [role = "", path = ""] = process.argv.slice(2);
const loop = new SocketLoop();
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const address = { host: "127.0.0.1", port: 0 };

const listen = (descriptor: number | undefined): TcpListener =>
  listenTcp({ loop, address, descriptor }, (connection) => {
    connection.handler = { onRead() {}, onPeerEnd: () => connection.end(), onDrain() {}, onClose() {} };
    connection.write(Buffer.from(role));
    connection.end();
  });

if (role === "first") {
  const listener = listen(undefined);
  const { port } = await listener.bound;
  await offerSockets(path, {
    sockets: async () => [{ name: "web", descriptor: duplicateDescriptor(listener.descriptors[0] ?? -1) ?? -1 }],
    readyMs: 60_000,
    nowMs: realClock.nowMs,
    setTimer: setRealTimer,
    onTaken: () => {
      listener.close();
      say("taken");
    },
    onRefused: (reason) => say(`refused ${reason}`),
  });
  say(`listening ${port}`);
} else {
  using taken = await takeSockets(path);
  say(`got ${taken.names().join(",")}`);
  await listen(taken.claim("web")).bound;
  await taken.confirm();
  say("accepting");
}
