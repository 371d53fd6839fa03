import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { GrpcChannel, GrpcStreamHandlers } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import { encodeResource } from "@weft/xds/codec";
import { type DeltaRequest, decodeDeltaRequest, encodeDeltaResponse } from "@weft/xds/discovery";
import { type ResourceKind, resourceType } from "@weft/xds/resource";
import { createResourceStore } from "./resource-store.ts";
import { createXdsClient } from "./xds-client.ts";

/** Every look at the clock takes a millisecond, so that work of many steps takes many turns, which the test runs. */
const setup = () => {
  let nowMs = 0;
  const turns: (() => void)[] = [];
  const timers = new Set<() => void>();
  const applied: string[] = [];
  const sent: DeltaRequest[] = [];
  const streams: GrpcStreamHandlers[] = [];
  const channel: GrpcChannel = {
    open: (_, handlers) => {
      streams.push(handlers);
      return {
        send: (bytes) => void sent.push(decodeDeltaRequest(bytes)),
        finish: () => undefined,
        pause: () => undefined,
        resume: () => undefined,
        cancel: () => handlers.onEnd(new GrpcError(1, "cancelled")),
      };
    },
    unary: () => Promise.reject(new Error("not here")),
    [Symbol.dispose]: () => undefined,
  };
  const clock = { nowMs: () => nowMs++, wallMs: () => nowMs };
  const store = createResourceStore({
    dataPlane: {
      check: ({ name }) =>
        name.startsWith("bad") ? { kind: "cluster", name, reason: "name: is not liked" } : undefined,
      apply: (changes) => {
        applied.push(...changes.map(({ kind, name }) => `${kind} ${name}`));
        return [];
      },
    },
    clock,
    log: silentLogger,
  });
  const judged: string[] = [];
  const series = { add: () => undefined, set: () => undefined, value: 0, record: () => undefined };
  const client = createXdsClient({
    ...{ source: "ads", form: "delta", path: "/x", node: {}, channel, store, clock, log: silentLogger },
    random: () => 0,
    setTimer: (run) => {
      timers.add(run);
      return { [Symbol.dispose]: () => timers.delete(run) };
    },
    metrics: { connected: series, connectionErrors: series, latencySeconds: series, answered: () => undefined },
    slices: {
      *judgeAhead(changes) {
        for (const { name } of changes) {
          judged.push(name);
          if (name === "last") streams.at(-1)?.onEnd(new GrpcError(14, "gone"));
          yield;
        }
      },
      afterTurn: (callback) => turns.push(callback),
    },
  });
  client.want("cluster", "*");
  client.want("listener", "*");
  client.start();
  streams[0]?.onOpen?.();
  const give = (of: ResourceKind, names: readonly string[], nonce: string, stream = streams.at(-1)): void =>
    stream?.onMessage(
      encodeDeltaResponse({
        ...{ systemVersion: "", typeUrl: resourceType(of).typeUrl, nonce, removed: [] },
        resources: names.map((name) => ({
          ...{ name, version: "1", typeUrl: resourceType(of).typeUrl },
          value: encodeResource(of, { name }),
        })),
      }),
    );
  const answers = (): readonly string[] => sent.map(({ responseNonce }) => responseNonce).filter((one) => one !== "");
  const turn = (): boolean => {
    const [next] = turns.splice(0, 1);
    next?.();
    return next !== undefined;
  };
  const finish = (): number => {
    let count = 0;
    while (turn()) count++;
    return count;
  };
  /** Fires whatever timers are set. */
  const tick = (): void => {
    for (const run of [...timers]) {
      timers.delete(run);
      run();
    }
  };
  return { client, store, streams, sent, judged, applied, give, answers, turn, finish, tick, turns };
};

const many = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

test("a large response is taken over many turns, and nothing of it is in force before the last", () => {
  const { give, turn, finish, applied, answers, judged, client } = setup();
  give("cluster", many("c", 50), "n1");
  assert.equal(client.state.taking, true);
  for (let i = 0; i < 10; i++) assert.ok(turn());
  assert.deepEqual([applied, answers()], [[], []]);
  assert.ok(finish() > 10);
  assert.equal(judged.length, 50);
  assert.equal(applied.length, 50);
  assert.deepEqual(answers(), ["n1"]);
  assert.equal(client.state.taking, false);
});

test("responses are answered in the order they came, refusals too", () => {
  const { give, finish, answers, sent } = setup();
  give("cluster", [...many("c", 40), "bad1"], "n1");
  give("listener", ["l"], "n2");
  give("cluster", ["d"], "n3");
  assert.deepEqual(answers(), []);
  finish();
  assert.deepEqual(answers(), ["n1", "n2", "n3"]);
  assert.match(sent.find(({ responseNonce }) => responseNonce === "n1")?.errorDetail?.message ?? "", /not liked/);
});

test("a stream that ends takes the responses with it that were not taken yet", () => {
  const { give, turn, finish, applied, answers, streams, tick, client } = setup();
  give("cluster", many("c", 40), "n1");
  give("cluster", ["late"], "n2");
  turn();
  streams[0]?.onEnd(new GrpcError(14, "gone"));
  finish();
  assert.deepEqual([applied, answers()], [[], []]);
  assert.equal(client.state.failures, 1);
  for (let i = 0; i < 500 && streams.length < 2; i++) tick();
  streams[1]?.onOpen?.();
  give("cluster", ["again"], "m1");
  finish();
  assert.deepEqual(applied, ["cluster again"]);
  assert.deepEqual(answers(), ["m1"]);
});

test("with more responses than may wait the first is finished at once", () => {
  const { give, applied, answers, finish } = setup();
  give("cluster", many("c", 40), "n0");
  for (let i = 1; i <= 15; i++) give("cluster", [`d${i}`], `n${i}`);
  assert.equal(applied.length, 0);
  give("cluster", ["d16"], "n16");
  assert.equal(applied.length, 40);
  finish();
  assert.deepEqual(answers(), [...many("n", 17)]);
});

test("a response that cannot be read ends the stream, and what came before it is kept", () => {
  const { give, finish, applied, streams, client } = setup();
  give("cluster", many("c", 20), "n1");
  streams[0]?.onMessage(Uint8Array.of(0xff, 0xff));
  finish();
  assert.equal(applied.length, 20);
  assert.equal(client.state.connected, false);
});

test("nothing is put in force once the client is disposed of", () => {
  const { give, turn, finish, applied, client } = setup();
  give("cluster", many("c", 40), "n1");
  turn();
  client[Symbol.dispose]();
  finish();
  assert.deepEqual(applied, []);
});

test("a response whose stream ends while it is compiled is not put in force", () => {
  const { give, finish, applied, answers, judged } = setup();
  give("cluster", ["c", "last"], "n1");
  finish();
  assert.deepEqual(judged, ["c", "last"]);
  assert.deepEqual([applied, answers()], [[], []]);
});

test("however many responses come, one turn at a time is asked for", () => {
  const { give, applied, finish, turns } = setup();
  give("cluster", many("c", 40), "n0");
  for (let i = 1; i <= 40; i++) {
    give("cluster", many(`d${i}-`, 10), `n${i}`);
    assert.equal(turns.length, 1);
  }
  finish();
  assert.equal(applied.length, 440);
});
