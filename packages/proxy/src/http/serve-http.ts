import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import { WheelTimer } from "../timers/timer-wheel.ts";
import { ConnectionCount } from "./hcm-counters.ts";
import { drainIdleMs } from "./limits.ts";
import type { ServedConnection, ServerStart } from "./server-connection.ts";
import { Http1Server } from "./server-http1.ts";
import { Http2Server } from "./server-http2.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Starts HTTP on a connection; with codec AUTO the version is ALPN's, else told by the first bytes. */
export const serveHttp = (
  accepted: ServerStart,
  track: (served: ServedConnection) => void,
  onGone: () => void,
): void => {
  const { slot, connection, downstream } = accepted;
  const settings = slot.current;
  const count = new ConnectionCount(settings.counters, connection, downstream.tls !== undefined, settings.tools.wheel);
  const start: ServerStart = { ...accepted, count };
  const gone = (): void => {
    count.gone();
    onGone();
  };
  const alpn = downstream.tls?.alpn ?? "";
  if (settings.codec === "http2" || (settings.codec === "auto" && (alpn === "h2" || alpn === "istio-h2"))) {
    count.speaks("http2");
    track(new Http2Server(start, gone));
  } else if (settings.codec === "http1" || alpn.includes("http/1")) {
    count.speaks("http1");
    track(new Http1Server(start, gone));
  } else {
    track(new Undecided(start, connection, track, gone));
  }
};

/** Waits for as many first bytes as tell HTTP/2's preface from a request line: one, nearly always. */
class Undecided implements ConnectionHandler, ServedConnection {
  private readonly start: ServerStart;
  private readonly connection: Connection;
  private readonly track: (served: ServedConnection) => void;
  private readonly gone: () => void;
  private readonly timer: WheelTimer;
  private held: Buffer = Buffer.alloc(0);
  private draining = false;
  readonly idleSinceMs: number;

  constructor(start: ServerStart, connection: Connection, track: (served: ServedConnection) => void, gone: () => void) {
    this.start = start;
    this.connection = connection;
    this.track = track;
    this.gone = gone;
    this.timer = new WheelTimer({ onTimer: () => connection.destroy() }, 0);
    connection.handler = this;
    const { connectionIdleTimeoutMs, tools } = start.slot.current;
    this.idleSinceMs = tools.wheel.nowMs();
    if (connectionIdleTimeoutMs > 0) tools.wheel.arm(this.timer, connectionIdleTimeoutMs);
  }
  drain(): void {
    this.draining = true;
    // A request may be on its way to us: it is answered, and told that it was the last one here.
    this.start.slot.current.tools.wheel.arm(this.timer, drainIdleMs);
  }
  close(): void {
    this.connection.destroy();
  }
  closeIdle(): void {
    this.connection.destroy();
  }
  onRead(bytes: Buffer): void {
    const all = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
    const compared = Math.min(all.length, preface.length);
    const isPreface = all.compare(preface, 0, compared, 0, compared) === 0;
    if (isPreface && compared < preface.length) {
      this.held = Buffer.from(all);
      return;
    }
    this.timer.retire();
    this.start.count?.speaks(isPreface ? "http2" : "http1");
    const served = isPreface ? new Http2Server(this.start, this.gone) : new Http1Server(this.start, this.gone);
    this.track(served);
    if (this.draining) served.drain();
    served.onRead(all);
  }
  onPeerEnd(): void {
    this.connection.end();
  }
  onDrain(): void {}
  onClose(): void {
    this.timer.retire();
    this.gone();
  }
}
