/** Which answers say that what failed is further on, and what is noted of requests through an application. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HeaderList } from "@weft/protocols/http/headers";
import { filterTools } from "../../compile/testing/fixtures.ts";
import type { Exchange } from "../../http/exchange.ts";
import { createRetryMemory, RetryChain } from "../../http/retry-chain.ts";
import { configureHttpFilter } from "./index.ts";

const open = (name: string, retryChain: RetryChain) =>
  configureHttpFilter({ name }, "httpFilters[0]")?.build(filterTools({ retryChain })) ?? assert.fail();

const exchange = (id: string, status: number, more: readonly (readonly [string, string])[] = []): Exchange => {
  const [request, response] = [new HeaderList(), new HeaderList()];
  if (id !== "") request.add("x-request-id", id);
  for (const [name, value] of more) (name === "x-weft-retried" ? response : request).add(name, value);
  const prepared = { ownId: id.startsWith("own-") };
  return { request: { headers: request }, response: { status, headers: response }, prepared, startMs: 0 } as never;
};

const pair = () => {
  const chain = new RetryChain(createRetryMemory());
  return { chain, server: open("weft.retries.inbound", chain), clients: open("weft.retries.outbound", chain) };
};

const marked = (one: Exchange): boolean => one.response.headers.has("x-weft-retried");

test("only what arrives as a retry is noted as one", () => {
  const { chain, server } = pair();
  const known = (id: string, count?: string): boolean => {
    const one = exchange(id, 0, count === undefined ? [] : [["x-envoy-attempt-count", count]]);
    assert.equal(server.onRequest?.(one), undefined);
    return chain.isRetry(one.request.headers, 0);
  };
  assert.deepEqual([known("a"), known("b", "1"), known("c", "2"), known("", "2")], [false, false, true, false]);
});

test("an answer is marked where what the application asked failed too, with the same id", () => {
  const { server, clients } = pair();
  clients.onResponse?.(exchange("a", 503));
  clients.onResponse?.(exchange("b", 404));
  for (const [id, status, is] of [
    ["a", 503, true],
    ["a", 500, true],
    ["a", 200, false],
    ["b", 503, false],
    ["c", 503, false],
  ] as const) {
    const one = exchange(id, status);
    server.onResponse?.(one);
    assert.equal(marked(one), is, `${id} ${status}`);
  }
});

test("a failure whose id is the proxy's own marks whatever the application fails meanwhile", () => {
  const { server, clients } = pair();
  clients.onResponse?.(exchange("own-1", 503));
  const one = exchange("a", 503);
  server.onResponse?.(one);
  assert.equal(marked(one), true);
});

test("what the application did not wait for counts as failed", () => {
  const { server, clients } = pair();
  clients.onEnd?.(exchange("a", 0));
  const one = exchange("a", 504);
  server.onResponse?.(one);
  assert.equal(marked(one), true);
});

test("the mark is for proxies: applications do not see it", () => {
  const { clients } = pair();
  const one = exchange("a", 503, [["x-weft-retried", "true"]]);
  clients.onResponse?.(one);
  assert.equal(marked(one), false);
});
