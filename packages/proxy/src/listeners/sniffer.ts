import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import { detectProtocol } from "@weft/protocols/sniff/detect";
import { parseClientHello } from "@weft/protocols/tls/client-hello";
import { type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";
import type { CompiledListener } from "./compile-listener.ts";

/** What a connection's first bytes say of it. */
export interface Sniffed {
  readonly tls: boolean;
  readonly serverName: string;
  /** The client's ALPN offer, or the HTTP version its first bytes speak. */
  readonly applicationProtocols: readonly string[];
  readonly firstBytes: Buffer;
}

/** More first bytes than this are not waited for. */
const sniffBytesMax = 64 * 1024;
const noBytes = Buffer.alloc(0);
const nothing: Sniffed = { tls: false, serverName: "", applicationProtocols: [], firstBytes: noBytes };

/** `undefined`: more bytes are needed. */
export const inspect = (
  { inspectsTls, inspectsHttp }: Pick<CompiledListener, "inspectsTls" | "inspectsHttp">,
  bytes: Buffer,
): Sniffed | undefined => {
  if (inspectsTls) {
    const hello = parseClientHello(bytes);
    if (hello.kind === "client-hello") {
      return { tls: true, serverName: hello.sni, applicationProtocols: hello.alpn, firstBytes: bytes };
    }
    if (hello.kind === "need-more") return bytes.length < sniffBytesMax ? undefined : { ...nothing, firstBytes: bytes };
  }
  if (!inspectsHttp) return { ...nothing, firstBytes: bytes };
  switch (detectProtocol(bytes)) {
    case "need-more":
      return undefined;
    case "http1":
      return { ...nothing, applicationProtocols: ["http/1.1"], firstBytes: bytes };
    case "http2":
      return { ...nothing, applicationProtocols: ["h2c"], firstBytes: bytes };
    default:
      return { ...nothing, firstBytes: bytes };
  }
};

/**
 * Holds a connection until its first bytes tell what it is, within the listener's timeout. `onKnown` takes it over;
 * who says nothing in time is closed, or goes on as plaintext where the listener says so.
 */
export class Sniffer implements ConnectionHandler {
  private readonly listener: CompiledListener;
  private readonly connection: Connection;
  private readonly onKnown: (sniffed: Sniffed) => void;
  private readonly onGone: () => void;
  private readonly timer: WheelTimer;
  private held = noBytes;

  constructor(
    listener: CompiledListener,
    connection: Connection,
    wheel: TimerWheel,
    done: { readonly onKnown: (sniffed: Sniffed) => void; readonly onGone: () => void },
  ) {
    this.listener = listener;
    this.connection = connection;
    this.onKnown = done.onKnown;
    this.onGone = done.onGone;
    this.timer = new WheelTimer(this, 0);
    connection.handler = this;
    if (listener.inspectTimeoutMs > 0) wheel.arm(this.timer, listener.inspectTimeoutMs);
  }

  onTimer(): void {
    if (this.listener.goesOnAfterTimeout) this.onKnown({ ...nothing, firstBytes: this.held });
    else this.connection.destroy();
  }
  onRead(bytes: Buffer): void {
    const all = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
    const sniffed = inspect(this.listener, all);
    if (sniffed === undefined) {
      this.held = Buffer.from(all);
      return;
    }
    this.timer.disarm();
    // TLS reads the bytes later, when the shared read buffer holds something else.
    this.onKnown(sniffed.tls ? { ...sniffed, firstBytes: Buffer.from(all) } : sniffed);
  }
  onPeerEnd(): void {
    this.connection.destroy();
  }
  onDrain(): void {}
  onClose(): void {
    this.timer.disarm();
    this.onGone();
  }
}
