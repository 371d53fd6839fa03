import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  bodySum,
  type EntryMark,
  encodeEntry,
  entryKey,
  formatHeader,
  readHeader,
  scanEntries,
} from "./entry-record.ts";

const node = "sidecar~10.0.0.1~web.default~x";
const markOf = (name: string, body: Buffer, over: Partial<EntryMark> = {}): EntryMark => ({
  ...{ kind: "cluster", name, source: "ads", version: "v", atMs: 5, demanded: false, aliases: [], needs: [] },
  ...{ length: body.length, sum: bodySum(body) },
  ...over,
});
const entry = (name: string, value: unknown, over: Partial<EntryMark> = {}): Buffer => {
  const body = value === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(value));
  return encodeEntry(node, markOf(name, body, over), body).bytes;
};
/** Values by key, as they are read. */
const valuesIn = (bytes: Buffer, nodeId = node): Record<string, string> => {
  const { entries } = scanEntries(bytes, nodeId);
  return Object.fromEntries(
    [...entries].map(([key, { mark, at }]) => [key, bytes.toString("utf8", at, at + mark.length)]),
  );
};
const strange = 'é\n>\u2028"~|';
const history: readonly (readonly [string, unknown])[] = [
  ["a", { v: 1 }],
  ["b", { v: 2 }],
  ["a", { v: 3 }],
  [strange, { text: strange }],
  ["gone", { v: 4 }],
  ["gone", undefined],
  ["b", { v: 5, text: "x".repeat(50) }],
];
const parts = history.map(([name, value]) => entry(name, value));
const file = Buffer.concat([Buffer.from(formatHeader(node)), ...parts]);
const newest = valuesIn(file);
/** What a file that ends within or after the part of that number has. */
const prefixes = parts.map((_, count) => valuesIn(Buffer.concat(parts.slice(0, count))));

test("the newest value of each name is read, with all that its mark says; a removal is read as one", () => {
  assert.deepEqual(newest, {
    "cluster a": '{"v":3}',
    [`cluster ${strange}`]: JSON.stringify({ text: strange }),
    "cluster gone": "",
    "cluster b": JSON.stringify({ v: 5, text: "x".repeat(50) }),
  });
  const more = { kind: "virtualHost", demanded: true, aliases: ["t/x", strange], needs: ["endpoints e"] } as const;
  const { entries } = scanEntries(entry("t/h", { v: 1 }, more), node);
  const { mark } = entries.get("virtualHost t/h") ?? assert.fail();
  assert.deepEqual({ ...mark }, markOf("t/h", Buffer.from('{"v":1}'), more));
  const whole = scanEntries(file, node);
  assert.deepEqual([whole.damaged.size, whole.unreadable, whole.cut], [0, 0, false]);
});

test("any flipped bit costs one value at most, known by its key, and never shows a wrong or an older one", () => {
  for (let at = 0; at < file.length; at++)
    for (let bit = 0; bit < 8; bit++) {
      const damaged = Buffer.from(file);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
      const read = valuesIn(damaged);
      const place = `bit ${bit} of byte ${at}`;
      for (const [key, value] of Object.entries(read)) assert.equal(value, newest[key], place);
      const missing = Object.keys(newest).filter((key) => !(key in read));
      assert.ok(missing.length <= 1, `${place} costs ${missing.join()}`);
      const scanned = scanEntries(damaged, node);
      if (missing[0] !== undefined) assert.ok(scanned.damaged.has(missing[0]), place);
    }
});

test("a file cut off anywhere is what it was when it was that long", () => {
  let ends = formatHeader(node).length;
  const lengths = parts.map((part) => (ends += part.length));
  for (let length = 0; length <= file.length; length++) {
    const whole = lengths.filter((end) => end <= length).length;
    const read = valuesIn(file.subarray(0, length));
    // An entry is as good as whole once its JSON is.
    const now = whole < parts.length ? prefixes[whole] : newest;
    const next = prefixes[whole + 1] ?? newest;
    const at = `cut at ${length}`;
    if (JSON.stringify(read) !== JSON.stringify(now)) assert.deepEqual(read, next, at);
  }
});

test("whatever is done to a file, what is read was once written by that name", () => {
  const once = new Map<string, Set<string>>();
  for (const [name, value] of history) {
    const key = entryKey({ kind: "cluster", name });
    once.set(key, (once.get(key) ?? new Set()).add(value === undefined ? "" : JSON.stringify(value)));
  }
  const edit = fc.record({
    at: fc.nat({ max: file.length }),
    remove: fc.nat({ max: 80 }),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.nat({ max: file.length - 60 }).map((from) => new Uint8Array(file.subarray(from, from + 60))),
    ),
  });
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 4 }), (edits) => {
      let bytes = file;
      for (const { at, remove, insert } of edits)
        bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
      for (const [key, value] of Object.entries(valuesIn(bytes))) assert.ok(once.get(key)?.has(value), key);
    }),
    { numRuns: 2_000 },
  );
});

test("a value whose newest form is damaged is not shown in an older one, however much was damaged of it", () => {
  const last = file.length - (parts.at(-1)?.length ?? 0);
  const body = file.indexOf("xxxx", last);
  const damaged = Buffer.from(file).fill("y", body, body + 20);
  const { entries, damaged: keys } = scanEntries(damaged, node);
  assert.equal(entries.has("cluster b"), false);
  assert.deepEqual([...keys], ["cluster b"]);
});

test("what another proxy wrote is not read, and its file says whose it is", () => {
  const { entries, damaged } = scanEntries(file, "another");
  assert.deepEqual([entries.size, damaged.size], [0, 0]);
  assert.equal(readHeader(file), node);
});

test("files of other formats have nothing to read", () => {
  for (const text of [
    "",
    "\n",
    "{}",
    '{"format":"weft-last-good-1"}\n[]',
    ">\n<\n",
    `>${"A".repeat(22)} []\n`,
    "\0".repeat(99),
  ]) {
    const { entries, damaged } = scanEntries(Buffer.from(text), node);
    assert.deepEqual([entries.size, damaged.size], [0, 0]);
    assert.equal(readHeader(Buffer.from(text)), undefined);
  }
});
