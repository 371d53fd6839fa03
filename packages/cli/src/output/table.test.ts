import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTable, oneLine, visibleWidth } from "./table.ts";

test("columns line up under their headings and lines end without blanks", () => {
  const text = formatTable(
    ["NAME", "STATE"],
    [
      ["reviews-v1", "ok"],
      ["web", ""],
    ],
  );
  assert.equal(text, "NAME        STATE\nreviews-v1  ok\nweb\n");
});

test("colour takes no width", () => {
  const green = `${String.fromCharCode(27)}[32mok${String.fromCharCode(27)}[0m`;
  assert.equal(visibleWidth(green), 2);
  assert.equal(formatTable(["A", "B"], [[green, "x"]]).split("\n")[1], `${green}  x`);
});

test("a row shorter than the headings is filled up", () => {
  assert.equal(formatTable(["A", "B"], [["1"]]), "A  B\n1\n");
});

test("what names hold makes no lines, and moves nothing on the terminal", () => {
  const esc = String.fromCharCode(27);
  const text = formatTable(
    ["A", "B"],
    [
      [`x\n${esc}[2Jy`, "1"],
      ["z", "2"],
    ],
  );
  assert.deepEqual(text.split("\n"), ["A                  B", "x\\u000a\\u001b[2Jy  1", "z                  2", ""]);
  assert.equal(oneLine(`${String.fromCharCode(0x9b)}2J`), "\\u009b2J");
});
