/** A check by a connection: that it can be made, and that what is sent is answered as expected. */
import type { Connection } from "@weft/net/tcp/connection";
import { openUpstream, type UpstreamTarget } from "../pool/open-upstream.ts";
import type { PoolTools } from "../pool/pool-tools.ts";
import type { CheckResult } from "./check-state.ts";
import type { Probe } from "./probe.ts";
import { containsInOrder, type TcpProbeSettings, tcpBytesMax } from "./probe-settings.ts";

export interface TcpProbeOptions {
  readonly tools: PoolTools;
  readonly target: UpstreamTarget;
  readonly reuse: boolean;
}

const lost: CheckResult = { kind: "failed", by: "network", retriable: false, exclude: false };
const passed: CheckResult = { kind: "passed", degraded: false };

class TcpProbe implements Probe {
  private readonly settings: TcpProbeSettings;
  private readonly options: TcpProbeOptions;
  private connection: Connection | undefined = undefined;
  private connected = false;
  private tell: ((result: CheckResult) => void) | undefined = undefined;
  private received = Buffer.alloc(0);

  constructor(settings: TcpProbeSettings, options: TcpProbeOptions) {
    this.settings = settings;
    this.options = options;
  }

  start(tell: (result: CheckResult) => void): void {
    this.tell = tell;
    this.received = Buffer.alloc(0);
    if (this.connection !== undefined) {
      if (this.connected) this.send();
      return;
    }
    const { tools, target } = this.options;
    const opened = openUpstream(tools, target, () => {
      this.connected = true;
      this.send();
    });
    if (typeof opened === "string") {
      this.end(lost);
      return;
    }
    this.connection = opened;
    opened.handler = {
      onRead: (bytes) => this.read(bytes),
      onPeerEnd: () => opened.destroy(),
      onDrain: () => undefined,
      onClose: () => {
        if (this.connection !== opened) return;
        this.forget();
        this.end(lost);
      },
    };
  }
  cancel(): void {
    this.tell = undefined;
    this.close();
  }
  [Symbol.dispose](): void {
    this.cancel();
  }

  private send(): void {
    if (this.tell === undefined) return;
    const { send, receive } = this.settings;
    if (send !== undefined) this.connection?.write(send);
    if (receive.length === 0) this.end(passed);
  }
  private read(bytes: Buffer): void {
    if (this.tell === undefined || this.received.length >= tcpBytesMax) return;
    this.received = Buffer.concat([this.received, bytes.subarray(0, tcpBytesMax - this.received.length)]);
    if (containsInOrder(this.received, this.settings.receive)) this.end(passed);
  }
  private end(result: CheckResult): void {
    const { tell } = this;
    if (tell === undefined) return;
    this.tell = undefined;
    // A check that only asks for a connection makes a new one each time, or it would learn nothing.
    if (!this.options.reuse || this.settings.receive.length === 0) this.close();
    tell(result);
  }
  private close(): void {
    const { connection } = this;
    this.forget();
    connection?.destroy();
  }
  private forget(): void {
    this.connection = undefined;
    this.connected = false;
  }
}

export const createTcpProbe = (settings: TcpProbeSettings, options: TcpProbeOptions): Probe =>
  new TcpProbe(settings, options);
