/** Grammar-aware mutations: a request is lines and a body, and each is bent where attackers bend it. */
import type { Random } from "@weft/core/world";
import { mutator } from "@weft/testkit/fuzz";
import type { RequestSeed } from "./seeds.ts";

const pick = <T>(list: readonly T[], random: Random): T => list[Math.floor(random() * list.length)] as T;

const fields = [
  "Content-Length: 5",
  "Content-Length: 0",
  "Content-Length: 05",
  "Content-Length: 6",
  "content-length:5",
  "Content-Length : 5",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: identity",
  "transfer-encoding:\tchunked",
  "Transfer-Encoding: chunked, chunked",
  "Host: h.test",
  "Host: other.test",
  "Connection: close",
  "Connection: keep-alive",
  "Connection: upgrade",
  "Upgrade: websocket",
  "Upgrade: h2c",
  "Expect: 100-continue",
  "TE: trailers",
  "X: y",
  "X:",
  " folded",
  "\tfolded",
  "X : y",
  "x_y: z",
  ": v",
  "X",
  "X: a\rb",
  "X: a\nY: b",
  "X: \x00",
  "X: \x0b",
  "X: \xff",
  "Keep-Alive: 5",
  "Proxy-Connection: close",
  "Trailer: X",
] as const;
const lineEnds = ["\n", "\r", "\r\r\n", "\n\r", "\r\n\r\n", " \r\n", "\t\r\n", "\0\r\n", "\r\n ", ""] as const;
const methods = [
  "GET",
  "POST",
  "HEAD",
  "PUT",
  "OPTIONS",
  "DELETE",
  "CONNECT",
  "TRACE",
  "G ET",
  "G\tET",
  "",
  "get",
  "PRI",
] as const;
const targets = [
  "/",
  "/x",
  "*",
  "//x",
  "/a b",
  "/\x7f",
  "/\xe9",
  "http://h.test/x",
  "http://other.test",
  "h.test:80",
  "/#x",
  "",
] as const;
const versions = [
  "HTTP/1.1",
  "HTTP/1.0",
  "HTTP/1.2",
  "HTTP/2.0",
  "http/1.1",
  "HTTP/1.1 ",
  " HTTP/1.1",
  "HTTP/11",
  "",
] as const;
const sizes = [
  "5",
  "05",
  "5;a",
  "5;a=b",
  "5 ",
  " 5",
  "0x5",
  "-5",
  "+5",
  "5\r",
  "ffffffffffffffff",
  "",
  "G",
  "5;",
  "4",
  "6",
] as const;

const bytes = mutator([
  "\r",
  "\n",
  "\r\n",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  ",",
  "0",
  "a",
  "#",
  "@",
  "\x80",
  ...fields.map((f) => `${f}\r\n`),
]);

type Edit = (text: string, random: Random) => string;

/** Does `edit` to one line of the first head; its end included in what follows. */
const onLine =
  (edit: (line: string, random: Random) => string): Edit =>
  (text, random) => {
    const end = text.indexOf("\r\n\r\n");
    const lines = text.slice(0, end < 0 ? text.length : end).split("\r\n");
    const at = 1 + Math.floor(random() * Math.max(1, lines.length - 1));
    return (
      lines.map((line, i) => (i === at ? edit(line, random) : line)).join("\r\n") + (end < 0 ? "" : text.slice(end))
    );
  };

const onStart =
  (edit: (words: readonly string[], random: Random) => string): Edit =>
  (text, random) => {
    const end = text.indexOf("\r\n");
    return end < 0 ? text : edit(text.slice(0, end).split(" "), random) + text.slice(end);
  };

const edits: readonly Edit[] = [
  onLine((line, random) => `${line}\r\n${pick(fields, random)}`),
  onLine((line, random) => `${pick(fields, random)}\r\n${line}`),
  onLine((line) => `${line}\r\n${line}`),
  onLine((_, random) => pick(fields, random)),
  onLine((line) => line.replace(/^[^:]*/, (name) => name.toUpperCase())),
  onLine((line, random) => line.replace(":", pick([" :", "\t:", "", "::", ":\0", ":\r\n "], random))),
  onLine((line, random) => line + pick(["\0", "\x7f", " ", "\t", ",", ",x", "\xff", "\x0b"], random)),
  onStart(([, ...rest], random) => [pick(methods, random), ...rest].join(" ")),
  onStart(([first = "", , ...rest], random) => [first, pick(targets, random), ...rest].join(" ")),
  onStart(([first = "", second = ""], random) => [first, second, pick(versions, random)].join(" ")),
  (text, random) => {
    const ends = [...text.matchAll(/\r\n/g)];
    const { index = 0 } = pick(ends, random) ?? {};
    return ends.length === 0 ? text : text.slice(0, index) + pick(lineEnds, random) + text.slice(index + 2);
  },
  (text, random) => text.replace(/(?<=\r\n)[0-9a-fA-F]+(?=\r\n)/, () => pick(sizes, random)),
  (text, random) =>
    text.replace(/(?<=Content-Length: ?)\d+/i, (n) => String(Math.max(0, Number(n) + pick([-1, 1, 10], random)))),
  (text, random) => text + pick(["\r\n", "GET /more HTTP/1.1\r\nHost: h.test\r\n\r\n", "0\r\n\r\n", "x"], random),
  (text, random) => text.slice(0, Math.floor(random() * text.length)),
];

/** The case of that number: seeds as they are first, then mutations of them. */
export const caseOf = (seeds: readonly RequestSeed[], number: number, random: Random): string => {
  const seed = seeds[number % seeds.length] as RequestSeed;
  if (number < seeds.length) return seed.text;
  let { text } = seed;
  if (random() < 0.2) {
    return bytes(Buffer.from(text, "latin1"), Buffer.from(pick(seeds, random).text, "latin1"), random).toString(
      "latin1",
    );
  }
  for (let left = 1 + Math.floor(random() * 2.3); left > 0; left--) text = pick(edits, random)(text, random);
  return text;
};
