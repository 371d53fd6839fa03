import { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

type OnRead = (length: number, buffer: Buffer) => boolean;

interface UserBufferHandle {
  readonly useUserBuffer?: (buffer: Uint8Array) => void;
}
type Open = Record<symbol, unknown> & { readonly _handle: UserBufferHandle | null };

/** Where `net.Socket` keeps what its `onread` option gave it; `undefined` in a Node that keeps it elsewhere. */
const fields = ((): { readonly buffer: symbol; readonly callback: symbol } | undefined => {
  const buffer = Buffer.alloc(1);
  const callback = (): boolean => true;
  const probe = new Socket({ onread: { buffer, callback } } as unknown as ConstructorParameters<typeof Socket>[0]);
  const open = probe as unknown as Open;
  const found = (value: unknown): symbol | undefined =>
    Object.getOwnPropertySymbols(open).find((each) => open[each] === value);
  const [bufferField, callbackField] = [found(buffer), found(callback)];
  probe.destroy();
  return bufferField && callbackField ? { buffer: bufferField, callback: callbackField } : undefined;
})();

/**
 * Makes a TLS socket that is not read yet read into one buffer, as the `onread` option does where it is taken: Node
 * takes it for sockets it connects, not for those wrapped around another. False where that cannot be had; then 'data'
 * events serve, at the price of a new buffer per read.
 */
export const readInto = (socket: TLSSocket, buffer: Buffer, onRead: OnRead): boolean => {
  const open = socket as unknown as Open;
  const handle = open._handle;
  if (fields === undefined || typeof handle?.useUserBuffer !== "function") return false;
  if (!(fields.buffer in open) || !(fields.callback in open)) return false;
  open[fields.buffer] = buffer;
  open[fields.callback] = onRead;
  handle.useUserBuffer(buffer);
  return true;
};
