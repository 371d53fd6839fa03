/**
 * Discovery under seeded fuzzing: hostile clients against the server's streams, a hostile server against the client's
 * machine, and hostile streams against a real control plane while others are served.
 */
import assert from "node:assert/strict";
import http2 from "node:http2";
import { test } from "node:test";
import { createRequestReader } from "@weft/control/push/stream-requests";
import { openAdsClient } from "@weft/control/testing/ads-client";
import { openRawCall } from "@weft/control/testing/raw-call";
import { seededRandom } from "@weft/core/random";
import type { Random } from "@weft/core/world";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { fuzz, mutator } from "@weft/testkit/fuzz";
import { createClientStream } from "@weft/xds/client-stream";
import { encodeResource } from "@weft/xds/codec";
import { createDiffer } from "@weft/xds/diff";
import {
  adsDeltaPath,
  adsSotwPath,
  decodeDeltaResponse,
  decodeDiscoveryResponse,
  type EncodedResource,
  encodeDeltaRequest,
  encodeDeltaResponse,
  encodeDiscoveryRequest,
  encodeDiscoveryResponse,
} from "@weft/xds/discovery";
import { type ResourceKind, resourceType, resourceTypes } from "@weft/xds/resource";
import { ServerStream } from "@weft/xds/server-stream";
import { createSnapshotBuilder } from "@weft/xds/snapshot";
import type { StreamMode, StreamOutput, StreamRequest } from "@weft/xds/stream-messages";

const modes = ["delta", "sotw"] as const;
const inputsEach = 105_000;
const urls = resourceTypes.map(({ typeUrl }) => typeUrl);
const words = [
  ...urls,
  "*",
  "a",
  "b",
  "keep",
  "new",
  "1-CDS",
  "2-EDS",
  "\x08\x96\x01",
  "\x0a\x00",
  "\xff\xff\xff\xff\x0f",
];
const mutate = mutator(words);
const node = { id: "sidecar~10.0.0.1~web.default~default.svc.cluster.local", metadata: { NAMESPACE: "default" } };
const pick = <T>(list: readonly T[], random: Random): T => list[Math.floor(random() * list.length)] as T;

const requestSeeds = (mode: StreamMode): readonly Buffer[] =>
  urls.flatMap((typeUrl) =>
    [undefined, { code: 3, message: "a: cannot be taken" }].flatMap((errorDetail) =>
      [[], ["a"], ["*", "b"], ["a", "b", "c", "keep"]].map((names) => {
        const common = { node, typeUrl, responseNonce: errorDetail ? "1-CDS" : "", errorDetail };
        const delta = { subscribe: names, unsubscribe: names.slice(1), initialVersions: new Map([["a", "1"]]) };
        return Buffer.from(
          mode === "delta"
            ? encodeDeltaRequest({ ...common, ...delta })
            : encodeDiscoveryRequest({ ...common, versionInfo: "1", resourceNames: names }),
        );
      }),
    ),
  );

/** Streams of one server: one that behaves and is checked, and one after another that does not. */
const createServerUnderTest = (mode: StreamMode) => {
  const differ = createDiffer();
  const builder = createSnapshotBuilder({ encode: (_, json) => Buffer.from(JSON.stringify(json)) });
  let epoch = 0;
  let nowMs = 0;
  const open = (): ServerStream =>
    new ServerStream({ mode, diff: differ, nextEpoch: () => ++epoch, messageBytesMax: () => 100_000 });
  const world = (generation: number) => {
    const clusters = ["a", "b", "keep"].map((name) => [name, { name, type: "EDS", g: generation % 7 }] as const);
    const endpoints = ["a", "b", "keep"].map((name) => [name, { clusterName: name, g: generation }] as const);
    return { cluster: new Map(clusters), endpoints: new Map(endpoints) };
  };
  let snapshot = builder.build(world(0), ++epoch);
  const good = open();
  let held = 0;
  const settle = (outputs: readonly StreamOutput[]): void => {
    for (const output of outputs) {
      assert.notEqual(output.kind, "close");
      if (output.kind !== "send") continue;
      for (const { json } of output.response.entries) held = (json as { g: number }).g;
      settle(good.handle({ kind: "request", request: answer(output.response.typeUrl, output.response.nonce) }, nowMs));
    }
  };
  const answer = (typeUrl: string, nonce: string): StreamRequest => {
    const common = { typeUrl, nonce, node, error: undefined };
    return mode === "delta"
      ? { ...common, mode, subscribe: nonce === "" ? ["keep"] : [], unsubscribe: [], initialVersions: new Map() }
      : { ...common, mode, version: "", names: ["keep"] };
  };
  settle(good.handle({ kind: "push", snapshot }, nowMs));
  settle(good.handle({ kind: "request", request: answer(resourceType("endpoints").typeUrl, "") }, nowMs));
  const read = createRequestReader();
  let bad = open();
  let nonces: string[] = [];
  let generation = 0;
  return {
    hostile(bytes: Buffer, random: Random): string {
      nowMs += Math.floor(random() * 500);
      let request: StreamRequest;
      try {
        request = read(mode, bytes);
      } catch {
        // What the stream's owner does: this stream ends.
        bad = open();
        return "unreadable";
      }
      if (random() < 0.4) request = { ...request, nonce: nonces.at(-1 - Math.floor(random() * 3)) ?? request.nonce };
      if (random() < 0.3) request = { ...request, typeUrl: pick(urls, random) };
      if (random() < 0.1) bad.handle({ kind: "writable", writable: random() < 0.7 }, nowMs);
      const outputs = [
        ...bad.handle({ kind: "request", request }, nowMs),
        ...bad.handle(random() < 0.5 ? { kind: "push", snapshot } : { kind: "tick" }, nowMs),
      ];
      for (const output of outputs) if (output.kind === "send") nonces = [...nonces.slice(-8), output.response.nonce];
      const states = bad.syncz();
      assert.ok(states.length <= 32);
      for (const { names } of states) assert.ok(names <= 200_000);
      assert.ok(!Number.isNaN(bad.deadlineMs() ?? 0));
      if (outputs.some(({ kind }) => kind === "close") || random() < 0.02) bad = open();
      return outputs
        .map((output) => (output.kind === "send" ? `send${output.response.entries.length}` : output.kind))
        .join();
    },
    push(): void {
      snapshot = builder.build(world(++generation), ++epoch, snapshot);
      settle(good.handle({ kind: "push", snapshot }, nowMs));
      assert.equal(held, generation, "the stream that behaves is not served");
    },
  };
};

