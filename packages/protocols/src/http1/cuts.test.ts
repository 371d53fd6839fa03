import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cutAt, decodeRequests, decodeResponses } from "./recorder.ts";

const requests = [
  "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent:x\r\nX-Mixed-Case: \t v \r\n\r\n",
  "POST /p?q HTTP/1.1\r\nHost: a:1\r\nContent-Length: 11\r\n\r\nhello\r\nworl",
  "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n" +
    "5;e=1\r\nhel\r\n\r\n0b\r\nhello\r\n\r\nwo\r\n000\r\nX-T: 1\r\nY: 2\r\n\r\n",
  'PUT / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a="b\\"";c;d=e\r\nabc\r\n0\r\n\r\n',
  "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: x-a, x-b\r\nX-A: 1\r\nX-B: 2\r\n\r\n",
  "GET http://b/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
  "\r\nHEAD /h HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
];
const responses: readonly (readonly [method: string, text: string])[] = [
  ["GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: s\r\n\r\nhe\r\nl"],
  ["HEAD", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n"],
  ["GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"],
  ["GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n1;x\r\nz\r\n0\r\nT: u\r\n\r\n"],
  ["POST", "HTTP/1.0 404 \r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"],
];

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const pipelinedRequests = bytes(requests.join(""));
const pipelinedResponses = bytes(responses.map(([, text]) => text).join(""));
const methods = responses.map(([method]) => method);

test("requests are told the same wherever the network cuts them once", () => {
  const whole = decodeRequests([pipelinedRequests]);
  assert.equal(whole.filter((line) => line === "end").length, requests.length);
  for (let cut = 0; cut <= pipelinedRequests.length; cut++) {
    assert.deepEqual(decodeRequests(cutAt(pipelinedRequests, [cut])), whole, `cut at byte ${cut}`);
  }
});

test("responses are told the same wherever the network cuts them once", () => {
  const whole = decodeResponses([pipelinedResponses], { methods });
  assert.equal(whole.filter((line) => line === "end").length, responses.length);
  for (let cut = 0; cut <= pipelinedResponses.length; cut++) {
    assert.deepEqual(decodeResponses(cutAt(pipelinedResponses, [cut]), { methods }), whole, `cut at byte ${cut}`);
  }
});

test("every short request is told the same for every pair of cuts", () => {
  for (const text of requests) {
    const message = bytes(text);
    const whole = decodeRequests([message]);
    for (let first = 1; first < message.length; first += 3) {
      for (let second = first + 1; second < message.length; second += 2) {
        assert.deepEqual(decodeRequests(cutAt(message, [first, second])), whole, `${first}, ${second} of ${text}`);
      }
    }
  }
});

/** Messages with a few bytes replaced, removed, doubled or inserted: mostly wrong, wrong everywhere. */
const mutated = (seeds: readonly string[]): fc.Arbitrary<Buffer> => {
  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    kind: fc.constantFrom("replace", "remove", "insert", "double"),
    text: fc.constantFrom(
      "\r",
      "\n",
      "\0",
      " ",
      ":",
      ";",
      "0",
      "f",
      "\t",
      "\r\n",
      ",",
      "#",
      "a",
      "\x80",
      "\r\n\r\n",
      "chunked",
      "close",
    ),
  });
  const apply = (text: string, edits: readonly { at: number; kind: string; text: string }[]): Buffer => {
    let result = text;
    for (const { at, kind, text: inserted } of edits) {
      const i = Math.floor(at * result.length);
      const kept = kind === "insert" ? i : i + 1;
      const middle = kind === "remove" ? "" : kind === "double" ? result.slice(i, i + 1).repeat(2) : inserted;
      result = result.slice(0, i) + middle + result.slice(kept);
    }
    return bytes(result);
  };
  return fc
    .tuple(fc.array(fc.constantFrom(...seeds), { minLength: 1, maxLength: 3 }), fc.array(edit, { maxLength: 4 }))
    .map(([texts, edits]) => apply(texts.join(""), edits));
};

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
const offsets = (message: Buffer, shares: readonly number[]): number[] =>
  shares.map((share) => Math.floor(share * message.length));

const tight = { headBytesMax: 110, startLineBytesMax: 40, headersMax: 4, chunkExtensionBytesMax: 3 };

test("mutated requests are told or refused the same however the network cuts them", () => {
  fc.assert(
    fc.property(mutated(requests), cuts, fc.boolean(), (message, shares, tightly) => {
      const options = { finish: true, ...(tightly ? { limits: tight } : {}) };
      const whole = decodeRequests([message], options);
      assert.deepEqual(decodeRequests(cutAt(message, offsets(message, shares)), options), whole);
      assert.deepEqual(decodeRequests(cutAt(message, [...message.keys()]), options), whole);
      assert.ok(whole.filter((line) => line.startsWith("error")).length <= 1);
    }),
    { numRuns: 1500 },
  );
});

test("mutated responses are told or refused the same however the network cuts them", () => {
  const options = { methods: ["GET", "HEAD", "GET", "GET+upgrade"], finish: true };
  fc.assert(
    fc.property(mutated(responses.map(([, text]) => text)), cuts, (message, shares) => {
      const whole = decodeResponses([message], options);
      assert.deepEqual(decodeResponses(cutAt(message, offsets(message, shares)), options), whole);
      assert.deepEqual(decodeResponses(cutAt(message, [...message.keys()]), options), whole);
    }),
    { numRuns: 1500 },
  );
});

test("random bytes never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
      decodeRequests([Buffer.from(random)], { finish: true });
      decodeResponses([Buffer.from(random)], { finish: true });
    }),
  );
});

test("one byte at a time costs no more than a second for a head at its limit", () => {
  const message = bytes(`GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(60_000)}\r\n\r\n`);
  assert.equal(decodeRequests(cutAt(message, [...message.keys()])).at(-1), "end");
});
