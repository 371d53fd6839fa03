import type { SetTimer } from "@weft/core/world";
import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import type { SocketLoop } from "@weft/net/tcp/socket-loop";
import { detectProtocol } from "@weft/protocols/sniff/detect";
import { detectGreeting } from "@weft/protocols/sniff/greeting";
import { parseClientHello } from "@weft/protocols/tls/client-hello";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { IdleConnection } from "../overload/idle-closer.ts";
import type { TcpProxySettings } from "../tcp/compile-tcp-proxy.ts";
import { dialEarly } from "../tcp/early-dial.ts";
import type { TcpDial } from "../tcp/tcp-dial.ts";
import type { LinkOwner } from "../tcp/upstream-link.ts";
import { type TimerWheel, WheelTimer } from "../timers/timer-wheel.ts";
import type { CompiledListener, FilterChain } from "./compile-listener.ts";
import { firstBytesMostMs, silentMostMs } from "./limits.ts";

/** What a connection's first bytes say of it. */
export interface Sniffed {
  readonly tls: boolean;
  readonly serverName: string;
  /** The client's ALPN offer, or the HTTP version its first bytes speak. */
  readonly applicationProtocols: readonly string[];
  readonly firstBytes: Buffer;
  readonly early: EarlyChoice | undefined;
}

/** The chain for bytes of no known protocol, which passes them on as they are. */
export interface RawChoice {
  readonly chain: FilterChain;
  readonly settings: TcpProxySettings;
  readonly info: DownstreamInfo;
}

/** Its upstream connection was made while the client was silent. Whoever serves by that chain may take it. */
export interface EarlyChoice extends RawChoice {
  readonly dial: TcpDial;
  /** The server spoke first, or the client ended its side: no other chain will do. */
  readonly settled: boolean;
}

export interface SnifferTools {
  readonly wheel: TimerWheel;
  readonly loop: SocketLoop;
  readonly setTimer: SetTimer;
}

export interface SnifferOwner {
  onKnown(sniffed: Sniffed): void;
  onGone(): void;
  /** Asked when the client has been silent for a moment; `undefined`: only its bytes can tell. */
  rawChoice(): RawChoice | undefined;
}

/** More first bytes than this are not waited for. */
const sniffBytesMax = 64 * 1024;
/** A client that has said nothing for so long may be waiting for the server to speak. */
const silenceMs = 1;
/** After a dial that failed: then a client that still waits for its server is told, by an attempt that counts. */
const failedDialMs = 5_000;
const noBytes = Buffer.alloc(0);
const nothing: Sniffed = {
  tls: false,
  serverName: "",
  applicationProtocols: [],
  firstBytes: noBytes,
  early: undefined,
};

/** How a connection's first bytes are to be read, and for how long; as its listener says. */
export type SniffRules = Pick<
  CompiledListener,
  "inspectsTls" | "inspectsHttp" | "inspectTimeoutMs" | "goesOnAfterTimeout" | "passesRaw"
>;

/** For a connection that is known to be TLS. */
export const helloOnly: SniffRules = {
  inspectsTls: true,
  inspectsHttp: false,
  inspectTimeoutMs: firstBytesMostMs,
  goesOnAfterTimeout: false,
  passesRaw: false,
};

