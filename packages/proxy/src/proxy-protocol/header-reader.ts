import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import type { ProxyAddresses, Tlv } from "@weft/protocols/proxy-protocol/header";
import type { ProxiedInfo } from "../http/exchange.ts";
import { firstBytesMostMs, silentMostMs } from "../listeners/limits.ts";
import type { IdleConnection } from "../overload/idle-closer.ts";
import { type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";
import type { ProxyProtocolFilter } from "./listener-filter.ts";

/** What stood at the head of a connection. */
export interface FoundHeader {
  /** `undefined`: the connection's own addresses hold. */
  readonly addresses: ProxyAddresses | undefined;
  readonly metadata: ProxiedInfo["metadata"];
  readonly tlvs: readonly Tlv[];
}

export interface HeaderReaderOptions {
  readonly filter: ProxyProtocolFilter;
  readonly connection: Connection;
  readonly wheel: TimerWheel;
  /** 0 is no limit of the listener's. */
  readonly timeoutMs: number;
  /** Who sent nothing in time goes on, where connections without a header are served at all. */
  readonly goesOnAfterTimeout: boolean;
  /** Takes the connection over. `rest` is what came behind the header, valid during the call only. */
  readonly onKnown: (found: FoundHeader | undefined, rest: Buffer) => void;
  readonly onGone: () => void;
}

const noBytes = Buffer.alloc(0);

/** Holds a connection until its PROXY protocol header is read. A header that is malformed or missing closes it. */
export class HeaderReader implements ConnectionHandler, IdleConnection {
  private readonly options: HeaderReaderOptions;
  private readonly timer: WheelTimer;
  private held = noBytes;
  private done = false;
  private readonly startMs: number;

  constructor(options: HeaderReaderOptions) {
    this.options = options;
    this.timer = new WheelTimer(this, 0);
    options.connection.handler = this;
    this.startMs = options.wheel.nowMs();
    options.wheel.arm(this.timer, options.timeoutMs > 0 ? options.timeoutMs : silentMostMs);
  }

  get idleSinceMs(): number {
    return this.held.length > 0 || this.done ? -1 : this.startMs;
  }
  closeIdle(): void {
    this.options.connection.destroy();
  }

  onTimer(): void {
    const { connection, filter, timeoutMs, goesOnAfterTimeout, onKnown } = this.options;
    if (!goesOnAfterTimeout || timeoutMs === 0 || !filter.allowsNone) {
      connection.destroy();
      return;
    }
    this.done = true;
    onKnown(undefined, this.held);
  }
  onRead(bytes: Buffer): void {
    const { connection, filter, onKnown } = this.options;
    const all = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
    const verdict = filter.judge(all);
    if (verdict.kind === "need-more") {
      if (this.held.length === 0 && this.options.timeoutMs === 0) {
        this.options.wheel.arm(this.timer, firstBytesMostMs);
      }
      this.held = Buffer.from(all);
      return;
    }
    this.timer.disarm();
    if (verdict.kind === "refuse") {
      connection.destroy();
      return;
    }
    this.done = true;
    const { header, length } = verdict;
    onKnown(header && { addresses: header.addresses, ...filter.keep(header) }, all.subarray(length));
  }
  onPeerEnd(): void {
    this.options.connection.destroy();
  }
  onDrain(): void {}
  onClose(): void {
    this.timer.disarm();
    this.options.onGone();
  }
}
