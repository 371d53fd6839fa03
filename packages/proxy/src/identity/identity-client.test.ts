import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { test } from "node:test";
import type { Logger } from "@weft/core/world";
import { signDerAside } from "@weft/protocols/x509/keys";
import { generateKey } from "./generate-key.ts";
import { type IdentityClientOptions, openIdentityClient } from "./identity-client.ts";
import type { IdentityMaterial, StoredIdentity } from "./identity-material.ts";
import { createTestCa, newKeyPem, testIdentity } from "./testing/test-ca.ts";

const start = Date.parse("2026-01-01T00:00:00Z");
const day = 86_400_000;
const turnKey = createPrivateKey(newKeyPem());
const ca = createTestCa(start);

/** The world of a client: a clock that moves when told, timers that fire by it, and what came out. */
const world = (change: Partial<IdentityClientOptions> = {}) => {
  let nowMs = start;
  let timers: { readonly atMs: number; readonly callback: () => void }[] = [];
  const materials: IdentityMaterial[] = [];
  const saved: StoredIdentity[] = [];
  const lines: string[] = [];
  const line = (message: string): void => void lines.push(message);
  const log: Logger = { trace: line, debug: line, info: line, warn: line, error: line };
  let requests = 0;
  const options: IdentityClientOptions = {
    identity: testIdentity,
    requestCertificate: async (csr) => {
      requests++;
      return ca.answer(csr, { notBeforeMs: nowMs - 1000, notAfterMs: nowMs + day });
    },
    generateKey: async () => newKeyPem(),
    store: { load: async () => undefined, save: async (stored) => void saved.push(stored) },
    onMaterial: (material) => void materials.push(material),
    clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    setTimer: (callback, delayMs) => {
      const timer = { atMs: nowMs + delayMs, callback };
      timers.push(timer);
      return {
        [Symbol.dispose]: () => {
          timers = timers.filter((other) => other !== timer);
        },
      };
    },
    random: () => 0.5,
    log,
    ...change,
  };
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      // Requests are signed on the thread pool: two turns here take as long as such a signature.
      if (i === 4 || i === 8) await signDerAside(turnKey, Buffer.alloc(0));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return {
    options,
    materials,
    saved,
    lines,
    settle,
    requests: () => requests,
    timers: () => timers.length,
    sleepUntil: async (untilMs: number): Promise<void> => {
      for (let next = timers[0]; next && next.atMs <= untilMs; next = timers[0]) {
        timers.shift();
        nowMs = next.atMs;
        next.callback();
        await settle();
      }
      nowMs = untilMs;
    },
  };
};

test("the first certificate is handed out, stored and renewed at half its life", async () => {
  const { options, materials, saved, requests, sleepUntil, settle } = world();
  using client = openIdentityClient(options);
  assert.equal((await client.ready).identity, testIdentity);
  await settle();
  assert.deepEqual([materials.length, saved.length, requests()], [1, 1, 1]);
  await sleepUntil(start + day / 2 - 1000);
  assert.equal(requests(), 1);
  await sleepUntil(start + day / 2 + 1000);
  assert.deepEqual([materials.length, saved.length, requests()], [2, 2, 2]);
  assert.notEqual(materials[0]?.keyPem, materials[1]?.keyPem, "each certificate has its own key");
  assert.equal(client.material, materials[1]);
});

test("a stored certificate serves while the CA is away", async () => {
  const stored = ca.issue({ notBeforeMs: start - 1000, notAfterMs: start + day });
  const refused = async (): Promise<readonly string[]> => {
    throw new Error("connection refused");
  };
  const { options, materials, lines, sleepUntil } = world({
    store: { load: async () => stored, save: async () => {} },
    requestCertificate: refused,
  });
  using client = openIdentityClient(options);
  await client.ready;
  await sleepUntil(start + 2 * day);
  assert.equal(materials.length, 1);
  assert.equal(lines.filter((line) => line.includes("expired at")).length, 1);
  assert.ok(lines.some((line) => line.startsWith("WF7002") && line.includes("connection refused")));
});

test("a store that fails is told and does not stand in the way", async () => {
  const broken = async (): Promise<never> => {
    throw new Error("disk gone");
  };
  const { options, materials, lines, settle } = world({ store: { load: broken, save: broken } });
  using client = openIdentityClient(options);
  await client.ready;
  await settle();
  assert.equal(materials.length, 1);
  assert.deepEqual(lines.map((line) => line.slice(0, 6)).sort(), ["WF7003", "WF7003", "certif"]);
});

test("a key that cannot be made is a failure as any other", async () => {
  const { options, lines, settle } = world({
    generateKey: async () => {
      throw new Error("no entropy");
    },
  });
  using client = openIdentityClient(options);
  await settle();
  assert.match(lines[0] ?? "", /WF7001 .*no entropy/);
  assert.equal(client.material, undefined);
});

test("a closed client does nothing more", async () => {
  const { options, materials, settle, timers } = world();
  const client = openIdentityClient(options);
  client[Symbol.dispose]();
  await settle();
  assert.deepEqual([materials.length, timers()], [0, 0]);
});

test("keys are P-256 in PKCS#8", async () => {
  assert.match(await generateKey(), /^-----BEGIN PRIVATE KEY-----\n/);
});
