/** The part of ZooKeeper's protocol that a reader of a tree speaks. Sessions and their order are not known here. */
import {
  bool,
  buffer,
  cursorOf,
  frame,
  int,
  type JuteCursor,
  long,
  readBool,
  readBuffer,
  readEnd,
  readInt,
  readLong,
  readText,
  readTexts,
  text,
  ZookeeperFormatError,
} from "./jute.ts";

export interface ConnectRequest {
  readonly lastZxidSeen: bigint;
  readonly timeoutMs: number;
  /** 0 asks for a new session. */
  readonly sessionId: bigint;
  readonly password: Buffer;
  /** Whether a server without a quorum will do. */
  readonly readOnly: boolean;
}

export interface ConnectResponse {
  /** 0 or less: the session asked for is gone. */
  readonly timeoutMs: number;
  readonly sessionId: bigint;
  readonly password: Buffer;
  readonly readOnly: boolean;
}

export type ZookeeperRequest =
  | { readonly kind: "ping" }
  | { readonly kind: "close" }
  /** `login` is `USER:PASSWORD` for the scheme "digest". */
  | { readonly kind: "auth"; readonly scheme: string; readonly login: string }
  /** `watch` asks to be told once of the next change. */
  | { readonly kind: "children" | "data" | "exists"; readonly path: string; readonly watch: boolean }
  /** Asks to be told of every change at the path, and below it too with `recursive` (3.6 and later). */
  | { readonly kind: "add-watch"; readonly path: string; readonly recursive: boolean }
  /** `ephemeral`: it goes with the session. `owned`: only this login may change it, everybody may read it. */
  | {
      readonly kind: "create";
      readonly path: string;
      readonly data: Buffer;
      readonly ephemeral: boolean;
      readonly owned: boolean;
    }
  /** Whatever version it has. */
  | { readonly kind: "set"; readonly path: string; readonly data: Buffer }
  | { readonly kind: "delete"; readonly path: string };

export type ZookeeperRequestKind = ZookeeperRequest["kind"];

export const opcodes: Readonly<Record<ZookeeperRequestKind, number>> = {
  create: 1,
  delete: 2,
  exists: 3,
  data: 4,
  set: 5,
  ping: 11,
  children: 12,
  auth: 100,
  "add-watch": 106,
  close: -11,
};

/** Numbers of messages that answer no request in line. */
export const reservedXids = { event: -1, ping: -2, auth: -4 } as const;

export interface NodeStat {
  readonly czxid: bigint;
  readonly mzxid: bigint;
  readonly ctimeMs: bigint;
  readonly mtimeMs: bigint;
  readonly version: number;
  readonly childrenVersion: number;
  readonly aclVersion: number;
  /** The session that made it, where it goes with that session; else 0. */
  readonly ephemeralOwner: bigint;
  readonly dataBytes: number;
  readonly childCount: number;
  readonly pzxid: bigint;
}

export type ReplyBody =
  | { readonly kind: "nothing" }
  | { readonly kind: "children"; readonly children: readonly string[]; readonly stat: NodeStat }
  | { readonly kind: "data"; readonly data: Buffer; readonly stat: NodeStat }
  | { readonly kind: "exists" | "set"; readonly stat: NodeStat }
  | { readonly kind: "create"; readonly path: string };

/** A message of the server with its body unread: only the request tells what it is. */
export interface ServerMessage {
  readonly xid: number;
  readonly zxid: bigint;
  readonly error: number;
  readonly body: JuteCursor;
}

export interface WatchEvent {
  readonly change: "created" | "deleted" | "data" | "children" | "other";
  readonly path: string;
}

const protocolVersion = 0;

/** A message without a body; no greeting is as short. */
export const messageHeadBytes = 16;

export const encodeConnect = (request: ConnectRequest): Buffer =>
  frame(
    int(protocolVersion),
    long(request.lastZxidSeen),
    int(request.timeoutMs),
    long(request.sessionId),
    buffer(request.password),
    bool(request.readOnly),
  );