for (const mode of modes) {
  test(`${mode}: hostile requests leave the server alive, bounded and serving others`, { timeout: 60_000 }, () => {
    const server = createServerUnderTest(mode);
    let count = 0;
    const result = fuzz({
      seed: 7,
      inputs: inputsEach,
      corpus: requestSeeds(mode),
      mutate,
      run: (input, random) => {
        if (++count % 500 === 0) server.push();
        return server.hostile(input, random);
      },
    });
    assert.deepEqual(result.failures, []);
    assert.equal(result.inputs, inputsEach);
    assert.ok(result.behaviours > 5, `${result.behaviours} behaviours`);
  });
}

const resource = (kind: ResourceKind, name: string, more: Partial<EncodedResource> = {}): EncodedResource => ({
  name,
  version: "1",
  typeUrl: resourceType(kind).typeUrl,
  value: encodeResource(kind, (kind === "endpoints" ? { clusterName: name } : { name }) as never),
  ...more,
});
const encodeResponse = (
  mode: StreamMode,
  typeUrl: string,
  resources: readonly EncodedResource[],
  nonce: string,
): Buffer =>
  Buffer.from(
    mode === "delta"
      ? encodeDeltaResponse({ systemVersion: "1", typeUrl, resources, removed: ["b", "gone"], nonce })
      : encodeDiscoveryResponse({ versionInfo: "1", typeUrl, resources, nonce }),
  );
const decodeResponse = (mode: StreamMode, bytes: Uint8Array) =>
  mode === "delta"
    ? ({ form: mode, ...decodeDeltaResponse(bytes) } as const)
    : ({ form: mode, ...decodeDiscoveryResponse(bytes) } as const);

const kinds = resourceTypes.map(({ kind }) => kind);
const responseSeeds = (mode: StreamMode): readonly Buffer[] =>
  kinds.flatMap((kind) => [
    encodeResponse(mode, resourceType(kind).typeUrl, [resource(kind, "a"), resource(kind, "b")], "n1"),
    encodeResponse(mode, resourceType(kind).typeUrl, [resource(kind, "a", { ttlMs: 5_000 })], "n2"),
    encodeResponse(mode, resourceType(kind).typeUrl, [resource(kind, "a", { value: undefined, ttlMs: 1 })], "n3"),
    encodeResponse(mode, resourceType(kind).typeUrl, [], ""),
  ]);

