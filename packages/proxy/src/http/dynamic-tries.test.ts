/** More than one try of a request whose own name says where it goes. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { any } from "@weft/xds/resource";
import type { ResourceChange } from "../runtime/data-plane.ts";
import { hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

const dynamic = (cache: object = {}): ResourceChange => ({
  kind: "cluster",
  name: "dynamic",
  json: {
    name: "dynamic",
    lbPolicy: "CLUSTER_PROVIDED",
    clusterType: {
      name: "envoy.clusters.dynamic_forward_proxy",
      typedConfig: any("envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig", {
        dnsCacheConfig: { name: "cache", ...cache },
      }),
    },
  },
});

const openApp = async (onRequest: (socket: Socket, index: number) => void) => {
  let requests = 0;
  const server = await openServer((socket) => socket.on("data", () => onRequest(socket, requests++)));
  return Object.assign(server, { requests: () => requests });
};

const send = (port: number, host: string) => {
  const socket = connect(port, "127.0.0.1", () =>
    socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`),
  );
  let text = "";
  let wake = (): void => {};
  socket.setEncoding("latin1");
  socket.on("error", () => {});
  socket.on("data", (chunk: string) => {
    text += chunk;
    wake();
  });
  const closed = new Promise<string>((resolve) => socket.on("close", () => resolve(text)));
  const until = async (part: string): Promise<void> => {
    while (!text.includes(part))
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  };
  return { closed, until };
};

const turns = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};
/** Whatever was about to begin has begun. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 250));

const retryPolicy = { retryOn: "5xx", numRetries: 3, retryBackOff: { baseInterval: "0.001s" } };

test("a later try goes where the first one went, whatever its authority was rewritten to", async () => {
  await using app = await openApp((socket, index) =>
    socket.write(`HTTP/1.1 ${index === 0 ? 503 : 200} X\r\ncontent-length: 2\r\n\r\nok`),
  );
  await using all = openPlane({ resolve: async () => [{ address: "127.0.0.1", ttl: 60 }] });
  const action = { autoHostRewrite: true, retryPolicy };
  await all.put(dynamic(), routes([toCluster("dynamic", action)]), listener("in", [hcm()]));
  assert.match(await send(all.portOf("in"), `a.test:${app.port}`).closed, /^HTTP\/1\.1 200/);
  assert.equal(app.requests(), 2);
});

/** A slow try, and beside it one whose name is being looked up. `answer`: what the slow one does then. */
const openSlow = async (answer: (socket: Socket, index: number) => void) => {
  const app = await openApp(answer);
  const asked = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  let questions = 0;
  const all = openPlane({
    random: () => 0.99,
    resolve: async () => {
      if (++questions > 1) {
        asked.resolve();
        await held.promise;
      }
      return [{ address: "127.0.0.1", ttl: 60 }];
    },
  });
  const slowly = { perTryTimeout: "0.4s", retryBackOff: { baseInterval: "0.1s" } };
  const hedgePolicy = { hedgeOnPerTryTimeout: true };
  const action = { timeout: "3s", retryPolicy: { ...retryPolicy, ...slowly }, hedgePolicy };
  await all.put(dynamic(), routes([toCluster("dynamic", action)]), listener("in", [hcm()]));
  return { app, all, asked: asked.promise, resolve: () => held.resolve() };
};

test("nothing is tried once a slow try has answered, though its neighbour's name is found then", async () => {
  let slow: Socket | undefined;
  const { app, all, asked, resolve } = await openSlow((socket) => {
    slow ??= socket;
  });
  await using _ = app;
  await using _all = all;
  const client = send(all.portOf("in"), `a.test:${app.port}`);
  await turns(() => slow !== undefined);
  // Another cache: it has to ask again.
  await all.put(dynamic({ maxHosts: 5 }));
  await asked;
  slow?.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nfir");
  await client.until("fir");
  resolve();
  await settled();
  slow?.write("st!");
  assert.match(await client.closed, /^HTTP\/1\.1 200[\s\S]*first!$/);
  assert.equal(app.requests(), 1);
});

test("a slow try that fails leaves the request to its neighbour, whose name is still looked up", async () => {
  const sockets: Socket[] = [];
  const { app, all, asked, resolve } = await openSlow((socket) => void sockets.push(socket));
  await using _ = app;
  await using _all = all;
  const client = send(all.portOf("in"), `a.test:${app.port}`);
  await turns(() => sockets.length === 1);
  const { load } = all.plane.clusters()[0] ?? assert.fail();
  await all.put(dynamic({ maxHosts: 5 }));
  await asked;
  sockets[0]?.write("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n");
  await turns(() => load.requests === 0);
  resolve();
  await turns(() => sockets.length === 2);
  await settled();
  sockets[1]?.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  assert.match(await client.closed, /^HTTP\/1\.1 200[\s\S]*ok$/);
  assert.equal(sockets.length, 2);
  assert.deepEqual([load.requests, load.retries], [0, 0]);
});
