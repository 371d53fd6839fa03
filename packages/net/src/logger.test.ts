import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "./logger.ts";

const collect = (format: "text" | "json") => {
  const lines: string[] = [];
  const log = createLogger({ format, level: "info", wallMs: () => 0, write: (line) => lines.push(line) });
  return { lines, log };
};

test("lines below the level are not written, and the level changes while running", () => {
  const { lines, log } = collect("text");
  log.debug("unseen");
  log.info("seen");
  log.level = "debug";
  log.debug("seen too");
  log.level = "off";
  log.error("unseen");
  assert.deepEqual(lines, ["1970-01-01T00:00:00.000Z INFO  seen\n", "1970-01-01T00:00:00.000Z DEBUG seen too\n"]);
});

test("what a peer wrote cannot begin a line of its own", () => {
  const { lines, log } = collect("text");
  log.warn("bad\nINFO  forged", { name: "a\r\nb", plain: "x/y:1", none: undefined });
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.trimEnd(), '1970-01-01T00:00:00.000Z WARN  bad\\nINFO  forged name="a\\r\\nb" plain=x/y:1');
});

test("no character of a line is one that a terminal obeys, in either form", () => {
  for (const format of ["text", "json"] as const) {
    const { lines, log } = collect(format);
    for (const each of ["\x1b[2J", "\x9b2J", "\x7f", "\x00", "\u2028", "\x85"]) log.info(`a${each}`, { b: `c${each}` });
    assert.equal(lines.length, 6);
    for (const line of lines) assert.doesNotMatch(line.slice(0, -1), /[\p{Cc}\p{Zl}]/u);
    if (format === "json") assert.equal((JSON.parse(lines[1] ?? "") as { b: string }).b, "c\x9b2J");
  }
});

test("JSON lines carry fields as members", () => {
  const { lines, log } = collect("json");
  log.error("no", { port: 80 });
  assert.deepEqual(JSON.parse(lines[0] ?? ""), {
    time: "1970-01-01T00:00:00.000Z",
    level: "error",
    message: "no",
    port: 80,
  });
});

test("each scope has a level of its own, and says its name", () => {
  const { lines, log } = collect("text");
  log.setLevel("xds", "debug");
  log.scope("xds").debug("connecting", { to: "a:1" });
  log.scope("dns").debug("unseen");
  log.debug("unseen");
  log.level = "error";
  log.scope("xds").info("unseen");
  assert.deepEqual(lines, ["1970-01-01T00:00:00.000Z DEBUG connecting scope=xds to=a:1\n"]);
  assert.equal(log.levels().get("xds"), "error");
});
