import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { WeftError } from "@weft/core/error";
import { caLimits } from "./ca-limits.ts";
import { type CaStore, memoryCaStore } from "./ca-store.ts";
import { openJoinTokens } from "./join-tokens.ts";

const open = (store: CaStore = memoryCaStore()) => openJoinTokens({ store, randomBytes });
const hasCode = (code: string) => (error: unknown) => error instanceof WeftError && error.code === code;

test("a token is good for its uses and no more", () => {
  const tokens = open();
  const { token } = tokens.create({ uses: 2 }, 0);
  for (let i = 0; i < 2; i++) {
    const info = tokens.check(token, 1);
    assert.ok(info);
    tokens.use(info.id);
  }
  assert.equal(tokens.check(token, 1), undefined);
});

test("a token is good for one use and an hour unless told otherwise", () => {
  const { info } = open().create({}, 1000);
  assert.equal(info.uses, 1);
  assert.equal(info.expiresMs, 1000 + 3_600_000);
});

test("a token ends with its time", () => {
  const tokens = open();
  const { token } = tokens.create({ ttlMs: 100, uses: "unlimited" }, 0);
  assert.ok(tokens.check(token, 99));
  assert.equal(tokens.check(token, 100), undefined);
});

test("tokens and their uses outlive a restart, their secrets are not stored", () => {
  const store = memoryCaStore();
  const texts: string[] = [];
  const spied: CaStore = {
    read: store.read,
    write: (name, text) => {
      texts.push(text);
      store.write(name, text);
    },
  };
  const first = openJoinTokens({ store: spied, randomBytes });
  const { token, info } = first.create({ uses: 2, namespace: "shop", serviceAccount: "web" }, 0);
  first.use(info.id);
  const second = openJoinTokens({ store, randomBytes });
  assert.deepEqual(second.check(token, 1), { ...info, uses: 1 });
  const secret = token.split(".")[2] ?? "";
  assert.ok(secret.length > 40 && texts.every((text) => !text.includes(secret)));
});

test("anything but the token itself is refused", () => {
  const tokens = open();
  const { token, info } = tokens.create({}, 0);
  const other = tokens.create({}, 0).token;
  const secret = token.split(".")[2] ?? "";
  const wrong = [
    "",
    ".",
    "weft",
    `weft.${info.id}`,
    `weft.${info.id}.`,
    `weft.${info.id}.${secret}x`,
    `weft.${info.id}.${secret.slice(0, -1)}`,
    `weft.${info.id}.${other.split(".")[2]}`,
    `weft.unknown.${secret}`,
    `Weft.${info.id}.${secret}`,
    `${token}.x`,
    `weft.__proto__.${secret}`,
  ];
  for (const text of wrong) assert.equal(tokens.check(text, 1), undefined, text);
});

test("a revoked token is refused at once", () => {
  const tokens = open();
  const { token, info } = tokens.create({}, 0);
  assert.equal(tokens.revoke(info.id), true);
  assert.equal(tokens.revoke(info.id), false);
  assert.equal(tokens.check(token, 1), undefined);
});

test("values out of range are refused", () => {
  const tokens = open();
  for (const ttlMs of [0, -1, Number.NaN, caLimits.tokenTtlMaxMs + 1]) {
    assert.throws(() => tokens.create({ ttlMs }, 0), hasCode("WF7115"));
  }
  for (const uses of [0, -1, 1.5, caLimits.tokenUsesMax + 1]) {
    assert.throws(() => tokens.create({ uses }, 0), hasCode("WF7115"));
  }
});

test("expired and used up tokens are forgotten", () => {
  const tokens = open();
  tokens.create({ ttlMs: 10 }, 0);
  tokens.use(tokens.create({ ttlMs: 1000 }, 0).info.id);
  const kept = tokens.create({ ttlMs: 1000 }, 0).info;
  assert.deepEqual(tokens.list(20), [kept]);
});

test("a store with anything else in it is refused", () => {
  for (const text of ["", "{", "{}", "[1]", '[{"id":"a"}]', '[{"id":"a","secretHash":"zz","expiresMs":1,"uses":1}]']) {
    const store = memoryCaStore();
    store.write("join-tokens.json", text);
    assert.throws(() => open(store), hasCode("WF7120"), text);
  }
});
