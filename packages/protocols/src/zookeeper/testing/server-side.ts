/** The server's half of the codec, for tests that play the server. */
import {
  bool,
  buffer,
  cursorOf,
  frame,
  int,
  long,
  readBool,
  readBuffer,
  readEnd,
  readInt,
  readLong,
  readText,
  text,
  texts,
  ZookeeperFormatError,
} from "../jute.ts";
import type {
  ConnectRequest,
  ConnectResponse,
  NodeStat,
  ReplyBody,
  WatchEvent,
  ZookeeperRequest,
} from "../messages.ts";

export const decodeConnectRequest = (bytes: Buffer): ConnectRequest => {
  const cursor = cursorOf(bytes);
  readInt(cursor);
  const request = {
    lastZxidSeen: readLong(cursor),
    timeoutMs: readInt(cursor),
    sessionId: readLong(cursor),
    password: Buffer.from(readBuffer(cursor)),
    readOnly: readBool(cursor),
  };
  readEnd(cursor);
  return request;
};

export const decodeRequest = (bytes: Buffer): { readonly xid: number; readonly request: ZookeeperRequest } => {
  const cursor = cursorOf(bytes);
  const xid = readInt(cursor);
  const opcode = readInt(cursor);
  const read = (): ZookeeperRequest => {
    switch (opcode) {
      case 1: {
        const path = readText(cursor);
        const data = Buffer.from(readBuffer(cursor));
        const entries = readInt(cursor);
        for (let entry = 0; entry < entries; entry++) {
          readInt(cursor);
          readText(cursor);
          readText(cursor);
        }
        return { kind: "create", path, data, owned: entries === 2, ephemeral: readInt(cursor) === 1 };
      }
      case 2: {
        const path = readText(cursor);
        readInt(cursor);
        return { kind: "delete", path };
      }
      case 5: {
        const path = readText(cursor);
        const data = Buffer.from(readBuffer(cursor));
        readInt(cursor);
        return { kind: "set", path, data };
      }
      case 3:
        return { kind: "exists", path: readText(cursor), watch: readBool(cursor) };
      case 4:
        return { kind: "data", path: readText(cursor), watch: readBool(cursor) };
      case 12:
        return { kind: "children", path: readText(cursor), watch: readBool(cursor) };
      case 106:
        return { kind: "add-watch", path: readText(cursor), recursive: readInt(cursor) === 1 };
      case 100:
        readInt(cursor);
        return { kind: "auth", scheme: readText(cursor), login: readText(cursor) };
      case 11:
        return { kind: "ping" };
      case -11:
        return { kind: "close" };
      default:
        throw new ZookeeperFormatError(`operation ${opcode}`);
    }
  };
  const request = read();
  readEnd(cursor);
  return { xid, request };
};

export const encodeConnectResponse = (response: ConnectResponse): Buffer =>
  frame(int(0), int(response.timeoutMs), long(response.sessionId), buffer(response.password), bool(response.readOnly));

export const emptyStat: NodeStat = {
  ...{ czxid: 0n, mzxid: 0n, ctimeMs: 0n, mtimeMs: 0n, version: 0, childrenVersion: 0, aclVersion: 0 },
  ...{ ephemeralOwner: 0n, dataBytes: 0, childCount: 0, pzxid: 0n },
};

const stat = (value: NodeStat): Buffer =>
  Buffer.concat([
    ...[long(value.czxid), long(value.mzxid), long(value.ctimeMs), long(value.mtimeMs)],
    ...[int(value.version), int(value.childrenVersion), int(value.aclVersion), long(value.ephemeralOwner)],
    ...[int(value.dataBytes), int(value.childCount), long(value.pzxid)],
  ]);

const bodyParts = (body: ReplyBody): readonly Buffer[] => {
  switch (body.kind) {
    case "nothing":
      return [];
    case "children":
      return [texts(body.children), stat(body.stat)];
    case "data":
      return [buffer(body.data), stat(body.stat)];
    case "exists":
    case "set":
      return [stat(body.stat)];
    case "create":
      return [text(body.path)];
  }
};

export const encodeReply = (
  head: { readonly xid: number; readonly zxid: bigint; readonly error?: number },
  body: ReplyBody = { kind: "nothing" },
): Buffer => frame(int(head.xid), long(head.zxid), int(head.error ?? 0), ...bodyParts(body));

const eventTypes = { created: 1, deleted: 2, data: 3, children: 4, other: -1 } as const;

export const encodeEvent = ({ change, path }: WatchEvent): Buffer =>
  frame(int(-1), long(-1n), int(0), int(eventTypes[change]), int(3), text(path));
