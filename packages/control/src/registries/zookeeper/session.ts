/**
 * A session with a ZooKeeper ensemble, without input or output: it says whom to dial and what to write, and is told what
 * happens. It outlives its connections: another server takes it up within the session's time-out. One that has expired
 * is followed by a new one, and so is one that no server greets any more, as after a loss of the ensemble's data.
 */
import { formatAddress, type SocketAddress } from "@weft/core/address";
import type { Random } from "@weft/core/world";
import { errorInWords } from "@weft/protocols/zookeeper/error-codes";
import { cuttingFrameReader, type Frame } from "@weft/protocols/zookeeper/frame-reader";
import { ZookeeperFormatError } from "@weft/protocols/zookeeper/jute";
import { frameBytesSkippedMax } from "@weft/protocols/zookeeper/limits";
import {
  decodeBody,
  decodeConnectResponse,
  decodeEvent,
  decodeMessage,
  encodeConnect,
  encodeRequest,
  messageHeadBytes,
  type ReplyBody,
  reservedXids,
  type WatchEvent,
  type ZookeeperRequest,
  type ZookeeperRequestKind,
} from "@weft/protocols/zookeeper/messages";
import { type Backoff, exponentialBackoff } from "@weft/xds/backoff";
import { connectMsMax, greetingMsMax, nextServerMsMax, reconnectBackoff, sessionTimeoutMsMax } from "./limits.ts";

export interface SessionSettings {
  readonly servers: readonly SocketAddress[];
  readonly timeoutMs: number;
  readonly frameBytesMax: number;
  /** `USER:PASSWORD`, asked for at every connection. */
  readonly login: () => string | undefined;
}

export type SessionInput =
  | { readonly kind: "opened" }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "closed"; readonly reason: string }
  | { readonly kind: "tick" };

export type SessionOutput =
  | { readonly kind: "dial"; readonly server: SocketAddress }
  | { readonly kind: "write"; readonly bytes: Buffer }
  | { readonly kind: "hang-up" }
  | {
      readonly kind: "established";
      readonly server: SocketAddress;
      readonly resumed: boolean;
      readonly readOnly: boolean;
    }
  /** The connection is gone, or none came about. */
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "reply"; readonly xid: number; readonly error: number; readonly body: SessionBody }
  | { readonly kind: "event"; readonly event: WatchEvent };

/** What was answered, or how long that would have been where it is over the bound. */
export type SessionBody = ReplyBody | { readonly kind: "too-long"; readonly bytes: number };

export interface Session {
  /** To be obeyed in order. */
  handle(input: SessionInput, nowMs: number): readonly SessionOutput[];
  /** Only while established; answers come in the order of the requests. */
  request(request: ZookeeperRequest, nowMs: number): { readonly xid: number; readonly bytes: Buffer };
  /** Gives the connection up, as if it had broken. */
  fail(reason: string, nowMs: number): readonly SessionOutput[];
  /** What to write to end the session for good, where it stands. */
  farewell(): Buffer | undefined;
  /** When it wants a tick. */
  deadlineMs(): number;
}

type State =
  | { readonly kind: "waiting"; readonly untilMs: number }
  | { readonly kind: "dialing" | "greeting"; readonly server: SocketAddress; readonly untilMs: number }
  | Standing;

interface Standing {
  readonly kind: "standing";
  readonly pingMs: number;
  readonly silenceMs: number;
  readonly sinceMs: number;
  heardMs: number;
  sentMs: number;
}

interface Held {
  readonly settings: SessionSettings;
  readonly random: Random;
  readonly backoff: Backoff;
  readonly servers: readonly SocketAddress[];
  turn: number;
  state: State;
  read: ReturnType<typeof cuttingFrameReader>;
  sessionId: bigint;
  password: Buffer;
  lastZxid: bigint;
  /** Greetings in a row that were closed without an answer. */
  refusals: number;
  nextXid: number;
  readonly pending: { readonly xid: number; readonly kind: ZookeeperRequestKind }[];
}

const noPassword = Buffer.alloc(16);
const xidMax = 2 ** 31 - 1;
/** However short a time-out the server makes of it, no more than ten pings a second. */
const pingMsMin = 100;

