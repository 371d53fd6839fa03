import type { Random } from "@weft/core/world";
import { Http2Connection } from "../connection.ts";
import type { Http2Limits } from "../limits.ts";
import type { Http2Settings } from "../settings.ts";
import { Recorder } from "./recorder.ts";

export interface PairOptions {
  readonly clientSettings?: Partial<Http2Settings>;
  readonly serverSettings?: Partial<Http2Settings>;
  readonly limits?: Partial<Http2Limits>;
}

/** A client and a server joined in memory, on a clock that moves only when told. */
export class Pair {
  readonly clientSink = new Recorder();
  readonly serverSink = new Recorder();
  readonly client: Http2Connection;
  readonly server: Http2Connection;
  nowMs = 0;
  private toServer = Buffer.alloc(0);
  private toClient = Buffer.alloc(0);

  constructor({ clientSettings = {}, serverSettings = {}, limits = {} }: PairOptions = {}) {
    const nowMs = (): number => this.nowMs;
    this.client = new Http2Connection({
      role: "client",
      sink: this.clientSink,
      nowMs,
      limits,
      settings: clientSettings,
    });
    this.server = new Http2Connection({
      role: "server",
      sink: this.serverSink,
      nowMs,
      limits,
      settings: serverSettings,
    });
    this.client.start();
    this.server.start();
  }

  /** Delivers everything both sides have to say, until neither says more. */
  settle(): void {
    while (this.step(() => 1)) {}
  }

  /** Delivers a random part of what is under way in each direction; false when nothing was. */
  step(random: Random): boolean {
    this.toServer = Buffer.concat([this.toServer, ...this.client.takeOutput()]);
    this.client.outputWritten();
    this.toClient = Buffer.concat([this.toClient, ...this.server.takeOutput()]);
    this.server.outputWritten();
    const forward = Math.ceil(random() * this.toServer.length);
    const back = Math.ceil(random() * this.toClient.length);
    const serverBytes = Buffer.from(this.toServer.subarray(0, forward));
    const clientBytes = Buffer.from(this.toClient.subarray(0, back));
    this.toServer = this.toServer.subarray(forward);
    this.toClient = this.toClient.subarray(back);
    if (forward > 0) this.server.receive(serverBytes);
    if (back > 0) this.client.receive(clientBytes);
    // A chunk is the application's during the call only: what it kept must not change.
    serverBytes.fill(0xee);
    clientBytes.fill(0xee);
    return forward > 0 || back > 0 || this.client.outputBytes > 0 || this.server.outputBytes > 0;
  }
}
