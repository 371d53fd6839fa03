/**
 * Responses that strict parsers agree on, and those on which they do not: what the public response cases of llhttp ask
 * of a parser in its strict mode, asked of ours. A case that ends otherwise here than there says why.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cutAt, decodeResponses } from "./recorder.ts";

/** `takes` lists the status of each response read; `refuses` the problem, after what was read before it. */
interface Case {
  readonly name: string;
  readonly bytes: string;
  readonly takes?: readonly number[];
  readonly refuses?: string;
  readonly body?: string;
  /** Methods of the requests it answers. */
  readonly methods?: readonly string[];
  /** The server ends its side after it. */
  readonly finish?: boolean;
  /** Why llhttp ends otherwise. */
  readonly differs?: string;
}

const head = (line: string, ...fields: readonly string[]): string => [line, ...fields, "", ""].join("\r\n");
const ok = (...fields: readonly string[]): string => head("HTTP/1.1 200 OK", ...fields);
const chunked = "Transfer-Encoding: chunked";
const none = "Content-Length: 0";
const two = { methods: ["GET", "GET"] } as const;
const upgrade = { methods: ["GET+upgrade"] } as const;

const connectionCases: readonly Case[] = [
  {
    name: "Proxy-Connection",
    bytes: `${ok("Content-Length: 2", "Proxy-Connection: close")}hi`,
    takes: [200],
    body: "hi",
  },
  {
    name: "HTTP/1.0 kept alive and no length",
    bytes: `${head("HTTP/1.0 200 OK", "Connection: keep-alive")}HTTP/1.0 200 OK`,
    takes: [200],
    body: "HTTP/1.0 200 OK",
  },
  {
    name: "HTTP/1.0 kept alive and 204",
    bytes: head("HTTP/1.0 204 None", "Connection: keep-alive") + head("HTTP/1.0 200 OK", none),
    takes: [204, 200],
    ...two,
  },
  { name: "no length", bytes: `${ok()}${ok()}`, takes: [200], body: ok() },
  { name: "204, then another", bytes: head("HTTP/1.1 204 None") + ok(none), takes: [204, 200], ...two },
  {
    name: "204 and close, then another",
    bytes: head("HTTP/1.1 204 None", "Connection: close") + ok(none),
    takes: [204],
    differs: "bytes after the last response are dropped with the connection, not an error",
    ...two,
  },
  {
    name: "more than the length, and close",
    bytes: `${ok("Content-Length: 5", "Connection: close")}12345-and-more`,
    takes: [200],
    body: "12345",
    differs: "bytes after the last response are dropped with the connection, not an error",
  },
  {
    name: "a switch with a length",
    bytes: `${head("HTTP/1.1 101 Switch", "Connection: upgrade", "Upgrade: own", "Content-Length: 4")}bodyraw`,
    takes: [101],
    body: "bodyraw",
    ...upgrade,
  },
  {
    name: "a switch with chunks",
    bytes: `${head("HTTP/1.1 101 Switch", "Connection: upgrade", "Upgrade: own", chunked)}2\r\nbo\r\n`,
    takes: [101],
    body: "2\r\nbo\r\n",
    ...upgrade,
  },
  {
    name: "200 that names an upgrade",
    bytes: `${ok("Connection: upgrade", "Upgrade: own")}body`,
    takes: [200],
    body: "body",
  },
  {
    name: "200 that names an upgrade, with a length",
    bytes: `${ok("Connection: upgrade", "Upgrade: own", "Content-Length: 4")}body`,
    takes: [200],
    body: "body",
    ...upgrade,
  },
  {
    name: "200 that names an upgrade, in chunks",
    bytes: `${ok("Connection: upgrade", "Upgrade: own", chunked)}2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n`,
    takes: [200],
    body: "body",
    ...upgrade,
  },
  {
    name: "304 with a length, then another",
    bytes: `${head("HTTP/1.1 304 Same", "Content-Length: 10")}${ok("Content-Length: 2")}hi`,
    takes: [304, 200],
    body: "hi",
    ...two,
  },
  {
    name: "304 with chunks, then another",
    bytes: `${head("HTTP/1.1 304 Same", chunked)}${ok(chunked)}2\r\nhi\r\n0\r\n\r\n`,
    takes: [304, 200],
    body: "hi",
    ...two,
  },
  {
    name: "100, an empty line, then 404",
    bytes: `${head("HTTP/1.1 100 Continue")}\r\n${head("HTTP/1.1 404 No", "Content-Length: 2")}no`,
    takes: [404],
    body: "no",
  },
  {
    name: "103, then 200",
    bytes: `${head("HTTP/1.1 103 Early", "Link: </s>; rel=preload")}${ok("Keep-Alive: timeout=5", "Content-Length: 2")}hi`,
    takes: [200],
    body: "hi",
  },
];

