import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RequestHead, ResponseHead } from "../http/head.ts";
import { HeaderList } from "../http/headers.ts";
import {
  chunkEnd,
  chunkStart,
  EncodeError,
  encodeLastChunk,
  encodeRequestHead,
  encodeResponseHead,
  responseBodyKind,
} from "./encoder.ts";
import { decodeRequests, decodeResponses } from "./recorder.ts";

const listOf = (fields: readonly (readonly [string, string])[]): HeaderList => {
  const list = new HeaderList();
  for (const [name, value] of fields) list.add(name, value);
  return list;
};
const request = (
  change: Partial<RequestHead> = {},
  fields: readonly (readonly [string, string])[] = [],
): RequestHead => ({
  method: "GET",
  scheme: "http",
  authority: "a",
  path: "/",
  protocol: "",
  ...change,
  headers: listOf(fields),
});
const response = (status: number, fields: readonly (readonly [string, string])[] = []): ResponseHead => ({
  status,
  headers: listOf(fields),
});
const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

test("a request's head is written with Host first", () => {
  assert.equal(
    encodeRequestHead(request({ path: "/x?y" }, [["accept", "*/*"]]), "none", "keep-alive"),
    "GET /x?y HTTP/1.1\r\nhost: a\r\naccept: */*\r\nconnection: keep-alive\r\n\r\n",
  );
});

test("framing comes from the argument, never from the list", () => {
  const fields = [
    ["content-length", "5"],
    ["transfer-encoding", "gzip"],
    ["connection", "close"],
    ["keep-alive", "x"],
    ["proxy-connection", "x"],
    ["upgrade", "x"],
    ["http2-settings", "x"],
    ["host", "b"],
  ] as const;
  assert.equal(
    encodeRequestHead(request({}, fields), "chunked"),
    "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
  );
  assert.equal(
    encodeRequestHead(request({}, fields), "length"),
    "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n",
  );
  assert.equal(encodeRequestHead(request({}, fields), "none"), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  assert.equal(
    encodeResponseHead(response(200, fields.slice(0, -1)), "chunked"),
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
  );
});

test("an empty request body keeps its length of 0", () => {
  assert.match(
    encodeRequestHead(request({ method: "POST" }, [["content-length", "0"]]), "none"),
    /content-length: 0\r\n/,
  );
});

test("an upgrade and CONNECT are written as HTTP/1 asks for them", () => {
  assert.equal(
    encodeRequestHead(request({ protocol: "websocket" }), "tunnel"),
    "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
  );
  assert.equal(
    encodeRequestHead(request({ method: "CONNECT", authority: "b:443", path: "" }), "tunnel"),
    "CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n",
  );
  assert.equal(
    encodeResponseHead(response(101, [["upgrade", "websocket"]]), "tunnel"),
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
  );
});

test("a response without content carries a length only where one may stand", () => {
  const length = [["content-length", "9"]] as const;
  assert.match(encodeResponseHead(response(200, length), "none"), /content-length: 9/);
  assert.match(encodeResponseHead(response(304, length), "none"), /content-length: 9/);
  assert.doesNotMatch(encodeResponseHead(response(204, length), "none"), /content-length/);
  assert.doesNotMatch(encodeResponseHead(response(100, length), "none"), /content-length/);
  assert.doesNotMatch(encodeResponseHead(response(200, length), "close"), /content-length/);
});

test("an unknown status is written without a phrase", () => {
  assert.equal(encodeResponseHead(response(599), "none", "close"), "HTTP/1.1 599 \r\nconnection: close\r\n\r\n");
});

test("how a response's body is delimited follows the request and the status", () => {
  const get = { method: "GET", minorVersion: 1 };
  assert.equal(responseBodyKind(response(200), get), "chunked");
  assert.equal(responseBodyKind(response(200, [["content-length", "1"]]), get), "length");
  assert.equal(responseBodyKind(response(200), { method: "GET", minorVersion: 0 }), "close");
  assert.equal(responseBodyKind(response(200), { method: "HEAD", minorVersion: 1 }), "none");
  assert.equal(responseBodyKind(response(200), { method: "CONNECT", minorVersion: 1 }), "tunnel");
  assert.equal(responseBodyKind(response(403), { method: "CONNECT", minorVersion: 1 }), "chunked");
  for (const status of [100, 204, 304]) assert.equal(responseBodyKind(response(status), get), "none");
  assert.equal(responseBodyKind(response(101), get), "tunnel");
});

test("what would read as something else is not written", () => {
  const cases: readonly (() => string)[] = [
    () => encodeRequestHead(request({ path: "/a b" }), "none"),
    () => encodeRequestHead(request({ path: "" }), "none"),
    () => encodeRequestHead(request({ path: "/\r\nx: y" }), "none"),
    () => encodeRequestHead(request({ method: "GET /x" }), "none"),
    () => encodeRequestHead(request({ method: "" }), "none"),
    () => encodeRequestHead(request({ authority: "a\r\nx: y" }), "none"),
    () => encodeRequestHead(request({ protocol: "x\ny" }), "tunnel"),
    () => encodeRequestHead(request({}, [["x", "a\r\nb: c"]]), "none"),
    () => encodeRequestHead(request({}, [["x", "a\rb"]]), "none"),
    () => encodeRequestHead(request({}, [["x\n", "a"]]), "none"),
    () => encodeRequestHead(request(), "length"),
    () =>
      encodeRequestHead(
        request({}, [
          ["content-length", "1"],
          ["content-length", "2"],
        ]),
        "length",
      ),
    () => encodeResponseHead(response(200, [["x", "a\0b"]]), "none"),
    () => encodeResponseHead(response(200), "length"),
    () => encodeLastChunk(listOf([["x", "a\nb"]])),
  ];
  for (const [i, encode] of cases.entries()) assert.throws(encode, EncodeError, `case ${i}`);
});

const tokenCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_!#$%&'*+.^`|~";
const name = fc
  .string({ unit: fc.constantFrom(...tokenCharacters), minLength: 1, maxLength: 20 })
  .map((text) => `x${text}`);
const value = fc
  .string({ unit: fc.constantFrom(...'abcXYZ 019\t:;,="\x80\xff'), maxLength: 40 })
  .map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ""));
