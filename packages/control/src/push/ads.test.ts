import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { BidiCall } from "@weft/net/grpc/calls";
import { adsDeltaPath, encodeDeltaRequest } from "@weft/xds/discovery";
import { createMetrics } from "../metrics/metrics.ts";
import { testNode } from "../testing/ads-client.ts";
import { createAds } from "./ads.ts";
import type { Publisher } from "./publisher.ts";
import { createPushMetrics } from "./push-metrics.ts";

/** A stream whose timers are under the test's hands. */
const open = () => {
  const timers = new Set<{ readonly run: () => void; readonly ms: number }>();
  let nowMs = 0;
  const ads = createAds({
    publisher: {
      diff: () => ({ changed: [], removed: [] }),
      nextEpoch: () => 1,
      connect: () => ({ [Symbol.dispose]: () => {} }),
      changedAtMs: () => undefined,
    } as unknown as Publisher,
    answerDebug: () => [],
    trustDomain: "cluster.local",
    clock: { nowMs: () => nowMs, wallMs: () => 0 },
    setTimer: (run, ms) => {
      const timer = { run, ms };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    log: silentLogger,
    metrics: createPushMetrics(createMetrics()),
  });
  const ended: (readonly [status: number, message: string | undefined])[] = [];
  const call: BidiCall = {
    path: adsDeltaPath,
    metadata: new Map(),
    peer: { address: "127.0.0.1", secure: false, spiffe: undefined },
    send: () => true,
    end: (status, message) => void ended.push([status, message]),
  };
  const handler = ads.handlers.get(adsDeltaPath);
  assert.ok(handler?.kind === "bidi");
  const passTime = (): void => {
    for (const timer of [...timers]) {
      nowMs += timer.ms;
      timers.delete(timer);
      timer.run();
    }
  };
  return { stream: handler.open(call), timers, passTime, ended, ads };
};

test("a stream that does not say whose it is is ended in time", () => {
  const { timers, passTime, ended, ads } = open();
  const [timer] = timers;
  assert.equal(timer?.ms, 15_000);
  passTime();
  assert.deepEqual(ended[0]?.[0], 4);
  assert.match(ended[0]?.[1] ?? "", /^WF3021 /);
  assert.deepEqual(ads.proxies(), []);
});

test("the first request, or the stream's end, stops that clock", () => {
  const first = open();
  const nothing = { subscribe: [], unsubscribe: [], initialVersions: new Map(), responseNonce: "" };
  const typeUrl = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
  first.stream.message(encodeDeltaRequest({ node: testNode(), typeUrl, errorDetail: undefined, ...nothing }));
  first.passTime();
  assert.deepEqual([first.timers.size, first.ads.proxies().length, first.ended], [0, 1, []]);
  const second = open();
  second.stream.closed();
  second.passTime();
  assert.deepEqual([second.timers.size, second.ended], [0, []]);
});
