/** The HTTP/1 decoders under seeded fuzzing: one reading wherever the bytes are cut, and what is taken reads the same again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Random } from "@weft/core/world";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import {
  chunkEnd,
  chunkStart,
  encodeLastChunk,
  encodeRequestHead,
  encodeResponseHead,
} from "@weft/protocols/http1/encoder";
import type { BodyKind } from "@weft/protocols/http1/message";
import { cutAt, Recorder } from "@weft/protocols/http1/recorder";
import { RequestDecoder } from "@weft/protocols/http1/request-decoder";
import { ResponseDecoder } from "@weft/protocols/http1/response-decoder";
import { fuzz, mutator } from "@weft/testkit/fuzz";
import { requestSeeds } from "./http1-differential/seeds.ts";

const inputsEach = 300_000;
const limits = { headBytesMax: 2000, startLineBytesMax: 600, headersMax: 20, chunkExtensionBytesMax: 40 };
const methods = ["GET", "HEAD", "POST", "GET", "CONNECT"];

const words = [
  "\r",
  "\n",
  "\r\n",
  "\r\n\r\n",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  ",",
  '"',
  "\\",
  "0",
  "1",
  "f",
  "#",
  "@",
  "\x80",
  "\xff",
  "chunked",
  "close",
  "keep-alive",
  "upgrade",
  "Content-Length: 5\r\n",
  "Content-Length: 0\r\n",
  "Host: a\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: x\r\n",
  "Upgrade: websocket\r\n",
  "Expect: 100-continue\r\n",
  "0\r\n\r\n",
  "5\r\nhello\r\n",
  "HTTP/1.1",
  "HTTP/1.0",
  "HTTP/2.0",
  "GET / HTTP/1.1\r\nHost: b\r\n\r\n",
  "http://h/",
  "HTTP/1.1 200 OK\r\n",
  "HTTP/1.1 101 S\r\n",
  "HTTP/1.1 100 C\r\n\r\n",
  "TE: trailers\r\n",
  "trailers",
  "_",
  '5;a="b"',
] as const;

/** What a decoder said, as `Recorder` writes it, and the messages themselves, written again. */
class Again extends Recorder {
  text = "";
  private kind: BodyKind = "none";

  override onHead(...[head, facts]: Parameters<Recorder["onHead"]>): void {
    super.onHead(head, facts);
    this.kind = facts.bodyKind;
    if ("method" in head) this.text += encodeRequestHead(head as RequestHead, this.kind as Exclude<BodyKind, "close">);
    else this.text += encodeResponseHead(head as ResponseHead, this.kind);
  }
  override onBody(bytes: Buffer): void {
    super.onBody(bytes);
    const text = bytes.toString("latin1");
    this.text += this.kind === "chunked" ? `${chunkStart(bytes.length)}${text}${chunkEnd}` : text;
  }
  override onTrailers(trailers: HeaderList): void {
    super.onTrailers(trailers);
    this.text += encodeLastChunk(trailers);
    this.kind = "none";
  }
  override onEnd(): void {
    super.onEnd();
    if (this.kind === "chunked") this.text += encodeLastChunk();
  }
}

interface Decoder {
  receive(bytes: Buffer): void;
  finish(): void;
}
type Make = (recorder: Recorder) => Decoder;

const tell = <R extends Recorder>(make: Make, recorder: R, chunks: readonly Buffer[]): R => {
  const decoder = make(recorder);
  for (const chunk of chunks) decoder.receive(chunk);
  decoder.finish();
  recorder.flushBody();
  return recorder;
};

/** What must be the same when it is read again: neither version nor scheme nor what this connection alone is told. */
const essence = (lines: readonly string[]): string[] =>
  lines
    .filter((line) => !line.startsWith("interim ") && !line.startsWith("error "))
    .map((line) =>
      line
        .replace(/^(\S+ )https? /, "$1")
        .replace(/ 1\.[01] (\S+( \d+)?) (keep|close)( 100-continue)? \[/, " $1 [")
        // A Host in a response means nothing, and is not written.
        .replace(/(?<=^\d{3} .*[[|])host: [^|]*?(\||(?=\]$))/g, "")
        .replace(/\|\]$/, "]"),
    );

const runWith =
  (make: Make, makeAgain: Make) =>
  (input: Buffer, random: Random): string => {
    const whole = tell(make, new Again(), [input]);
    const { lines } = whole;
    const cuts = Array.from({ length: 1 + Math.floor(random() * 5) }, () => Math.floor(random() * (input.length + 1)));
    assert.deepEqual(tell(make, new Recorder(), cutAt(input, cuts)).lines, lines, `cut at ${cuts}`);
    assert.ok(lines.filter((line) => line.startsWith("error ")).length <= 1, "more than one error");
    const ended = lines.filter((line) => line === "end").length;
    const heads = lines.filter((line) => / 1\.[01] /.test(line) && line.endsWith("]")).length;
    assert.ok(heads - ended >= 0 && heads - ended <= 1, "heads without end");
    if (ended === heads && heads > 0 && !lines.some((line) => line.includes(" tunnel "))) {
      const again = tell(makeAgain, new Recorder(), [Buffer.from(whole.text, "latin1")]);
      assert.deepEqual(essence(again.lines), essence(lines), `written again: ${JSON.stringify(whole.text)}`);
      assert.ok(!again.lines.some((line) => line.startsWith("error ")), "what was written again is refused");
    }
    return lines
      .map((line) => line.replace(/^body .*/s, "body").replace(/\[.*|\S{9,}/s, ""))
      .join("|")
      .slice(0, 200);
  };

const requests =
  (limited: object): Make =>
  (recorder) =>
    new RequestDecoder(recorder, { upgrades: "any", ...limited });
const responses =
  (limited: object): Make =>
  (recorder) => {
    const decoder = new ResponseDecoder(recorder, limited);
    for (const [i, method] of methods.entries()) decoder.expect(method, i === 3);
    return decoder;
  };

const responseSeeds = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: s\r\n\r\nhello",
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b"\r\nhello\r\n0\r\nT: u\r\n\r\n',
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
  "HTTP/1.0 404 \r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
  "HTTP/1.1 200 OK\r\nConnection: close\r\nX_Y: z\r\n\r\nto the end",
  "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(3),
  "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw",
];

for (const [name, seeds, make] of [
  ["requests", requestSeeds.map(({ text }) => text), requests],
  ["responses", responseSeeds, responses],
] as const) {
  test(`${inputsEach} mutated ${name} have one reading each`, { timeout: 120_000 }, (t) => {
    const rssBefore = process.memoryUsage.rss();
    const result = fuzz({
      seed: 0x5eed,
      inputs: inputsEach,
      corpus: seeds.map((text) => Buffer.from(text, "latin1")).filter(({ length }) => length < 4000),
      mutate: mutator(words),
      run: runWith(make({ limits }), make({})),
    });
    const grown = (process.memoryUsage.rss() - rssBefore) / 1e6;
    t.diagnostic(`${result.inputs} inputs, ${result.behaviours} behaviours, ${Math.round(grown)} MB more`);
    const [failure] = result.failures;
    if (failure) assert.fail(`${JSON.stringify(failure.input.toString("latin1"))}: ${failure.message}`);
    assert.ok(grown < 300, `${grown} MB`);
  });
}
