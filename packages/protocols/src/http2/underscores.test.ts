import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestDecoder } from "../http1/request-decoder.ts";
import { Http2Connection } from "./connection.ts";
import { type Fields, frame, headersFrame, literals, post, preface, settings } from "./testing/frames.ts";
import { Recorder } from "./testing/recorder.ts";

type Names = "accept" | "drop" | "refuse";
const fields: Fields = [
  ["x_mine", "1"],
  ["x_forwarded_for", "2"],
  ["content_length", "3"],
  ["x-b", "4"],
];

/** What a server takes of a request with those fields, and of trailers with the same. */
const over2 = (underscoreNames: Names | undefined): string[] => {
  const sink = new Recorder();
  const options = underscoreNames === undefined ? {} : { underscoreNames };
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0, ...options });
  const trailers = frame(1, 5, 1, literals(fields));
  server.receive(Buffer.concat([preface, settings, headersFrame(1, [...post, ...fields], false), trailers]));
  return sink.lines.slice(1);
};
/** The names the HTTP/1 codec keeps of the same head. */
const over1 = (underscoreNames: Names): string[] => {
  const names: string[] = [];
  const decoder = new RequestDecoder(
    {
      onHead: ({ headers }) => {
        for (let i = 0; i < headers.size; i++) names.push(headers.nameAt(i));
      },
      onBody() {},
      onTrailers() {},
      onEnd() {},
      onError: ({ reason }) => void names.push(`refused: ${reason}`),
    },
    { scheme: "http", underscoreNames },
  );
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  decoder.receive(Buffer.from(`GET / HTTP/1.1\r\nhost: a\r\n${lines}\r\n`));
  return names;
};
const request = "1 request POST http://a.example/";

test("names that only their underscores keep from framing or vouching are dropped, others taken", () => {
  assert.deepEqual(over2("accept"), [`${request} [x_mine=1,x-b=4]`, "1 trailers [x_mine=1,x-b=4]"]);
  assert.deepEqual(over1("accept"), ["x_mine", "x-b"]);
});

test("all names with an underscore are dropped where that is asked for", () => {
  assert.deepEqual(over2("drop"), [`${request} [x-b=4]`, "1 trailers [x-b=4]"]);
  assert.deepEqual(over1("drop"), ["x-b"]);
});

test("a request with one is answered 400 where they are refused, and never shown", () => {
  assert.deepEqual(over2("refuse")[0], "1 refused: underscore in a field name");
  assert.equal(over2("refuse").join().includes("request"), false);
  assert.deepEqual(over1("refuse"), ["refused: underscore-header"]);
});

test("trailers with one end their stream where they are refused", () => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0, underscoreNames: "refuse" });
  const trailers = frame(1, 5, 1, literals([["a_b", "1"]]));
  server.receive(Buffer.concat([preface, settings, headersFrame(1, post, false), trailers]));
  assert.deepEqual(sink.lines.slice(2), [
    "1 refused: underscore in a field name",
    "1 reset PROTOCOL_ERROR self",
    "1 over",
  ]);
});

test("who says nothing of them gets them all", () => {
  const all = "x_mine=1,x_forwarded_for=2,content_length=3,x-b=4";
  assert.deepEqual(over2(undefined), [`${request} [${all}]`, `1 trailers [${all}]`]);
});