const lengthCases: readonly Case[] = [
  {
    name: "close and no length",
    bytes: `${ok("Connection: close")}<a>\n</a>`,
    takes: [200],
    body: "<a>\n</a>",
    finish: true,
  },
  {
    name: "a name that begins as the length",
    bytes: `${ok("Content-Length-X: 0", chunked)}2\r\nOK\r\n0\r\n\r\n`,
    takes: [200],
    body: "OK",
  },
  { name: "lengths of HEAD", bytes: ok("Content-Length: 123").repeat(2), takes: [200, 200], methods: ["HEAD", "HEAD"] },
  { name: "tabs around a length", bytes: `${ok("Content-Length:\t2\t")}ab`, takes: [200], body: "ab" },
  { name: "an end after the head", bytes: ok(), takes: [200], finish: true },
  {
    name: "three responses at once",
    bytes: ["aaa", "b"].map((b) => ok(`Content-Length: ${b.length}`) + b).join(""),
    takes: [200, 200],
    body: "aaab",
    ...two,
  },
];

const invalidCases: readonly Case[] = [
  ...(
    [
      ["a short protocol", "HTP/1.1 200 OK"],
      ["a long protocol", "HTTPS/1.1 200 OK"],
      ["a zero before the major version", "HTTP/01.1 200 OK"],
      ["two digits of major version", "HTTP/11.1 200 OK"],
      ["a zero before the minor version", "HTTP/1.01 200 OK"],
      ["a tab after the version", "HTTP/1.1\t200 OK"],
      ["a carriage return first", "\rHTTP/1.1 200 OK"],
      ["a version of the future", "HTTP/5.6 200 OK"],
    ] as const
  ).map(([name, line]): Case => ({ name, bytes: head(line), refuses: "bad-version" })),
  { name: "RTSP", bytes: head("RTSP/1.1 200 OK"), refuses: "bad-version", differs: "not HTTP" },
  { name: "ICE", bytes: head("ICE/1.1 200 OK"), refuses: "bad-version", differs: "not HTTP" },
  { name: "HTTP/0.9", bytes: head("HTTP/0.9 200 OK"), refuses: "bad-version", differs: "HTTP/0.9 is not spoken" },
  { name: "fields divided by a carriage return", bytes: ok("A: 1\rB: 2"), refuses: "bare-cr" },
  { name: "a carriage return after the status line", bytes: "HTTP/1.1 200 OK\rA: 0\r\n\r\n", refuses: "bad-status" },
  {
    name: "two carriage returns after it",
    bytes: "HTTP/1.1 200 OK\r\rContent-Length: 4\r\n\r\nEvil",
    refuses: "bad-status",
  },
  { name: "a space before the first field", bytes: "HTTP/1.1 200 OK\r\n A: b\r\n", refuses: "folded-line" },
  { name: "two spaces before the status", bytes: head("HTTP/1.1  200 OK"), refuses: "bad-status" },
  { name: "two spaces after the status", bytes: head("HTTP/1.1 200  OK", none), takes: [200] },
  { name: "a status of one digit", bytes: head("HTTP/1.1 2 OK"), refuses: "bad-status" },
  { name: "line feeds alone", bytes: "HTTP/1.1 200 OK\nA: b\n\nBODY\n", refuses: "bad-status" },
  { name: "a space in a name", bytes: ok("en-US Content-Type: text/xml"), refuses: "bad-header-name" },
];

