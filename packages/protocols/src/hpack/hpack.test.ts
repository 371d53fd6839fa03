import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "@weft/core/random";
import fc from "fast-check";
import { HeaderList } from "../http/headers.ts";
import { FieldBlock, HpackDecoder } from "./decoder.ts";
import { blockBound, HpackEncoder } from "./encoder.ts";
import { decodeHuffman, encodeHuffman, huffmanLength, huffmanOutput } from "./huffman.ts";
import { FieldMemo } from "./memo.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const newBlock = (): FieldBlock => new FieldBlock(1 << 20, 10_000);
const newDecoder = (): HpackDecoder => new HpackDecoder(new FieldMemo());

const decode = (decoder: HpackDecoder, bytes: Buffer): string[] | "broken" => {
  const block = newBlock();
  if (!decoder.decode(bytes, 0, bytes.length, block)) return "broken";
  return block.fields.slice(0, block.count).map((field) => `${field.name.text}: ${field.value}`);
};

const encode = (encoder: HpackEncoder, fields: readonly (readonly [string, string])[]): Buffer => {
  const headers = new HeaderList();
  for (const [name, value] of fields) headers.add(name, value);
  const out = Buffer.alloc(blockBound(headers, 0));
  encoder.begin(out, 0);
  encoder.fields(headers);
  return out.subarray(0, encoder.end());
};