export const encodeRequest = (xid: number, request: ZookeeperRequest): Buffer => {
  const head = [int(xid), int(opcodes[request.kind])];
  switch (request.kind) {
    case "ping":
    case "close":
      return frame(...head);
    case "auth":
      return frame(...head, int(0), text(request.scheme), text(request.login));
    case "children":
    case "data":
    case "exists":
      return frame(...head, text(request.path), bool(request.watch));
    case "add-watch":
      return frame(...head, text(request.path), int(request.recursive ? 1 : 0));
    case "create": {
      const acl = request.owned ? [...ownAcl, ...readAcl] : openAcl;
      const flags = int(request.ephemeral ? 1 : 0);
      return frame(...head, text(request.path), buffer(request.data), int(request.owned ? 2 : 1), ...acl, flags);
    }
    case "set":
      return frame(...head, text(request.path), buffer(request.data), anyVersion);
    case "delete":
      return frame(...head, text(request.path), anyVersion);
  }
};

const anyVersion = int(-1);
const allPermissions = int(31);
const openAcl = [allPermissions, text("world"), text("anyone")];
const ownAcl = [allPermissions, text("auth"), text("")];
const readAcl = [int(1), text("world"), text("anyone")];

/** Throws ZookeeperFormatError, as everything below. */
export const decodeConnectResponse = (bytes: Buffer): ConnectResponse => {
  const cursor = cursorOf(bytes);
  const version = readInt(cursor);
  if (version !== protocolVersion) throw new ZookeeperFormatError(`the protocol's version is ${version}`);
  const timeoutMs = readInt(cursor);
  const sessionId = readLong(cursor);
  const password = readBuffer(cursor);
  // Servers before 3.4 do not say.
  const readOnly = cursor.at < bytes.length && readBool(cursor);
  readEnd(cursor);
  return { timeoutMs, sessionId, password, readOnly };
};

export const decodeMessage = (bytes: Buffer): ServerMessage => {
  const body = cursorOf(bytes);
  return { xid: readInt(body), zxid: readLong(body), error: readInt(body), body };
};

const readStat = (cursor: JuteCursor): NodeStat => ({
  czxid: readLong(cursor),
  mzxid: readLong(cursor),
  ctimeMs: readLong(cursor),
  mtimeMs: readLong(cursor),
  version: readInt(cursor),
  childrenVersion: readInt(cursor),
  aclVersion: readInt(cursor),
  ephemeralOwner: readLong(cursor),
  dataBytes: readInt(cursor),
  childCount: readInt(cursor),
  pzxid: readLong(cursor),
});

const readBody = (kind: ZookeeperRequestKind, body: JuteCursor): ReplyBody => {
  switch (kind) {
    case "children":
      return { kind: "children", children: readTexts(body), stat: readStat(body) };
    case "data":
      return { kind: "data", data: readBuffer(body), stat: readStat(body) };
    case "exists":
    case "set":
      return { kind, stat: readStat(body) };
    case "create":
      return { kind: "create", path: readText(body) };
    case "add-watch":
      // An error once more, always 0 here.
      if (body.at < body.bytes.length) readInt(body);
      return { kind: "nothing" };
    case "delete":
    case "ping":
    case "auth":
    case "close":
      return { kind: "nothing" };
  }
};

/** The result of a request of that kind; a message with an error has none. */
export const decodeBody = (kind: ZookeeperRequestKind, { error, body }: ServerMessage): ReplyBody => {
  const result = error === 0 ? readBody(kind, body) : ({ kind: "nothing" } as const);
  readEnd(body);
  return result;
};

const changes = new Map<number, WatchEvent["change"]>([
  [1, "created"],
  [2, "deleted"],
  [3, "data"],
  [4, "children"],
]);

export const decodeEvent = ({ body }: ServerMessage): WatchEvent => {
  const change = changes.get(readInt(body)) ?? "other";
  // How the server stands to its quorum; whoever lost it closes the connection.
  readInt(body);
  const path = readText(body);
  readEnd(body);
  return { change, path };
};
