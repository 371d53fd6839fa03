import { FRAME_BYTES_MAX, H2_ERROR, SETTING, WINDOW_FIRST, WINDOW_MAX } from "./protocol.ts";

/** What we tell the peer, beside what the limits already say. */
export interface Http2Settings {
  /** Receive window of each stream: the most of a body that is held for an application that does not read. */
  readonly streamWindow: number;
  /** Receive window of the connection. Above streams × stream window no slow stream holds up another. */
  readonly connectionWindow: number;
  /** Bytes of compression table we keep for the peer. */
  readonly headerTableSize: number;
  /** Server: extended CONNECT (RFC 8441) is welcome. */
  readonly connectProtocol: boolean;
}

export const http2Settings: Http2Settings = {
  streamWindow: 65_536,
  connectionWindow: 16 * 1024 * 1024,
  headerTableSize: 4096,
  connectProtocol: true,
};

/** What the peer told us; the RFC's defaults until then. */
export class PeerSettings {
  headerTableSize = 4096;
  /** Undefined until the peer says: a client then takes 100. */
  maxConcurrentStreams: number | undefined = undefined;
  initialWindow: number = WINDOW_FIRST;
  maxFrameSize: number = FRAME_BYTES_MAX;
  maxHeaderListSize: number = Number.POSITIVE_INFINITY;
  connectProtocol = false;

  /** Applies one setting. An error code when the value is not allowed, else 0 (RFC 9113 section 6.5.2). */
  apply(id: number, value: number, fromServer: boolean): number {
    switch (id) {
      case SETTING.headerTableSize:
        this.headerTableSize = value;
        return 0;
      case SETTING.enablePush:
        return value > (fromServer ? 0 : 1) ? H2_ERROR.protocolError : 0;
      case SETTING.maxConcurrentStreams:
        this.maxConcurrentStreams = value;
        return 0;
      case SETTING.initialWindowSize:
        if (value > WINDOW_MAX) return H2_ERROR.flowControlError;
        this.initialWindow = value;
        return 0;
      case SETTING.maxFrameSize:
        if (value < FRAME_BYTES_MAX || value > 0xff_ffff) return H2_ERROR.protocolError;
        this.maxFrameSize = value;
        return 0;
      case SETTING.maxHeaderListSize:
        this.maxHeaderListSize = value;
        return 0;
      case SETTING.enableConnectProtocol:
        // Once given it is not taken back (RFC 8441 section 3).
        if (value > 1 || (value === 0 && this.connectProtocol)) return H2_ERROR.protocolError;
        this.connectProtocol = value === 1;
        return 0;
      default:
        return 0;
    }
  }
}
