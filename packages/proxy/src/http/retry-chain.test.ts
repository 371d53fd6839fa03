/** What the two sides of a sidecar tell each other of requests: for a while, in bounded memory, over threads. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HeaderList } from "@weft/protocols/http/headers";
import { createRetryMemory, RetryChain, retryIdsMax } from "./retry-chain.ts";

const headersOf = (id: string): HeaderList => {
  const headers = new HeaderList();
  headers.add("x-request-id", id);
  return headers;
};
const minute = 60_000;

test("a retry is known by its id to every thread, for a minute", () => {
  const memory = createRetryMemory();
  const [one, other] = [new RetryChain(memory), new RetryChain(memory)];
  one.noteRetry("a", 1_000);
  assert.equal(other.isRetry(headersOf("a"), 1_000), true);
  assert.equal(other.isRetry(headersOf("b"), 1_000), false);
  assert.equal(other.isRetry(new HeaderList(), 1_000), false);
  assert.equal(other.isRetry(headersOf("a"), 1_000 + minute - 1_000), true);
  assert.equal(other.isRetry(headersOf("a"), 1_000 + minute + 2_000), false);
});

test("an id that comes again is remembered anew and in one place", () => {
  const chain = new RetryChain(createRetryMemory());
  for (let i = 0; i < retryIdsMax * 4; i++) chain.noteRetry("a", i);
  chain.noteRetry("b", retryIdsMax * 4);
  for (const id of ["a", "b"]) assert.ok(chain.isRetry(headersOf(id), minute), id);
});

test("however many come, memory stays as it is, and of the newest most are known", () => {
  const chain = new RetryChain(createRetryMemory());
  const count = retryIdsMax * 20;
  for (let i = 0; i < count; i++) chain.noteRetry(`id-${i}`, i);
  let known = 0;
  for (let i = count - 1_000; i < count; i++) if (chain.isRetry(headersOf(`id-${i}`), count)) known++;
  assert.ok(known > 950, `${known} of 1000`);
});

test("a failure is found by its id; a retry is none, nor a failure a retry", () => {
  const chain = new RetryChain(createRetryMemory());
  chain.noteRetry("retry", 0);
  chain.noteFailure("failure", 0);
  assert.equal(chain.hasFailedBeyond("failure", 0, 10), true);
  assert.equal(chain.hasFailedBeyond("retry", 0, 10), false);
  assert.equal(chain.isRetry(headersOf("failure"), 10), false);
  assert.equal(chain.hasFailedBeyond("failure", 0, minute + 2_000), false);
  assert.equal(chain.hasFailedBeyond(undefined, 0, 10), false);
});

test("a failure without an id is taken for that of what was under way, and of nothing that came later", () => {
  const chain = new RetryChain(createRetryMemory());
  chain.noteFailure(undefined, 100);
  assert.equal(chain.hasFailedBeyond("any", 50, 120), true);
  assert.equal(chain.hasFailedBeyond("any", 101, 120), false);
});
