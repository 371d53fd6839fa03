import { Budget } from "./budget.ts";
import type { FrameHeader } from "./frame-reader.ts";
import { putUint32, readUint32 } from "./output.ts";
import { FLAG, FRAME, FRAME_HEADER_BYTES, H2_ERROR, STREAM_ID_MAX, WINDOW_FIRST, WINDOW_MAX } from "./protocol.ts";
import type { Sender } from "./sender.ts";
import type { ConnectionState } from "./state.ts";

/** Says in a PING's payload why we sent it. */
export const PING_MARK = 0x77656674;
export const PING = { application: 1, keepalive: 2, shutdown: 3 } as const;

/** Receives the frames that carry no message: settings, windows, resets, pings, the end. */
export class ControlReceiver {
  settingsReceived = false;
  settingsAcknowledged = false;
  private readonly state: ConnectionState;
  private readonly sender: Sender;
  private readonly onPingAck: (reason: number) => void;
  private readonly settings: Budget;
  private readonly ignored: Budget;

  constructor(state: ConnectionState, sender: Sender, onPingAck: (reason: number) => void) {
    this.state = state;
    this.sender = sender;
    this.onPingAck = onPingAck;
    this.settings = new Budget(state.limits.settings, state.nowMs);
    this.ignored = new Budget(state.limits.ignoredFrames, state.nowMs);
  }

  /** A frame that means nothing to us. */
  countIgnored(): void {
    if (!this.ignored.take()) this.state.flood("ignored-frames", "too many frames without use");
  }

  onSettings(header: FrameHeader, source: Buffer, start: number): void {
    const { state } = this;
    if (header.streamId !== 0) {
      state.fail(H2_ERROR.protocolError, "SETTINGS on a stream");
      return;
    }
    if (header.flags & FLAG.ack) {
      if (header.length !== 0) {
        state.fail(H2_ERROR.frameSizeError, "SETTINGS acknowledgement with payload");
        return;
      }
      this.onSettingsAck();
      return;
    }
    if (header.length % 6 !== 0) {
      state.fail(H2_ERROR.frameSizeError, "SETTINGS not a multiple of 6 bytes");
      return;
    }
    if (!this.settings.take()) {
      state.flood("settings", "too many SETTINGS");
      return;
    }
    const { peer } = state;
    const windowBefore = peer.initialWindow;
    for (let at = start; at < start + header.length; at += 6) {
      const id = (source[at]! << 8) | source[at + 1]!;
      const code = peer.apply(id, readUint32(source, at + 2), !state.server);
      if (code !== 0) {
        state.fail(code, `SETTINGS ${id} with a forbidden value`);
        return;
      }
    }
    this.settingsReceived = true;
    state.encoder.setSizeLimit(peer.headerTableSize);
    state.out.frame(FRAME.settings, FLAG.ack, 0, 0);
    state.out.advance(state.out.at + FRAME_HEADER_BYTES);
    state.countControl();
    this.moveSendWindows(peer.initialWindow - windowBefore);
    if (!state.dead) state.sink.onSettings();
  }

  /** RFC 9113 section 6.9.2: the difference goes to every open stream, and may take its window below zero. */
  private moveSendWindows(difference: number): void {
    const { state } = this;
    if (difference === 0) return;
    for (const stream of state.streams.values()) {
      stream.sendWindow += difference;
      if (stream.sendWindow > WINDOW_MAX) {
        state.fail(H2_ERROR.flowControlError, "stream window overflow");
        return;
      }
    }
    if (difference < 0) return;
    for (const stream of [...state.streams.values()]) this.sender.streamOpened(stream);
  }

  private onSettingsAck(): void {
    const { state } = this;
    if (this.settingsAcknowledged) {
      this.countIgnored();
      return;
    }
    this.settingsAcknowledged = true;
    state.decoder.setSizeLimit(state.local.headerTableSize);
    const difference = state.local.streamWindow - WINDOW_FIRST;
    state.streamWindow = state.local.streamWindow;
    for (const stream of state.streams.values()) stream.receiveWindow += difference;
  }

  onPing(header: FrameHeader, source: Buffer, start: number): void {
    const { state } = this;
    if (header.streamId !== 0) {
      state.fail(H2_ERROR.protocolError, "PING on a stream");
      return;
    }
    if (header.length !== 8) {
      state.fail(H2_ERROR.frameSizeError, "PING not of 8 bytes");
      return;
    }
    if (header.flags & FLAG.ack) {
      if (readUint32(source, start) === PING_MARK) this.onPingAck(readUint32(source, start + 4));
      else this.countIgnored();
      return;
    }
    if (!state.pingBudget.take()) {
      state.flood("pings", "too many PINGs");
      return;
    }
    const out = state.out.frame(FRAME.ping, FLAG.ack, 0, 8);
    source.copy(out, state.out.at + FRAME_HEADER_BYTES, start, start + 8);
    state.out.advance(state.out.at + FRAME_HEADER_BYTES + 8);
    state.countControl();
  }

