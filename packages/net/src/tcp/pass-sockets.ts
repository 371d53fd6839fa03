import { closeSync, fstatSync } from "node:fs";
import { WeftError } from "@weft/core/error";
import { loadUnixCalls, type UnixCalls } from "./unix-messages.ts";

/** A listening socket under a name that both processes know it by; several may have the same name. */
export interface PassedSocket {
  readonly name: string;
  readonly descriptor: number;
}

/** More sockets than this are not passed on. */
export const socketsMax = 4096;
export const nameBytesMax = 512;
export const frameBytesMax = 32 * 1024;
export const lengthBytes = 4;
/** What the new process says when it accepts from now on. */
export const confirmation: Buffer = Buffer.from("taken");
/** What the old one answers when it has stopped offering and is about to leave. */
export const acknowledgement: Buffer = Buffer.from("yours");

/** One message: the names of the sockets that come with it, in their order. */
export interface Frame {
  readonly names: readonly string[];
  readonly last: boolean;
}

export const needCalls = (): UnixCalls => {
  const calls = loadUnixCalls();
  if (calls === undefined) {
    throw new WeftError("WF5006", "listening sockets cannot be passed on here: the C library cannot be called");
  }
  return calls;
};

export const closeSockets = (sockets: readonly PassedSocket[]): void => {
  for (const { descriptor } of sockets) closeSync(descriptor);
};

/** Of several descriptors of one socket only the first; the others are closed. */
export const distinctSockets = (sockets: readonly PassedSocket[]): readonly PassedSocket[] => {
  const seen = new Set<number>();
  return sockets.filter(({ descriptor }) => {
    const { ino } = fstatSync(descriptor);
    if (!seen.has(ino)) return seen.add(ino);
    closeSync(descriptor);
    return false;
  });
};

export const encodeFrame = (part: readonly PassedSocket[], last: boolean): Buffer => {
  const frame: Frame = { names: part.map(({ name }) => name), last };
  const text = Buffer.from(JSON.stringify(frame));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text]);
};

export const parseFrame = (bytes: Buffer): Frame => {
  const value = JSON.parse(bytes.toString("utf8")) as Partial<Frame> | null;
  const { names, last } = value ?? {};
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string") || typeof last !== "boolean") {
    throw new Error("what came is not a list of sockets");
  }
  return { names, last };
};