const requests = [
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
  [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"],
];
const date = "date: Mon, 21 Oct 2013 20:13:2";
const responses = [
  [":status: 302", "cache-control: private", `${date}1 GMT`, "location: https://www.example.com"],
  [":status: 307", "cache-control: private", `${date}1 GMT`, "location: https://www.example.com"],
  [
    ":status: 200",
    "cache-control: private",
    `${date}2 GMT`,
    "location: https://www.example.com",
    "content-encoding: gzip",
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  ],
];
const appendixC = [
  {
    name: "C.3 requests without Huffman",
    tableBytes: 4096,
    messages: requests,
    sizes: [57, 110, 164],
    blocks: [
      "828684410f7777772e6578616d706c652e636f6d",
      "828684be58086e6f2d6361636865",
      "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ],
  },
  {
    name: "C.4 requests with Huffman",
    tableBytes: 4096,
    messages: requests,
    sizes: [57, 110, 164],
    blocks: [
      "828684418cf1e3c2e5f23a6ba0ab90f4ff",
      "828684be5886a8eb10649cbf",
      "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ],
  },
  {
    name: "C.5 responses without Huffman, with eviction",
    tableBytes: 256,
    messages: responses,
    sizes: [222, 222, 215],
    blocks: [
      "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f" +
        "7777772e6578616d706c652e636f6d",
      "4803333037c1c0bf",
      "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a" +
        "584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
    ],
  },
  {
    name: "C.6 responses with Huffman, with eviction",
    tableBytes: 256,
    messages: responses,
    sizes: [222, 222, 215],
    blocks: [
      "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
      "4883640effc1c0bf",
      "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f" +
        "3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ],
  },
];

for (const { name, tableBytes, messages, sizes, blocks } of appendixC) {
  test(`the vectors of RFC 7541 decode: ${name}`, () => {
    const decoder = newDecoder();
    // The examples have the smaller table agreed beforehand; the size update is what agrees it here.
    if (tableBytes !== 4096) assert.deepEqual(decode(decoder, hex("3fe101")), []);
    for (const [i, block] of blocks.entries()) {
      assert.deepEqual(decode(decoder, hex(block)), messages[i]);
      assert.equal(decoder.size, sizes[i]);
    }
  });
}

test("the single-field vectors of RFC 7541 C.2 decode", () => {
  assert.deepEqual(decode(newDecoder(), hex("400a637573746f6d2d6b65790d637573746f6d2d686561646572")), [
    "custom-key: custom-header",
  ]);
  assert.deepEqual(decode(newDecoder(), hex("040c2f73616d706c652f70617468")), [":path: /sample/path"]);
  assert.deepEqual(decode(newDecoder(), hex("100870617373776f726406736563726574")), ["password: secret"]);
  assert.deepEqual(decode(newDecoder(), hex("82")), [":method: GET"]);
});

const broken: readonly (readonly [what: string, block: string])[] = [
  ["index 0", "80"],
  ["an index beyond both tables", "be"],
  ["a name index beyond both tables", "7f0001 61"],
  ["a string cut short", "0004 6162"],
  ["a name without its value", "0001 61"],
  ["an integer cut short", "ff"],
  ["an integer cut in its continuation", "ff80"],
  ["an integer of too many octets", "ff8080808080808000"],
  ["an integer above 2^28", "ffffffffffff7f"],
  ["a string length that overflows", "00 7fffffffff7f"],
  ["a size update above the limit", "3fe21f"],
  ["a size update behind a field", "8220"],
  ["Huffman padding of eight bits", "0001 61 82 1fff"],
  ["Huffman padding that is not all ones", "0001 61 81 18"],
  ["Huffman EOS inside", "0001 61 84 ffffffff"],
  ["Huffman EOS as the whole string", "0001 61 84 fffffffc"],
];
for (const [what, block] of broken) {
  test(`a block is refused with ${what}`, () => assert.equal(decode(newDecoder(), hex(block)), "broken"));
}

test("every proper prefix of a block of literals is refused or holds fewer fields", () => {
  const block = encode(new HpackEncoder(), [
    ["x-one", "first"],
    ["x-two", "second value"],
  ]);
  for (let cut = 1; cut < block.length; cut++) {
    const got = decode(newDecoder(), block.subarray(0, cut));
    assert.ok(got === "broken" || got.length === 1, `cut at ${cut}`);
  }
});

test("a smaller table that was agreed must be announced in the next block", () => {
  const decoder = newDecoder();
  decoder.setSizeLimit(100);
  assert.equal(decode(decoder, hex("82")), "broken");
  const obedient = newDecoder();
  obedient.setSizeLimit(100);
  assert.deepEqual(decode(obedient, hex("3f4582")), [":method: GET"]);
  assert.equal(decode(obedient, hex("3f4682")), "broken");
});

test("the encoder announces the smallest and the last size when the limit went down and up", () => {
  const encoder = new HpackEncoder();
  encode(encoder, [["x-a", "1"]]);
  encoder.setSizeLimit(0);
  encoder.setSizeLimit(1000);
  const block = encode(encoder, [["x-a", "1"]]);
  assert.equal(block.subarray(0, 4).toString("hex"), "203fc907");
  const decoder = newDecoder();
  assert.deepEqual(decode(decoder, block), ["x-a: 1"]);
});

test("a block beyond the bounds is marked and leaves the table in step", () => {
  const encoder = new HpackEncoder();
  const decoder = newDecoder();
  const small = new FieldBlock(200, 10);
  const large = encode(encoder, [
    ["x-a", "a".repeat(100)],
    ["x-b", "b".repeat(100)],
    ["x-c", "c"],
  ]);
  assert.equal(decoder.decode(large, 0, large.length, small), true);
  assert.equal(small.overflowed, true);
  assert.equal(small.count, 1);
  const next = encode(encoder, [
    ["x-b", "b".repeat(100)],
    ["x-c", "c"],
  ]);
  assert.equal(decoder.decode(next, 0, next.length, small), true);
  assert.equal(small.overflowed, false);
  assert.deepEqual([small.fields[0]!.value[0], small.fields[1]!.value], ["b", "c"]);
});

test("too many fields are marked as too large a block is", () => {
  const block = new FieldBlock(1 << 20, 100);
  const bytes = Buffer.alloc(101, 0x82);
  assert.equal(newDecoder().decode(bytes, 0, 100, block), true);
  assert.equal(block.overflowed, false);
  assert.equal(newDecoder().decode(bytes, 0, 101, block), true);
  assert.equal(block.overflowed, true);
});

test("sixteen thousand references to a 4 KB entry cost their count, not their bytes", () => {
  const decoder = newDecoder();
  const first = Buffer.concat([hex("4001617f8d1e"), Buffer.alloc(3980, 0x61)]);
  const block = new FieldBlock(60 * 1024, 100);
  assert.equal(decoder.decode(first, 0, first.length, block), true);
  const bomb = Buffer.alloc(16_000, 0xbe);
  assert.equal(decoder.decode(bomb, 0, bomb.length, block), true);
  assert.equal(block.overflowed, true);
  assert.ok(block.count <= 15);
});

test("sensitive fields are never indexed, whichever way they became sensitive", () => {
  const encoder = new HpackEncoder();
  const headers = new HeaderList();
  headers.add("authorization", "Bearer abc");
  headers.add("cookie", "id=1");
  headers.add("x-secret", "abc");
  headers.markSensitive("x-secret");
  const out = Buffer.alloc(blockBound(headers, 0));
  encoder.begin(out, 0);
  encoder.fields(headers);
  const end = encoder.end();
  assert.equal(encoder.size, 0);
  const block = newBlock();
  assert.equal(newDecoder().decode(out, 0, end, block), true);
  assert.deepEqual(
    block.fields.slice(0, 3).map((field) => field.sensitive),
    [true, true, true],
  );
});

const unsendable: readonly (readonly [string, string])[] = [
  ["connection", "close"],
  ["keep-alive", "timeout=5"],
  ["proxy-connection", "close"],
  ["transfer-encoding", "chunked"],
  ["upgrade", "h2c"],
  ["host", "a"],
  ["te", "gzip"],
  ["x y", "a"],
  ["X-Upper", "a"],
  ["", "a"],
  [":other", "a"],
  [":path", "/smuggled"],
  ["x-a", "a\r\nb: c"],
  ["x-a", "a\0"],
  ["x-long", `${"a".repeat(80)}\n`],
];
for (const [name, value] of unsendable) {
  test(`the encoder leaves out ${JSON.stringify(`${name}: ${value.slice(-6)}`)}`, () => {
    assert.equal(encode(new HpackEncoder(), [[name, value]]).length, 0);
  });
}

test("what must not be sent is not sent either when it keeps coming with other values", () => {
  const encoder = new HpackEncoder();
  encode(encoder, [["te", "trailers"]]);
  for (const name of ["host", "transfer-encoding", "te", "connection", "x y"]) {
    for (let i = 0; i < 50; i++) assert.equal(encode(encoder, [[name, `v${i % 30}`]]).length, 0, name);
  }
});

test("characters above U+00FF are sent as UTF-8 and cannot become line breaks", () => {
  const got = decode(newDecoder(), encode(new HpackEncoder(), [["x-a", "a\u010a\u010db"]]));
  assert.deepEqual(got, [`x-a: ${Buffer.from("a\u010a\u010db").toString("latin1")}`]);
});

test("names and values no message may carry decode as invalid fields, not as broken blocks", () => {
  const cases = ["0003 412d42 0161", "0000 0161", "0001 61 01 0a", "0001 61 02 2061", "0001 61 01 00", "0001 20 0161"];
  for (const block of cases) {
    const fields = newBlock();
    const bytes = hex(block);
    assert.equal(newDecoder().decode(bytes, 0, bytes.length, fields), true);
    assert.equal(fields.fields[0]!.valid, false, block);
  }
});

test("Huffman turns every string into itself and is as long as foretold", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = Buffer.from(bytes).toString("latin1");
      const out = Buffer.alloc(bytes.length * 4 + 1);
      const end = encodeHuffman(out, 0, text);
      assert.equal(end, huffmanLength(text));
      const length = decodeHuffman(out, 0, end);
      assert.equal(huffmanOutput().toString("latin1", 0, length), text);
    }),
  );
});