export const createSession = (settings: SessionSettings, random: Random, nowMs: number): Session => {
  const held: Held = {
    ...{ settings, random, backoff: exponentialBackoff(reconnectBackoff, random) },
    servers: shuffled(settings.servers, random),
    ...{ turn: 0, state: { kind: "waiting", untilMs: nowMs }, read: readerFor(settings) },
    ...{ sessionId: 0n, password: noPassword, lastZxid: 0n, refusals: 0, nextXid: 1, pending: [] },
  };
  return {
    handle: (input, now) => handle(held, input, now),
    request(request, now) {
      const xid = held.nextXid;
      held.nextXid = xid === xidMax ? 1 : xid + 1;
      held.pending.push({ xid, kind: request.kind });
      if (held.state.kind === "standing") held.state.sentMs = now;
      return { xid, bytes: encodeRequest(xid, request) };
    },
    fail: (reason, now) => fail(held, reason, now),
    farewell: () => (held.state.kind === "standing" ? encodeRequest(held.nextXid, { kind: "close" }) : undefined),
    deadlineMs: () => deadline(held.state),
  };
};

const readerFor = ({ frameBytesMax }: SessionSettings) => cuttingFrameReader(frameBytesMax, frameBytesSkippedMax);

const shuffled = <T>(list: readonly T[], random: Random): readonly T[] => {
  const mixed = [...list];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [mixed[i], mixed[j]] = [mixed[j] as T, mixed[i] as T];
  }
  return mixed;
};

const deadline = (state: State): number =>
  state.kind === "standing" ? Math.min(state.heardMs + state.silenceMs, state.sentMs + state.pingMs) : state.untilMs;

const handle = (held: Held, input: SessionInput, nowMs: number): readonly SessionOutput[] => {
  switch (input.kind) {
    case "opened":
      return greet(held, nowMs);
    case "bytes":
      return take(held, input.bytes, nowMs);
    case "closed":
      return held.state.kind === "waiting" ? [] : fail(held, input.reason, nowMs, "closed");
    case "tick":
      return tick(held, nowMs);
  }
};

const tick = (held: Held, nowMs: number): readonly SessionOutput[] => {
  const { state } = held;
  if (nowMs < deadline(state)) return [];
  switch (state.kind) {
    case "waiting": {
      const server = held.servers[held.turn % held.servers.length] as SocketAddress;
      const connectMs = Math.min(connectMsMax, held.settings.timeoutMs / 2);
      held.state = { kind: "dialing", server, untilMs: nowMs + connectMs };
      return [{ kind: "dial", server }];
    }
    case "dialing":
    case "greeting":
      return fail(held, state.kind === "dialing" ? "connecting takes too long" : "the greeting takes too long", nowMs);
    case "standing":
      if (nowMs >= state.heardMs + state.silenceMs)
        return fail(held, `silent for ${Math.round(state.silenceMs)} ms`, nowMs);
      state.sentMs = nowMs;
      return [{ kind: "write", bytes: encodeRequest(reservedXids.ping, { kind: "ping" }) }];
  }
};

const greet = (held: Held, nowMs: number): readonly SessionOutput[] => {
  const { state, settings, sessionId, password, lastZxid } = held;
  if (state.kind !== "dialing") return [];
  held.state = {
    kind: "greeting",
    server: state.server,
    untilMs: nowMs + Math.min(greetingMsMax, settings.timeoutMs / 2),
  };
  held.read = readerFor(settings);
  const greeting = { lastZxidSeen: lastZxid, timeoutMs: settings.timeoutMs, sessionId, password, readOnly: true };
  return [{ kind: "write", bytes: encodeConnect(greeting) }];
};

const take = (held: Held, bytes: Uint8Array, nowMs: number): readonly SessionOutput[] => {
  if (held.state.kind !== "greeting" && held.state.kind !== "standing") return [];
  const outputs: SessionOutput[] = [];
  try {
    for (const frame of held.read(bytes)) {
      const { state } = held;
      if (state.kind === "greeting") outputs.push(...greeted(held, state.server, wholeOf(frame), nowMs));
      else if (state.kind === "standing") outputs.push(...answered(held, state, frame, nowMs));
      else break;
    }
  } catch (error) {
    if (!(error instanceof ZookeeperFormatError)) throw error;
    outputs.push(...fail(held, `the server broke the protocol: ${error.message}`, nowMs));
  }
  return outputs;
};

const wholeOf = ({ bytes, length }: Frame): Buffer => {
  if (bytes.length === length) return bytes;
  throw new ZookeeperFormatError(`a frame of ${length} bytes is over the bound`);
};

