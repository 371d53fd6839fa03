/** How requests end: what the client gets, and what the access log says of it, from both proxies alike. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { outcomeCases } from "./outcome-cases.ts";
import { outcomeDeed } from "./outcome-deed.ts";
import { outcomeDifferences } from "./outcome-differences.ts";
import { outcomeListeners, outcomesBootstrap } from "./outcomes-bootstrap.ts";
import { alike, apartIn, type Pair, startPair } from "./pair.ts";
import { type RudeUpstream, startRudeUpstream } from "./rude-upstream.ts";
import { type Http2Upstream, startHttp2Upstream } from "./upstreams.ts";

let rude: RudeUpstream;
let http2: Http2Upstream;
let pair: Pair;

before(async () => {
  rude = await startRudeUpstream();
  http2 = await startHttp2Upstream("two");
  const closed = await findFreePort("127.0.0.1", 0);
  const ports = { rude: rude.port, http2: http2.port, closed };
  pair = await startPair(outcomeListeners, (own) => outcomesBootstrap(own, ports));
});

after(async () => {
  for (const each of [pair, rude, http2]) await each[Symbol.asyncDispose]();
});

describe("how requests end", { concurrency: 12 }, () => {
  for (const each of outcomeCases) {
    const difference = outcomeDifferences.get(each.name);
    if (difference === undefined) alike(each.name, () => pair, outcomeDeed(each));
    else apartIn(each.name, () => pair, outcomeDeed(each), difference);
  }
});

test("each difference is of a case", () => {
  const names = new Set(outcomeCases.map(({ name }) => name));
  assert.deepEqual(
    [...outcomeDifferences.keys()].filter((name) => !names.has(name)),
    [],
  );
  assert.equal(names.size, outcomeCases.length);
});