const fields = fc.array(fc.tuple(name, value), { maxLength: 12 });
const body = fc.string({ unit: fc.constantFrom(..."ab\r\n0"), minLength: 1, maxLength: 50 });

test("what is encoded is decoded to the same request", () => {
  const path = fc.string({ unit: fc.constantFrom(..."abc/?%&=."), maxLength: 30 }).map((text) => `/${text}`);
  fc.assert(
    fc.property(path, fields, fc.array(body, { maxLength: 4 }), fields, (target, list, chunks, trailers) => {
      const text = [
        encodeRequestHead(request({ method: "PUT", path: target }, list), "chunked"),
        ...chunks.map((chunk) => chunkStart(chunk.length) + chunk + chunkEnd),
        encodeLastChunk(listOf(trailers)),
      ].join("");
      const shown = (pairs: typeof list): string => pairs.map(([n, v]) => `${n}: ${v}`).join("|");
      const whole = chunks.join("");
      assert.deepEqual(decodeRequests([latin1(text)]), [
        `PUT http a ${target} 1.1 chunked keep [${shown(list)}]`,
        ...(whole === "" ? [] : [`body ${whole.length > 60 ? `${whole.length} bytes` : whole}`]),
        ...(trailers.length > 0 ? [`trailers [${shown(trailers)}]`] : []),
        "end",
      ]);
    }),
  );
});

test("what is encoded is decoded to the same response", () => {
  fc.assert(
    fc.property(fc.integer({ min: 200, max: 599 }), fields, body, (status, list, content) => {
      const bodiless = status === 204 || status === 304;
      const head = response(status, [...list, ["content-length", `${content.length}`]]);
      const text = encodeResponseHead(head, bodiless ? "none" : "length") + (bodiless ? "" : content);
      const lines = decodeResponses([latin1(text)]);
      assert.equal(
        lines[0]?.startsWith(`${status} 1.1 ${bodiless ? "none" : `length ${content.length}`} keep [`),
        true,
      );
      assert.equal(lines.at(-1), "end");
    }),
  );
});