const greeted = (held: Held, server: SocketAddress, frame: Buffer, nowMs: number): readonly SessionOutput[] => {
  // A server without a quorum may refuse in the form of any other answer.
  if (frame.length === messageHeadBytes) {
    return fail(held, `no session: ${errorInWords(decodeMessage(frame).error)}`, nowMs);
  }
  const answer = decodeConnectResponse(frame);
  held.refusals = 0;
  if (answer.timeoutMs <= 0) {
    const known = held.sessionId !== 0n;
    forget(held);
    if (!known) return fail(held, "the server gives no session", nowMs);
    held.state = { kind: "waiting", untilMs: nowMs };
    return [{ kind: "hang-up" }];
  }
  const resumed = held.sessionId === answer.sessionId;
  // A server without a quorum makes sessions of its own, which no other knows.
  if (!answer.readOnly) {
    held.sessionId = answer.sessionId;
    held.password = answer.password;
  }
  const timeoutMs = Math.min(answer.timeoutMs, sessionTimeoutMsMax);
  const pingMs = Math.max(pingMsMin, timeoutMs / 4);
  const silenceMs = Math.max(2 * pingMsMin, (2 * timeoutMs) / 3);
  held.state = { kind: "standing", pingMs, silenceMs, sinceMs: nowMs, heardMs: nowMs, sentMs: nowMs };
  const login = held.settings.login();
  const auth = login === undefined ? [] : [encodeRequest(reservedXids.auth, { kind: "auth", scheme: "digest", login })];
  return [
    ...auth.map((bytes) => ({ kind: "write", bytes }) as const),
    { kind: "established", server, resumed, readOnly: answer.readOnly },
  ];
};

const answered = (held: Held, state: Standing, frame: Frame, nowMs: number): readonly SessionOutput[] => {
  const message = decodeMessage(frame.bytes);
  const isCut = frame.bytes.length < frame.length;
  if (isCut && message.xid < 0) wholeOf(frame);
  state.heardMs = nowMs;
  // Not at the greeting: a server that greets and then refuses what we ask is not to be asked all the time.
  if (nowMs - state.sinceMs >= state.pingMs) held.backoff.reset();
  switch (message.xid) {
    case reservedXids.event:
      return [{ kind: "event", event: decodeEvent(message) }];
    case reservedXids.ping:
      return [];
    case reservedXids.auth:
      return message.error === 0 ? [] : fail(held, errorInWords(message.error), nowMs);
  }
  const asked = held.pending.shift();
  if (asked?.xid !== message.xid) {
    throw new ZookeeperFormatError(`answer ${message.xid} where ${asked ? asked.xid : "none"} is next`);
  }
  if (message.zxid > held.lastZxid) held.lastZxid = message.zxid;
  const body: SessionBody = isCut ? { kind: "too-long", bytes: frame.length } : decodeBody(asked.kind, message);
  return [{ kind: "reply", xid: asked.xid, error: message.error, body }];
};

const forget = (held: Held): void => {
  held.sessionId = 0n;
  held.password = noPassword;
  held.lastZxid = 0n;
  held.refusals = 0;
};

const fail = (held: Held, reason: string, nowMs: number, how: "closed" | "ours" = "ours"): readonly SessionOutput[] => {
  const { state, servers } = held;
  if (state.kind === "waiting") return [];
  const server = servers[held.turn % servers.length] as SocketAddress;
  // A server that knows less than we saw refuses us without a word, for ever where the ensemble's data were lost.
  const isForgotten = state.kind === "greeting" && how === "closed" && ++held.refusals >= 2 * servers.length;
  const hadSession = held.sessionId !== 0n;
  if (isForgotten) forget(held);
  held.turn++;
  // With a session of its own there is nothing to wait for.
  const anotherRound = held.turn % servers.length === 0 && !(isForgotten && hadSession);
  const delayMs = anotherRound || state.kind === "standing" ? held.backoff.next() : nextServerMsMax * held.random();
  held.state = { kind: "waiting", untilMs: nowMs + delayMs };
  held.pending.length = 0;
  const failed: SessionOutput = { kind: "failed", reason: `${formatAddress(server)}: ${reason}` };
  return how === "closed" ? [failed] : [{ kind: "hang-up" }, failed];
};