const tokenChars = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
const fieldName = fc.oneof(
  fc.constantFrom("accept", "x-request-id", "cookie", "authorization", "content-type", "via", "etag", "x-b3"),
  fc.string({ unit: fc.constantFrom(...tokenChars), minLength: 1, maxLength: 12 }).map((name) => `x-${name}`),
);
const fieldValue = fc.oneof(
  fc.constantFrom("", "a", "application/grpc", "z".repeat(70), "y".repeat(3000)),
  fc.constantFrom("w".repeat(1500), "v".repeat(1501), "u".repeat(1900)),
  fc.string({
    unit: fc
      .integer({ min: 33, max: 255 })
      .filter((c) => c !== 127)
      .map((c) => String.fromCharCode(c)),
  }),
);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.array(fc.tuple(fieldName, fieldValue), { maxLength: 20 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 64, 100, 1000, 4096, 65536) },
);

test("any run of messages and table sizes decodes to itself with both tables in step", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const encoder = new HpackEncoder();
      const decoder = newDecoder();
      decoder.setSizeLimit(65536);
      for (const one of steps) {
        if (typeof one === "number") {
          encoder.setSizeLimit(one);
          continue;
        }
        const got = decode(decoder, encode(encoder, one));
        assert.deepEqual(
          got,
          one.map(([name, value]) => `${name}: ${value}`),
        );
        assert.equal(decoder.size, encoder.size);
      }
    }),
    { numRuns: 300 },
  );
});

test("mutated and random blocks never throw, hang or exceed the table", () => {
  const random = seededRandom(7541);
  const seeds = appendixC.flatMap(({ blocks }) => blocks.map(hex));
  const decoder = newDecoder();
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(seeds[Math.floor(random() * seeds.length)]!);
    const flips = 1 + Math.floor(random() * 4);
    for (let f = 0; f < flips; f++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    decode(decoder, bytes);
    assert.ok(decoder.size <= 4096 && decoder.count <= 128);
  }
});

test("a memo tells fields apart by name and by spelling", () => {
  const decoder = newDecoder();
  // The names agree in length and last letter; 0x1f is `a` in the Huffman code and no character in plain.
  const names = hex("0003782d61 0161 0003792d61 0161");
  const spellings = hex("0003782d61 811f 0003782d61 011f");
  for (let i = 0; i < 4; i++) {
    assert.deepEqual(decode(decoder, names), ["x-a: a", "y-a: a"]);
    assert.deepEqual(decode(decoder, spellings), ["x-a: a", "x-a: \x1f"]);
  }
});
