/** The public HPACK stories: what other implementations encoded decodes to what they meant, and so does what we encode. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { FieldBlock, HpackDecoder } from "@weft/protocols/hpack/decoder";
import { blockBound, HpackEncoder } from "@weft/protocols/hpack/encoder";
import { FieldMemo } from "@weft/protocols/hpack/memo";
import { HeaderList } from "@weft/protocols/http/headers";
import { hpackStories } from "./http2-peers.ts";

interface Case {
  readonly wire: string;
  readonly header_table_size?: number;
  readonly headers: readonly Readonly<Record<string, string>>[];
}

const folder = hpackStories();
const stories = globSync(join(folder, "*/story_*.json")).sort();
const readCases = (file: string): readonly Case[] =>
  (JSON.parse(readFileSync(file, "utf8")) as { cases: Case[] }).cases;
const fieldsOf = ({ headers }: Case): string[] =>
  headers.flatMap((one) => Object.entries(one)).map((f) => f.join(": "));
/** A value neither begins nor ends with a space on our wire (RFC 9110 section 5.5). */
const trimmed = ({ headers }: Case): string[] =>
  headers.flatMap((one) => Object.entries(one)).map(([name, value]) => `${name}: ${value.trim()}`);
const shown = (block: FieldBlock): string[] =>
  block.fields.slice(0, block.count).map(({ name, value }) => `${name.text}: ${value}`);

test("every story of every encoder decodes to its header fields", (t) => {
  let blocks = 0;
  const memo = new FieldMemo();
  const block = new FieldBlock(1 << 20, 10_000);
  for (const file of stories) {
    const decoder = new HpackDecoder(memo);
    for (const [at, each] of readCases(file).entries()) {
      if (each.header_table_size !== undefined) decoder.setSizeLimit(each.header_table_size);
      const wire = Buffer.from(each.wire, "hex");
      const where = `${relative(folder, file)} block ${at}`;
      assert.ok(decoder.decode(wire, 0, wire.length, block), where);
      assert.deepEqual(shown(block), fieldsOf(each), where);
      blocks++;
    }
  }
  t.diagnostic(`${stories.length} stories, ${blocks} blocks`);
  assert.equal(stories.length, 350);
});

test("our encoder's blocks of the same stories decode to them again, with one memory of names for all", (t) => {
  let [bytes, plain] = [0, 0];
  const block = new FieldBlock(1 << 20, 10_000);
  const memo = new FieldMemo();
  for (const file of stories.filter((name) => name.includes("/nghttp2/"))) {
    const [encoder, decoder] = [new HpackEncoder(), new HpackDecoder(memo)];
    for (const each of readCases(file)) {
      const headers = new HeaderList();
      const pseudo: [string, string][] = [];
      for (const [name, value] of each.headers.flatMap((one) => Object.entries(one))) {
        plain += name.length + value.length;
        if (name.startsWith(":")) pseudo.push([name, value]);
        else headers.add(name, value);
      }
      const out = Buffer.alloc(blockBound(headers, pseudo.join("").length + 64));
      encoder.begin(out, 0);
      for (const [name, value] of pseudo) encoder.field(name, value);
      encoder.fields(headers);
      const end = encoder.end();
      bytes += end;
      assert.ok(decoder.decode(out, 0, end, block), file);
      const kept = trimmed(each).filter((field) => !unsent.test(field));
      const expected = [
        ...kept.filter((field) => field.startsWith(":")),
        ...kept.filter((field) => !field.startsWith(":")),
      ];
      assert.deepEqual(shown(block), expected, file);
    }
  }
  t.diagnostic(`${plain} characters in ${bytes} bytes: ${((bytes / plain) * 100).toFixed(1)} %`);
  assert.ok(bytes < plain / 2);
});

/** What the encoder leaves out of every message by law. */
const unsent = /^(?:connection|keep-alive|proxy-connection|transfer-encoding|upgrade|host): /;