const sampleCases: readonly Case[] = [
  { name: "fields with spaces and tabs", bytes: ok("A: 1", "B:\t 2", "Content-Length:  0  "), takes: [200] },
  { name: "a dollar in a name", bytes: ok("X-$Own: 1", none), takes: [200] },
  { name: "no fields", bytes: head("HTTP/1.1 404 Not Found"), takes: [404] },
  { name: "no reason", bytes: head("HTTP/1.1 301", none), takes: [301] },
  { name: "an empty reason", bytes: head("HTTP/1.1 200 ", none), takes: [200] },
  { name: "an underscore in a name", bytes: ok(none, "OWN_x: a;;~b=c"), takes: [200] },
  { name: "an empty value", bytes: ok("Pragma: ", none), takes: [200] },
  {
    name: "names that begin with a dot or underscore",
    bytes: `${ok(".et: a", "_on: b", chunked)}0\r\n\r\n`,
    takes: [200],
  },
  { name: "UTF-8 in the reason", bytes: head("HTTP/1.1 500 Ori\xc3\xabnt", none), takes: [500] },
  { name: "an empty line first", bytes: `\r\n${ok(none)}`, takes: [200] },
];

const codingCases: readonly Case[] = [
  { name: "spaces after a size", bytes: `${ok(chunked)}2  \r\nhi\r\n0  \r\n\r\n`, refuses: "bad-chunk-size" },
  ...["chunked, deflate", "chunked\r\nTransfer-Encoding: identity", "chunkedchunked"].map(
    (value): Case => ({
      name: value,
      bytes: `${ok(`Transfer-Encoding: ${value}`)}data`,
      refuses: "bad-transfer-encoding",
      differs: "RFC 9112 section 6.3 would read to the close: an upstream so confused is not passed on",
    }),
  ),
  { name: "extensions", bytes: `${ok(chunked)}1;a;b=c\r\nx\r\n1;d;e\r\ny\r\n0\r\n\r\n`, takes: [200], body: "xy" },
  { name: "extensions without a semicolon", bytes: `${ok(chunked)}2 ext\r\naa\r\n`, refuses: "bad-chunk-size" },
  { name: "nothing after the semicolon", bytes: `${ok(chunked)}2;\r\naa\r\n`, refuses: "bad-chunk-extension" },
  { name: "a quoted extension", bytes: `${ok(chunked)}1;a="b; c";d\r\nx\r\n0\r\n\r\n`, takes: [200], body: "x" },
  { name: "an open quote", bytes: `${ok(chunked)}1;a="b";c="d\r\nx\r\n`, refuses: "bad-chunk-extension" },
];

const outcome = (each: Case, chunks: readonly Buffer[]) => {
  const lines = decodeResponses(chunks, { methods: each.methods ?? ["GET"], finish: each.finish ?? false });
  return {
    takes: lines.filter((line) => /^\d{3} 1\.[01] /.test(line)).map((line) => Number(line.slice(0, 3))),
    refuses: lines.find((line) => line.startsWith("error "))?.split(" ")[2],
    body: lines
      .filter((line) => line.startsWith("body "))
      .map((line) => line.slice(5))
      .join(""),
  };
};

const all = { connectionCases, lengthCases, invalidCases, sampleCases, codingCases };
for (const [group, cases] of Object.entries(all)) {
  test(`${group.replace("Cases", "")}: every case is taken or refused as listed, whole and byte by byte`, () => {
    for (const each of cases) {
      const bytes = Buffer.from(each.bytes, "latin1");
      const whole = outcome(each, [bytes]);
      assert.deepEqual(outcome(each, cutAt(bytes, [...bytes.keys()])), whole, each.name);
      assert.equal(whole.refuses, each.refuses, each.name);
      if (each.takes !== undefined) assert.deepEqual(whole.takes, each.takes, each.name);
      if (each.body !== undefined) assert.equal(whole.body, each.body, each.name);
      assert.notEqual(each.takes === undefined, each.refuses === undefined, `${each.name}: taken or refused`);
    }
  });
}
