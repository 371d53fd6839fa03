/** For tests: what a decoder told its sink, as plain lines that do not depend on where the network cut the bytes. */
import type { RequestHead, ResponseHead } from "../http/head.ts";
import type { HeaderList } from "../http/headers.ts";
import type { Http1Error, RequestFacts, ResponseFacts } from "./message.ts";
import { RequestDecoder, type RequestDecoderOptions } from "./request-decoder.ts";
import { ResponseDecoder, type ResponseDecoderOptions } from "./response-decoder.ts";

const fieldsOf = (headers: HeaderList): string =>
  Array.from({ length: headers.size }, (_, i) => `${headers.nameAt(i)}: ${headers.valueAt(i)}`).join("|");

export class Recorder {
  readonly lines: string[] = [];
  /** Called after each line. */
  hook: (line: string) => void = () => {};
  private body = "";

  onHead(head: RequestHead | ResponseHead, facts: RequestFacts | ResponseFacts): void {
    const kind = facts.bodyKind === "length" ? `length ${facts.contentLength}` : facts.bodyKind;
    const keep = facts.keepAlive ? "keep" : "close";
    const first =
      "method" in head
        ? `${head.method} ${head.scheme} ${head.authority} ${head.path}${head.protocol && ` =>${head.protocol}`}`
        : `${head.status}`;
    const expect = "expectContinue" in facts && facts.expectContinue ? " 100-continue" : "";
    this.add(`${first} 1.${facts.minorVersion} ${kind} ${keep}${expect} [${fieldsOf(head.headers)}]`);
  }
  onInterim(head: ResponseHead): void {
    this.add(`interim ${head.status} [${fieldsOf(head.headers)}]`);
  }
  onBody(bytes: Buffer): void {
    this.body += bytes.toString("latin1");
  }
  onTrailers(trailers: HeaderList): void {
    this.flushBody();
    this.add(`trailers [${fieldsOf(trailers)}]`);
  }
  onEnd(): void {
    this.flushBody();
    this.add("end");
  }
  onError(error: Http1Error): void {
    this.flushBody();
    this.add(`error ${error.status} ${error.reason}`);
  }

  /** Body bytes so far are one line, however many slices they came in. */
  flushBody(): void {
    if (this.body !== "") this.add(`body ${this.body.length > 60 ? `${this.body.length} bytes` : this.body}`);
    this.body = "";
  }

  private add(line: string): void {
    this.lines.push(line);
    this.hook(line);
  }
}

/** Copies to a buffer that is wiped after the call, as a driver's shared read buffer would be. */
export const feedWiped = (receive: (chunk: Buffer) => void, bytes: Buffer): void => {
  const chunk = Buffer.from(bytes);
  receive(chunk);
  chunk.fill(0x58);
};

/** What a request decoder says of chunks, one after the other, and then of the peer's end when asked. */
export const decodeRequests = (
  chunks: readonly Buffer[],
  options: RequestDecoderOptions & { readonly finish?: boolean } = {},
): string[] => {
  const recorder = new Recorder();
  const decoder = new RequestDecoder(recorder, options);
  for (const chunk of chunks) feedWiped((bytes) => decoder.receive(bytes), chunk);
  if (options.finish) decoder.finish();
  recorder.flushBody();
  return recorder.lines;
};

export interface ResponseCase extends ResponseDecoderOptions {
  /** Methods of the requests sent, in order; `+upgrade` after one that asked for an upgrade. */
  readonly methods?: readonly string[];
  readonly finish?: boolean;
}

export const decodeResponses = (chunks: readonly Buffer[], options: ResponseCase = {}): string[] => {
  const recorder = new Recorder();
  const decoder = new ResponseDecoder(recorder, options);
  for (const method of options.methods ?? ["GET"]) decoder.expect(method.split("+")[0] ?? "", method.includes("+"));
  for (const chunk of chunks) feedWiped((bytes) => decoder.receive(bytes), chunk);
  if (options.finish) decoder.finish();
  recorder.flushBody();
  return recorder.lines;
};

/** The bytes cut before each of the given offsets. */
export const cutAt = (bytes: Buffer, offsets: readonly number[]): Buffer[] => {
  const sorted = [...offsets].sort((a, b) => a - b);
  return [0, ...sorted].map((from, i) => bytes.subarray(from, sorted[i] ?? bytes.length));
};
