import { FieldBlock } from "../hpack/decoder.ts";
import { FieldMemo } from "../hpack/memo.ts";
import { FramedChunks } from "./framed-chunks.ts";
import { MessageReader } from "./message-reader.ts";
import { OutputBuffers } from "./output.ts";
import { Http2Stream } from "./stream.ts";

const FREE_STREAMS_MAX = 1024;

/** What the connections of one thread share: buffers, free records and scratch space. One per thread; no state of a peer. */
export class Http2Workspace {
  readonly memo = new FieldMemo();
  readonly buffers = new OutputBuffers();
  readonly block = new FieldBlock(0, 0);
  readonly message = new MessageReader();
  readonly framed = new FramedChunks();
  private readonly freeStreams: Http2Stream[] = [];

  takeStream(): Http2Stream {
    return this.freeStreams.pop() ?? new Http2Stream();
  }

  giveStream(stream: Http2Stream): void {
    stream.id = 0;
    stream.owner = undefined;
    stream.clearQueue();
    if (this.freeStreams.length < FREE_STREAMS_MAX) this.freeStreams.push(stream);
  }
}