for (const mode of modes) {
  test(`${mode}: a hostile server leaves the client alive, bounded, and with the last good`, {
    timeout: 60_000,
  }, () => {
    const client = createClientStream({ form: mode, node, random: () => 0.5 });
    const names = new Set(["a", "b", "kept"]);
    let nowMs = 0;
    const open = (): void => {
      client.handle({ kind: "closed" }, nowMs);
      nowMs += 40_000;
      assert.ok(client.handle({ kind: "tick" }, nowMs).some(({ kind }) => kind === "open"));
      assert.ok(client.handle({ kind: "opened" }, nowMs).length > 0);
    };
    const respond = (bytes: Uint8Array, random: Random): string => {
      const outputs = client.handle({ kind: "response", response: decodeResponse(mode, bytes) }, nowMs);
      const offer = outputs.find((output) => output.kind === "offer");
      if (!offer) return "nothing";
      const rejections = offer.changes.filter(() => random() < 0.2).map(({ name }) => ({ name, reason: "no" }));
      if (random() < 0.05) open();
      const answers = client.handle({ kind: "verdict", offer: offer.offer, rejections }, nowMs);
      return `${offer.of} ${offer.changes.length} ${answers.length} ${rejections.length}`;
    };
    for (const kind of kinds) client.handle({ kind: "want", of: kind, names }, 0);
    open();
    const always = () => 1;
    respond(encodeResponse(mode, resourceType("endpoints").typeUrl, [resource("endpoints", "kept")], "n"), always);
    const result = fuzz({
      seed: 11,
      inputs: inputsEach,
      corpus: responseSeeds(mode),
      mutate,
      run: (input, random) => {
        nowMs += Math.floor(random() * 20);
        if (random() < 0.1) client.handle({ kind: "tick" }, nowMs);
        try {
          decodeResponse(mode, input);
        } catch {
          open();
          return "unreadable";
        }
        const behaviour = respond(input, random);
        for (const kind of kinds) {
          const held = client.held(kind);
          assert.ok(held.size <= names.size);
          for (const name of held.keys()) assert.ok(names.has(name), name);
        }
        assert.ok(client.held("endpoints").has("kept"), "the last good is lost");
        assert.ok(!Number.isNaN(client.deadlineMs() ?? 0));
        return behaviour;
      },
    });
    assert.deepEqual(result.failures, []);
    assert.equal(result.inputs, inputsEach);
    open();
    respond(encodeResponse(mode, resourceType("cluster").typeUrl, [resource("cluster", "a")], "n"), always);
    assert.ok(client.held("cluster").has("a"), "a server that behaves is not followed any more");
  });
}

const service = (port: number): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: one }
spec:
  hosts: [one.example.com]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: ${port} } }]
`;
const residentMb = async (monitoring: string): Promise<number> => {
  const text = await (await fetch(`http://${monitoring}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1]) / 2 ** 20;
};

test("hostile streams against a control plane end alone, while a proxy beside them is served", {
  timeout: 60_000,
}, async () => {
  await using cp = await startControlPlane();
  await cp.apply(service(8001));
  using good = openAdsClient(cp.xds, "delta");
  good.ask("endpoints", { names: ["outbound|80||one.example.com"] });
  good.ask("endpoints", { nonce: (await good.next()).nonce });
  const before = await residentMb(cp.monitoring);
  const random = seededRandom(3);
  const seeds = { delta: requestSeeds("delta"), sotw: requestSeeds("sotw") };
  for (let round = 0; round < 10; round++) {
    const calls = Array.from({ length: 30 }, (_, n) => {
      const mode = modes[n % 2] as StreamMode;
      const call = openRawCall(cp.xds, mode === "delta" ? adsDeltaPath : adsSotwPath);
      for (let sent = 0; sent < 12; sent++) {
        const seed = pick(seeds[mode], random);
        call.send(sent === 0 && random() < 0.7 ? seed : mutate(seed, pick(seeds[mode], random), random));
      }
      return call;
    });
    await cp.apply(service(8100 + round));
    const pushed = await good.next();
    good.ask("endpoints", { nonce: pushed.nonce });
    for (const call of calls) call[Symbol.dispose]();
  }
  assert.equal((await fetch(`http://${cp.http}/ready`)).status, 200);
  await eventually("only the good proxy is left", async () => {
    const { items } = (await cp.api("GET", "/v1/proxies")) as { items: readonly unknown[] };
    return items.length === 1 || undefined;
  });
  const grown = (await residentMb(cp.monitoring)) - before;
  assert.ok(grown < 200, `${grown} MB more`);
});

/** The five bytes before a message of 100 MB. */
const hugeHead = Buffer.from([0, 0x06, 0x40, 0, 0]);

test("a message of 100 MB is refused at its head, by the server and by the client", { timeout: 30_000 }, async () => {
  await using cp = await startControlPlane();
  const session = http2.connect(`http://${cp.xds}`);
  const head = { ":method": "POST", "content-type": "application/grpc" };
  const stream = session.request({ ...head, ":path": adsDeltaPath });
  stream.on("error", () => {}).resume();
  const trailers = new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once("trailers", resolve));
  stream.write(hugeHead);
  assert.equal((await trailers)["grpc-status"], "8");
  session.destroy();

  const server = http2.createServer();
  server.on("stream", (peer: http2.ServerHttp2Stream) => {
    peer.on("error", () => {});
    peer.respond({ ":status": 200, "content-type": "application/grpc" });
    peer.write(hugeHead);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  using channel = createGrpcChannel({ target: { kind: "tcp", host: "127.0.0.1", port } });
  const error = await new Promise<{ status?: number } | undefined>((resolve) => {
    channel.open({ path: adsDeltaPath }, { onMessage: () => assert.fail("a message came"), onEnd: resolve });
  });
  assert.equal(error?.status, 8);
  server.close();
});