/** `undefined`: more bytes are needed. */
export const inspect = (
  { inspectsTls, inspectsHttp }: Pick<CompiledListener, "inspectsTls" | "inspectsHttp">,
  bytes: Buffer,
): Sniffed | undefined => {
  if (inspectsTls) {
    const hello = parseClientHello(bytes);
    if (hello.kind === "client-hello") {
      return { ...nothing, tls: true, serverName: hello.sni, applicationProtocols: hello.alpn, firstBytes: bytes };
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
 *
 * Where bytes of no known protocol are passed on, a silent client may be one that waits for its server: after a moment
 * the upstream connection is made, and whoever speaks first decides.
 */
export class Sniffer implements ConnectionHandler, LinkOwner, IdleConnection {
  private readonly listener: SniffRules;
  private readonly connection: Connection;
  private readonly owner: SnifferOwner;
  private readonly tools: SnifferTools;
  private readonly timer: WheelTimer;
  private silence: Disposable | undefined = undefined;
  private decided = false;
  private held: Buffer = noBytes;
  private raw: RawChoice | undefined = undefined;
  private dial: TcpDial | undefined = undefined;
  private dialFailed = false;
  /** What the server has said, while that is too little to tell. */
  private greeting: Buffer = noBytes;
  private readonly startMs: number;

  constructor(listener: SniffRules, connection: Connection, tools: SnifferTools, owner: SnifferOwner) {
    this.listener = listener;
    this.connection = connection;
    this.owner = owner;
    this.tools = tools;
    this.timer = new WheelTimer(this, 0);
    connection.handler = this;
    this.startMs = tools.wheel.nowMs();
    tools.wheel.arm(this.timer, listener.inspectTimeoutMs > 0 ? listener.inspectTimeoutMs : silentMostMs);
    // Bytes that wait in the kernel are read before the end of the turn: they must not lose to a late timer.
    if (listener.passesRaw) this.silence = tools.setTimer(() => tools.loop.mark(this), silenceMs);
  }

  onTimer(): void {
    const { listener, held } = this;
    const goesOn = listener.goesOnAfterTimeout && listener.inspectTimeoutMs > 0;
    if (goesOn || (this.dialFailed && held.length === 0)) this.decide(nothing, false);
    else this.connection.destroy();
  }
  /** A client that has said nothing, and that no server is kept waiting for. */
  get idleSinceMs(): number {
    return this.decided || this.held.length > 0 || this.dial !== undefined ? -1 : this.startMs;
  }
  closeIdle(): void {
    this.connection.destroy();
  }
  /** The end of the turn in which the client's moment to speak was over. */
  flush(): void {
    if (this.decided || !this.connection.open || this.held.length > 0) return;
    const raw = this.owner.rawChoice();
    if (raw === undefined) return;
    this.raw = raw;
    this.dial = dialEarly(raw.settings, raw.info, this);
  }
  onRead(bytes: Buffer): void {
    const all = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
    const sniffed = inspect(this.listener, all);
    if (sniffed === undefined) {
      if (this.held.length === 0 && this.listener.inspectTimeoutMs === 0) {
        this.tools.wheel.arm(this.timer, firstBytesMostMs);
      }
      this.held = Buffer.from(all);
      return;
    }
    // A TLS handshake reads the bytes later, whatever they are, when the shared read buffer holds something else.
    this.held = Buffer.from(all);
    this.decide(sniffed, false);
  }
  onPeerEnd(): void {
    this.raw ??= this.held.length > 0 && this.listener.passesRaw ? this.owner.rawChoice() : undefined;
    if (this.raw === undefined) {
      this.connection.destroy();
      return;
    }
    this.decide(nothing, this.dial !== undefined);
    if (this.connection.open) this.connection.handler.onPeerEnd();
  }
  onDrain(): void {}
  onClose(): void {
    this.stop();
    if (this.dial !== undefined) this.forsake(this.dial);
    this.owner.onGone();
  }

  onDialed(): void {}
  /** The client may still speak a protocol that goes elsewhere. */
  onNotDialed(): void {
    this.raw?.settings.earlyDials.failed.add(1);
    this.dial = undefined;
    if (this.decided || this.held.length > 0) return;
    this.dialFailed = true;
    this.tools.wheel.arm(this.timer, failedDialMs);
  }
  onServerRead(bytes: Buffer): void {
    const all = this.greeting.length === 0 ? bytes : Buffer.concat([this.greeting, bytes]);
    const kind = detectGreeting(all);
    this.greeting = kind === "need-more" ? Buffer.from(all) : all;
    if (kind === "greeting") this.decide(nothing, true);
    else if (kind === "http" && this.dial !== undefined) {
      this.forsake(this.dial);
      this.dial = undefined;
    }
  }
  onServerEnd(): void {
    const { dial } = this;
    this.decide(nothing, true);
    if (dial !== undefined && dial.owner !== this) dial.owner.onServerEnd();
  }
  onServerDrain(): void {}
  onServerClose(error: NodeJS.ErrnoException | undefined): void {
    const { dial } = this;
    this.decide(nothing, true);
    if (dial !== undefined && dial.owner !== this) dial.owner.onServerClose(error);
  }

  private stop(): void {
    this.decided = true;
    this.timer.retire();
    this.silence?.[Symbol.dispose]();
  }

  private decide(sniffed: Sniffed, settled: boolean): void {
    this.stop();
    const { dial, raw, greeting } = this;
    const early = dial === undefined || raw === undefined ? undefined : { ...raw, dial, settled };
    this.owner.onKnown({ ...sniffed, firstBytes: this.held, early });
    if (dial === undefined || raw === undefined) return;
    if (dial.owner === this) {
      this.forsake(dial);
      return;
    }
    raw.settings.earlyDials.used.add(1);
    if (greeting.length > 0) dial.owner.onServerRead(greeting);
  }

  private forsake(dial: TcpDial): void {
    this.raw?.settings.earlyDials.unused.add(1);
    dial.abandon();
  }
}
