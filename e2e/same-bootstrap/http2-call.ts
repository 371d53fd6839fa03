/** An HTTP/2 client that writes what it is told, allowed or not, and says what came back on one stream. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { FieldBlock, HpackDecoder } from "@weft/protocols/hpack/decoder";
import { FieldMemo } from "@weft/protocols/hpack/memo";
import { FLAG, FRAME, h2ErrorName } from "@weft/protocols/http2/protocol";
import {
  dataFrame,
  type Fields,
  headersFrame,
  preface,
  settings,
  settingsAck,
} from "@weft/protocols/http2/testing/frames";

export interface Http2Answer {
  /** Interim responses, each its fields. */
  readonly interim: readonly (readonly string[])[];
  readonly head: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
  /** How the stream and the connection ended otherwise; empty where they did not. */
  readonly reset: string;
  readonly goaway: string;
  /** The proxy closed the connection. */
  readonly closed: boolean;
}

export interface Http2Call {
  readonly fields: Fields;
  readonly body?: string;
  readonly trailers?: Fields;
  /** Instead of the above: the frames, after the preface and SETTINGS. */
  readonly frames?: readonly Buffer[];
  readonly tls?: boolean;
  readonly timeoutMs?: number;
  /** Called once the request is written; and with the client's own port. */
  readonly onSent?: (socket: Socket) => void;
  /** Sent once interim or final heads came. */
  readonly afterHead?: readonly Buffer[];
}

const graceMs = 40;

class Reader {
  readonly interim: string[][] = [];
  head: string[] = [];
  trailers: string[] = [];
  body = "";
  reset = "";
  goaway = "";
  ended = false;
  private readonly decoder = new HpackDecoder(new FieldMemo());
  private rest: Buffer = Buffer.alloc(0);
  private block: Buffer = Buffer.alloc(0);
  private readonly send: (bytes: Buffer) => void;
  constructor(send: (bytes: Buffer) => void) {
    this.send = send;
  }

  read(bytes: Buffer): void {
    this.rest = Buffer.concat([this.rest, bytes]);
    while (this.rest.length >= 9) {
      const end = 9 + this.rest.readUIntBE(0, 3);
      if (this.rest.length < end) return;
      this.frame(this.rest[3] ?? 0, this.rest[4] ?? 0, this.rest.readUInt32BE(5), this.rest.subarray(9, end));
      this.rest = this.rest.subarray(end);
    }
  }

  private frame(type: number, flags: number, id: number, payload: Buffer): void {
    if (type === FRAME.settings && (flags & FLAG.ack) === 0) this.send(settingsAck);
    if (type === FRAME.goaway) this.goaway = h2ErrorName(payload.readUInt32BE(4));
    if (id !== 1) return;
    if (type === FRAME.rstStream) this.reset = h2ErrorName(payload.readUInt32BE(0));
    if (type === FRAME.data) this.body += payload.toString("latin1");
    if (type === FRAME.headers || type === FRAME.continuation) {
      this.block = type === FRAME.headers ? payload : Buffer.concat([this.block, payload]);
      if ((flags & FLAG.endHeaders) !== 0) this.fields();
    }
    if ((type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0) this.ended = true;
  }

  private fields(): void {
    const block = new FieldBlock(1 << 20, 1000);
    this.decoder.decode(this.block, 0, this.block.length, block);
    const fields = block.fields.slice(0, block.count).map(({ name, value }) => `${name.text}: ${value}`);
    if (this.head.length > 0) this.trailers = fields;
    else if (fields[0]?.startsWith(":status: 1")) this.interim.push(fields);
    else this.head = fields;
  }
}

/** Sends one request as stream 1 of a new connection; resolves when it is over, or nothing came for `timeoutMs`. */
export const callHttp2 = (port: number, call: Http2Call): Promise<Http2Answer> =>
  new Promise((resolve) => {
    const socket = call.tls
      ? connectTls({ port, host: "127.0.0.1", ALPNProtocols: ["h2"], rejectUnauthorized: false })
      : connect(port, "127.0.0.1");
    const reader = new Reader((bytes) => void (socket.writable && socket.write(bytes)));
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      const { interim, head, body, trailers, reset, goaway } = reader;
      resolve({ interim, head, body, trailers, reset, goaway, closed });
    };
    const timer = setTimeout(() => finish(false), call.timeoutMs ?? 4000);
    let over = false;
    let headSeen = false;
    socket.on("data", (bytes: Buffer) => {
      reader.read(bytes);
      if (!headSeen && (reader.head.length > 0 || reader.interim.length > 0)) {
        headSeen = true;
        for (const frame of call.afterHead ?? []) socket.write(frame);
      }
      const errored = reader.goaway !== "" && reader.goaway !== "NO_ERROR";
      if (over || !(reader.ended || reader.reset !== "" || errored)) return;
      over = true;
      setTimeout(() => finish(false), graceMs);
    });
    socket.on("error", () => {});
    socket.on("close", () => finish(true));
    socket.once(call.tls ? "secureConnect" : "connect", () => {
      socket.write(Buffer.concat([preface, settings, ...(call.frames ?? requestFrames(call))]));
      call.onSent?.(socket);
    });
  });

const requestFrames = ({ fields, body, trailers }: Http2Call): readonly Buffer[] => [
  headersFrame(1, fields, body === undefined && trailers === undefined),
  ...(body === undefined ? [] : [dataFrame(1, body, trailers === undefined)]),
  ...(trailers === undefined ? [] : [headersFrame(1, trailers)]),
];
