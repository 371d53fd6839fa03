/** An upstream that answers with bytes, right or wrong, as the path names them. */
import { type AddressInfo, createServer, type Socket } from "node:net";

export interface RudeUpstream extends AsyncDisposable {
  readonly port: number;
}

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

interface Manner {
  readonly bytes: string;
  readonly finally?: "end" | "reset";
}

/** By the first part of the path; all else is answered well. */
const manners: ReadonlyMap<string, Manner> = new Map<string, Manner>([
  ["silent", { bytes: "" }],
  ["hangup", { bytes: "", finally: "end" }],
  ["reset", { bytes: "", finally: "reset" }],
  ["cut", { bytes: "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes.", finally: "end" }],
  ["cutchunk", { bytes: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nten bytes.\r\n", finally: "end" }],
  ["cuthead", { bytes: "HTTP/1.1 200 OK\r\ncontent-le", finally: "end" }],
  ["stall", { bytes: "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes." }],
  ["garbage", { bytes: "this is not HTTP\r\n\r\n" }],
  ["badchunk", { bytes: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" }],
  ["badlength", { bytes: "HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok" }],
  ["twolengths", { bytes: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok" }],
  ["bighead", { bytes: `HTTP/1.1 200 OK\r\nx-big: ${"a".repeat(70_000)}\r\ncontent-length: 2\r\n\r\nok` }],
  ["toend", { bytes: "HTTP/1.1 200 OK\r\n\r\nall until the end", finally: "end" }],
  ["http10", { bytes: "HTTP/1.0 200 OK\r\n\r\nold", finally: "end" }],
  ["hints", { bytes: `HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n${ok}` }],
  ["processing", { bytes: `HTTP/1.1 102 Processing\r\n\r\n${ok}` }],
  ["continue", { bytes: `HTTP/1.1 100 Continue\r\n\r\n${ok}` }],
  ["twohints", { bytes: `${"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(2)}${ok}` }],
  ["switch", { bytes: "HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n" }],
  ["refuses", { bytes: "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno" }],
  ["nocontent", { bytes: "HTTP/1.1 204 No Content\r\n\r\n" }],
  ["early", { bytes: "HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig" }],
  ["status", { bytes: "HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\nok" }],
]);

const tunnel = (socket: Socket, head: string): void => {
  const websocket = /^upgrade: *(.*)$/im.exec(head)?.[1];
  socket.write(
    websocket === undefined
      ? "HTTP/1.1 200 OK\r\n\r\n"
      : `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${websocket}\r\n\r\n`,
  );
  socket.on("data", (bytes: Buffer) => socket.write(`echo ${bytes.toString("latin1")}`));
  socket.on("end", () => socket.end("bye"));
};

const serve = (socket: Socket): void => {
  let text = "";
  socket.on("error", () => {});
  const read = (bytes: Buffer): void => {
    text += bytes.toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = text.slice(0, end);
    text = "";
    const [method = "", target = ""] = head.split(" ");
    const verb = target.split("/")[1]?.split("?")[0] ?? "";
    const manner = manners.get(verb);
    if (manner === undefined && (method === "CONNECT" || /^upgrade:/im.test(head))) {
      socket.off("data", read);
      tunnel(socket, head);
      return;
    }
    const { bytes: said, finally: last }: Manner = manner ?? { bytes: ok };
    if (said !== "") socket.write(said, "latin1");
    if (last === "end") socket.end();
    if (last === "reset") socket.resetAndDestroy();
  };
  socket.on("data", read);
};

export const startRudeUpstream = async (): Promise<RudeUpstream> => {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