  writePing(reason: number): void {
    const { out } = this.state;
    const buffer = out.frame(FRAME.ping, 0, 0, 8);
    putUint32(buffer, out.at + FRAME_HEADER_BYTES, PING_MARK);
    putUint32(buffer, out.at + FRAME_HEADER_BYTES + 4, reason);
    out.advance(out.at + FRAME_HEADER_BYTES + 8);
  }

  onGoaway(header: FrameHeader, source: Buffer, start: number): void {
    const { state } = this;
    if (header.streamId !== 0) {
      state.fail(H2_ERROR.protocolError, "GOAWAY on a stream");
      return;
    }
    if (header.length < 8) {
      state.fail(H2_ERROR.frameSizeError, "GOAWAY shorter than 8 bytes");
      return;
    }
    this.countIgnored();
    const last = readUint32(source, start) & STREAM_ID_MAX;
    const code = readUint32(source, start + 4);
    state.closing = true;
    if (!state.server) {
      for (const stream of [...state.streams.values()]) {
        if (stream.id > last) state.abandon(stream, H2_ERROR.refusedStream, "unprocessed");
      }
    }
    if (state.dead) return;
    state.sink.onGoaway(last, code);
    if (state.server) return;
    state.draining = true;
    state.checkDrained();
  }

  onWindowUpdate(header: FrameHeader, source: Buffer, start: number): void {
    const { state } = this;
    const { streamId } = header;
    if (header.length !== 4) {
      state.fail(H2_ERROR.frameSizeError, "WINDOW_UPDATE not of 4 bytes");
      return;
    }
    if (!state.windowBudget.take()) {
      state.flood("window-updates", "too many WINDOW_UPDATEs");
      return;
    }
    const increment = readUint32(source, start) & WINDOW_MAX;
    if (streamId === 0) {
      if (increment === 0) {
        state.fail(H2_ERROR.protocolError, "WINDOW_UPDATE of 0");
        return;
      }
      state.sendWindow += increment;
      if (state.sendWindow > WINDOW_MAX) {
        state.fail(H2_ERROR.flowControlError, "connection window overflow");
        return;
      }
      this.sender.pump();
      return;
    }
    const stream = state.streams.get(streamId);
    if (stream === undefined) {
      if (state.isIdle(streamId)) state.fail(H2_ERROR.protocolError, "WINDOW_UPDATE on an idle stream");
      return;
    }
    if (increment === 0) {
      state.streamError(streamId, H2_ERROR.protocolError);
      return;
    }
    stream.sendWindow += increment;
    if (stream.sendWindow > WINDOW_MAX) {
      state.streamError(streamId, H2_ERROR.flowControlError);
      return;
    }
    this.sender.streamOpened(stream);
  }

  onRstStream(header: FrameHeader, source: Buffer, start: number): void {
    const { state } = this;
    const { streamId } = header;
    if (streamId === 0) {
      state.fail(H2_ERROR.protocolError, "RST_STREAM on stream 0");
      return;
    }
    if (header.length !== 4) {
      state.fail(H2_ERROR.frameSizeError, "RST_STREAM not of 4 bytes");
      return;
    }
    const stream = state.streams.get(streamId);
    if (stream === undefined) {
      if (state.isIdle(streamId)) state.fail(H2_ERROR.protocolError, "RST_STREAM on an idle stream");
      else this.countIgnored();
      return;
    }
    state.abandon(stream, readUint32(source, start), "peer");
    // A server works for each request that is cancelled; what a server cancels costs its client nothing.
    if (state.server) state.countReset();
  }

  /** Priorities are ignored (RFC 9113 section 5.3.2); only their form is looked at. */
  onPriority(header: FrameHeader, source: Buffer, start: number): void {
    const { state } = this;
    const { streamId } = header;
    if (streamId === 0) {
      state.fail(H2_ERROR.protocolError, "PRIORITY on stream 0");
      return;
    }
    const wrongSize = header.length !== 5;
    if (!wrongSize && (readUint32(source, start) & STREAM_ID_MAX) !== streamId) {
      this.countIgnored();
      return;
    }
    const code = wrongSize ? H2_ERROR.frameSizeError : H2_ERROR.protocolError;
    if (state.isIdle(streamId)) state.fail(code, "malformed PRIORITY");
    else state.streamError(streamId, code);
  }
}
