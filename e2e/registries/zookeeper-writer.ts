/** A client of ZooKeeper that registers things, for tests: one request at a time, and no pings, so its session ends. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { frameReader } from "@weft/protocols/zookeeper/frame-reader";
import { buffer, frame, int, text } from "@weft/protocols/zookeeper/jute";
import { decodeConnectResponse, decodeMessage, encodeConnect } from "@weft/protocols/zookeeper/messages";

export interface ZookeeperWriter extends Disposable {
  /** Makes the nodes above it too, for good. */
  create(path: string, data: string | Buffer, ephemeral?: boolean): Promise<void>;
  set(path: string, data: string | Buffer): Promise<void>;
  delete(path: string): Promise<void>;
  /** Lets nobody but that user read the node: `USER:BASE64(SHA1(USER:PASSWORD))`. */
  restrict(path: string, digest: string): Promise<void>;
  /** Keeps the session. */
  ping(): Promise<void>;
  /** Breaks the connection; the session lives on to its time-out. */
  breakOff(): void;
}

const opcodes = { create: 1, delete: 2, setData: 5, setAcl: 7, ping: 11 } as const;
const nodeExists = -110;
const greetingMs = 2_000;
const allRights = 31;
const anyVersion = int(-1);
const acl = (scheme: string, id: string): Buffer => Buffer.concat([int(1), int(allRights), text(scheme), text(id)]);

export const connectWriter = async (port: number, timeoutMs = 10_000, host = "127.0.0.1"): Promise<ZookeeperWriter> => {
  const socket: Socket = connect({ host, port, noDelay: true });
  await once(socket, "connect");
  const read = frameReader(4 * 1024 * 1024);
  const waiting: ((bytes: Buffer) => void)[] = [];
  socket.on("data", (bytes: Buffer) => {
    for (const one of read(bytes)) waiting.shift()?.(one);
  });
  socket.on("error", () => {});
  const ask = (bytes: Buffer): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      waiting.push(resolve);
      socket.once("close", () => reject(new Error("ZooKeeper closed the connection")));
      socket.setMaxListeners(0).write(bytes);
    });
  const none = { lastZxidSeen: 0n, sessionId: 0n, password: Buffer.alloc(16), readOnly: true };
  // A server that is only just starting can take a connection and never answer it.
  const impatience = setTimeout(() => socket.destroy(), greetingMs);
  decodeConnectResponse(await ask(encodeConnect({ ...none, timeoutMs })).finally(() => clearTimeout(impatience)));
  let xid = 0;
  const call = async (opcode: number, ...parts: readonly Buffer[]): Promise<number> =>
    decodeMessage(await ask(frame(int(opcode === opcodes.ping ? -2 : ++xid), int(opcode), ...parts))).error;
  const must = async (what: string, error: Promise<number>): Promise<void> => {
    const code = await error;
    if (code !== 0) throw new Error(`${what}: ZooKeeper answered ${code}`);
  };
  const create = (path: string, data: Buffer, flags: number): Promise<number> =>
    call(opcodes.create, text(path), buffer(data), acl("world", "anyone"), int(flags));
  return {
    async create(path, data, ephemeral = false) {
      const parts = path.split("/").slice(1, -1);
      for (let i = 1; i <= parts.length; i++) {
        const code = await create(`/${parts.slice(0, i).join("/")}`, Buffer.alloc(0), 0);
        if (code !== 0 && code !== nodeExists) throw new Error(`above ${path}: ZooKeeper answered ${code}`);
      }
      await must(`create ${path}`, create(path, Buffer.from(data), ephemeral ? 1 : 0));
    },
    set: (path, data) => must(`set ${path}`, call(opcodes.setData, text(path), buffer(Buffer.from(data)), anyVersion)),
    delete: (path) => must(`delete ${path}`, call(opcodes.delete, text(path), anyVersion)),
    restrict: (path, digest) =>
      must(`restrict ${path}`, call(opcodes.setAcl, text(path), acl("digest", digest), anyVersion)),
    ping: () => must("ping", call(opcodes.ping)),
    breakOff: () => void socket.destroy(),
    [Symbol.dispose]: () => void socket.destroy(),
  };
};
