import type { RequestHead, ResponseHead } from "../../http/head.ts";
import type { HeaderList } from "../../http/headers.ts";
import { h2ErrorName } from "../protocol.ts";
import type { Http2ClientSink, Http2ServerSink, ResetCause } from "../sink.ts";

const show = (headers: HeaderList): string => {
  const fields: string[] = [];
  for (let i = 0; i < headers.size; i++) fields.push(`${headers.nameAt(i)}=${headers.valueAt(i)}`);
  return fields.join(",");
};

interface BodyEvent {
  readonly streamId: number;
  readonly chunks: Buffer[];
  end: boolean;
}

/** Writes down what a connection tells, one line an event; body chunks that follow each other become one line. */
export class Recorder implements Http2ServerSink, Http2ClientSink {
  outputs = 0;
  /** What to do besides; each may call the connection. */
  hooks: {
    onRequest?: (id: number, head: RequestHead, end: boolean) => void;
    onResponse?: (id: number, head: ResponseHead, end: boolean) => void;
    onData?: (id: number, chunk: Buffer, end: boolean) => void;
    onTrailers?: (id: number, trailers: HeaderList) => void;
    onWritable?: (id: number) => void;
    onReset?: (id: number, code: number, cause: ResetCause) => void;
    onStreamEnd?: (id: number) => void;
    onOutput?: () => void;
  } = {};
  private readonly events: (string | BodyEvent)[] = [];

  get lines(): string[] {
    return this.events.map((event) => {
      if (typeof event === "string") return event;
      const text = Buffer.concat(event.chunks).toString("latin1");
      return `${event.streamId} data ${text}${event.end ? " end" : ""}`;
    });
  }

  onOutput(): void {
    this.outputs++;
    this.hooks.onOutput?.();
  }
  onRequest(id: number, head: RequestHead, end: boolean): void {
    const { method, scheme, authority, path, protocol, headers } = head;
    const target = protocol === "" ? path : `${path}(${protocol})`;
    this.line(`${id} request ${method} ${scheme}://${authority}${target} [${show(headers)}]${end ? " end" : ""}`);
    this.hooks.onRequest?.(id, head, end);
  }
  onResponse(id: number, head: ResponseHead, end: boolean): void {
    this.line(`${id} response ${head.status} [${show(head.headers)}]${end ? " end" : ""}`);
    this.hooks.onResponse?.(id, head, end);
  }
  onData(id: number, chunk: Buffer, end: boolean): void {
    const last = this.events.at(-1);
    if (typeof last === "object" && last.streamId === id && !last.end) {
      last.chunks.push(Buffer.from(chunk));
      last.end = end;
    } else {
      this.events.push({ streamId: id, chunks: [Buffer.from(chunk)], end });
    }
    this.hooks.onData?.(id, chunk, end);
  }
  onTrailers(id: number, trailers: HeaderList): void {
    this.line(`${id} trailers [${show(trailers)}]`);
    this.hooks.onTrailers?.(id, trailers);
  }
  onWritable(id: number): void {
    this.line(`${id} writable`);
    this.hooks.onWritable?.(id);
  }
  onReset(id: number, code: number, cause: ResetCause): void {
    this.line(`${id} reset ${h2ErrorName(code)} ${cause}`);
    this.hooks.onReset?.(id, code, cause);
  }
  onStreamEnd(id: number): void {
    this.line(`${id} over`);
    this.hooks.onStreamEnd?.(id);
  }
  onSettings(): void {
    this.line("settings");
  }
  onGoaway(last: number, code: number): void {
    this.line(`goaway ${last} ${h2ErrorName(code)}`);
  }
  onClosed(code: number, reason: string): void {
    this.line(`closed ${h2ErrorName(code)}: ${reason}`);
  }
  onRefused(id: number, reason: string): void {
    this.line(`${id} refused: ${reason}`);
  }
  private line(text: string): void {
    this.events.push(text);
  }
}
