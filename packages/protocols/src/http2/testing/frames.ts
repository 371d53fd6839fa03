import { FieldBlock, HpackDecoder } from "../../hpack/decoder.ts";
import { FieldMemo } from "../../hpack/memo.ts";
import type { RequestHead, ResponseHead } from "../../http/head.ts";
import { HeaderList } from "../../http/headers.ts";
import { CLIENT_PREFACE, FRAME, h2ErrorName } from "../protocol.ts";

export type Fields = readonly (readonly [name: string, value: string])[];

export const frame = (type: number, flags: number, streamId: number, payload: Buffer | string = ""): Buffer => {
  const bytes = typeof payload === "string" ? Buffer.from(payload.replaceAll(" ", ""), "hex") : payload;
  const head = Buffer.alloc(9);
  head.writeUIntBE(bytes.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, bytes]);
};

export const preface = Buffer.from(CLIENT_PREFACE);
export const settings = frame(FRAME.settings, 0, 0);
export const settingsAck = frame(FRAME.settings, 1, 0);

/** A header block without state: literals that are not indexed, in any spelling, allowed or not. */
export const literals = (fields: Fields): Buffer => {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, "latin1");
    if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
    const length = [127];
    for (let rest = bytes.length - 127; ; rest >>>= 7) {
      if (rest >= 128) length.push((rest & 127) | 128);
      else {
        length.push(rest);
        break;
      }
    }
    return Buffer.concat([Buffer.from(length), bytes]);
  };
  return Buffer.concat(fields.map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])));
};

export const get: Fields = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "a.example"],
  [":path", "/"],
];
export const post: Fields = [[":method", "POST"], ...get.slice(1)];

export const headersFrame = (streamId: number, fields: Fields, endStream = true): Buffer =>
  frame(FRAME.headers, 4 | (endStream ? 1 : 0), streamId, literals(fields));

export const dataFrame = (streamId: number, text: string, endStream = false): Buffer =>
  frame(FRAME.data, endStream ? 1 : 0, streamId, Buffer.from(text, "latin1"));

export const headerList = (fields: Fields): HeaderList => {
  const headers = new HeaderList();
  for (const [name, value] of fields) headers.add(name, value);
  return headers;
};

export const requestHead = (method: string, path: string, fields: Fields = []): RequestHead => {
  const authority = "a.example";
  return { method, scheme: "http", authority, path, protocol: "", headers: headerList(fields) };
};
export const responseHead = (status: number, fields: Fields = []): ResponseHead => {
  return { status, headers: headerList(fields) };
};

/** Reads a connection's output back, a line a frame, with header blocks decoded in order. */
export class OutputReader {
  private readonly decoder = new HpackDecoder(new FieldMemo());
  private rest: Buffer = Buffer.alloc(0);

  read(buffers: readonly Buffer[]): string[] {
    const lines: string[] = [];
    let bytes = Buffer.concat([this.rest, ...buffers]);
    if (bytes.subarray(0, preface.length).equals(preface)) bytes = bytes.subarray(preface.length);
    while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
      const end = 9 + bytes.readUIntBE(0, 3);
      lines.push(this.show(bytes[3]!, bytes[4]!, bytes.readUInt32BE(5), bytes.subarray(9, end)));
      bytes = bytes.subarray(end);
    }
    this.rest = bytes;
    return lines;
  }

  private show(type: number, flags: number, id: number, payload: Buffer): string {
    const end = flags & 1 ? " end" : "";
    switch (type) {
      case FRAME.data:
        return `${id} DATA ${payload.length}${end}`;
      case FRAME.headers: {
        const block = new FieldBlock(1 << 20, 1000);
        if ((flags & 4) === 0 || !this.decoder.decode(payload, 0, payload.length, block)) return `${id} HEADERS?`;
        const fields = block.fields.slice(0, block.count).map(({ name, value }) => `${name.text}=${value}`);
        return `${id} HEADERS ${fields.join(",")}${end}`;
      }
      case FRAME.rstStream:
        return `${id} RST_STREAM ${h2ErrorName(payload.readUInt32BE(0))}`;
      case FRAME.settings:
        return flags & 1 ? "SETTINGS ack" : "SETTINGS";
      case FRAME.ping:
        return flags & 1 ? `PING ack ${payload.toString("hex")}` : "PING";
      case FRAME.goaway:
        return `GOAWAY ${payload.readUInt32BE(0)} ${h2ErrorName(payload.readUInt32BE(4))}`;
      case FRAME.windowUpdate:
        return `${id} WINDOW_UPDATE ${payload.readUInt32BE(0)}`;
      default:
        return `${id} type ${type}`;
    }
  }
}
