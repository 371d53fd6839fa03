import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { putBytes, putEscaped, putNumber, putQuoted, putText } from "./put-value.ts";
import { createTextOut } from "./text-out.ts";

const written = (put: (out: ReturnType<typeof createTextOut>) => void): string => {
  const out = createTextOut();
  put(out);
  return out.take();
};

/** Text as peers send it, short and long, with characters that have to be escaped in some. */
const anyText = fc.oneof(
  fc.string({ maxLength: 400 }),
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.string({ unit: fc.constantFrom("a", '"', "\\", "\n", "\u009b", "é", "€", "😀"), maxLength: 300 }),
);

test("an escaped value holds neither the end of a line nor a quotation mark, and says the same", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const escaped = written((out) => putEscaped(out, text));
      assert.doesNotMatch(escaped, /\p{Cc}/u);
      assert.doesNotMatch(escaped.replaceAll(/\\./gu, ""), /["\\]/u);
      assert.equal(JSON.parse(`"${escaped}"`), text.toWellFormed());
    }),
  );
});

test("a quoted value is JSON of the same text, without control characters", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const quoted = written((out) => putQuoted(out, text));
      assert.doesNotMatch(quoted, /\p{Cc}/u);
      assert.equal(JSON.parse(quoted).toWellFormed(), text.toWellFormed());
    }),
  );
});

test("numbers come out as the runtime prints them", () => {
  const numbers = [0, 9, 10, 99, 100, 12_345, 99_999, 100_000, 999_999, 1_000_000, 2 ** 31, 2 ** 40, -1, 1.5, -0, NaN];
  fc.assert(
    fc.property(fc.oneof(fc.constantFrom(...numbers), fc.integer(), fc.double()), (value) => {
      assert.equal(
        written((out) => putNumber(out, value)),
        String(value),
      );
    }),
  );
});

test("values of any length come one behind the other, whatever room there was", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 700 }), { maxLength: 12 }), (texts) => {
      const out = createTextOut();
      for (const [index, text] of texts.entries()) {
        if (index % 2 === 0) putText(out, text);
        else putBytes(out, Buffer.from(text));
      }
      assert.equal(out.take(), texts.join(""));
    }),
  );
});
