import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { systemRoots } from "@weft/net/tls/tls-material";
import { any } from "@weft/xds/resource";
import { cluster, listener, openPlane, openServer, tcpProxy } from "../runtime/testing/test-plane.ts";

const rootPem = systemRoots().slice(0, systemRoots().indexOf("-----END CERTIFICATE-----") + 26);

const openAll = async (ports: readonly number[], fields: object = {}) => {
  const all = openPlane();
  await all.put(cluster("app", ports), listener("in", [tcpProxy({ cluster: "app", ...fields })]));
  return all;
};

const open = async (port: number): Promise<Socket> => {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
};

const readAll = async (socket: Socket): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

test("bytes pass both ways, and the end of one side leaves the other open", async () => {
  await using server = await openServer((socket) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => socket.end(Buffer.concat([Buffer.from("after: "), ...chunks])));
  });
  await using all = await openAll([server.port]);
  const client = await open(all.portOf("in"));
  const body = Buffer.alloc(2_000_000, "0123456789");
  client.end(body);
  const answer = await readAll(client);
  assert.equal(answer.subarray(0, 7).toString(), "after: ");
  assert.ok(answer.subarray(7).equals(body));
});

test("a server that speaks first is heard", async () => {
  await using server = await openServer((socket) => socket.end("220 ready\r\n"));
  await using all = await openAll([server.port]);
  const client = await open(all.portOf("in"));
  assert.equal((await readAll(client)).toString(), "220 ready\r\n");
});

test("a reset of the client reaches the server as a reset", async () => {
  const failed = Promise.withResolvers<NodeJS.ErrnoException>();
  await using server = await openServer((socket) => {
    socket.on("error", failed.resolve);
    socket.write("hello");
    socket.resume();
  });
  await using all = await openAll([server.port]);
  const client = await open(all.portOf("in"));
  await once(client, "data");
  client.resetAndDestroy();
  assert.equal((await failed.promise).code, "ECONNRESET");
});

test("a reset of the server reaches the client as a reset", async () => {
  await using server = await openServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
  await using all = await openAll([server.port]);
  const client = connect({ host: "127.0.0.1", port: all.portOf("in") });
  const failed = once(client, "error");
  client.write("x");
  const [error] = (await failed) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
});

test("a client that does not read stops the server, and gets everything when it reads", async () => {
  const total = 64 * 1024 * 1024;
  let blocked = 0;
  await using server = await openServer((socket) => {
    const block = Buffer.alloc(256 * 1024, 3);
    let sent = 0;
    const fill = (): void => {
      while (sent < total) {
        sent += block.length;
        if (!socket.write(block)) {
          blocked++;
          socket.once("drain", fill);
          return;
        }
      }
      socket.end();
    };
    fill();
  });
  await using all = await openAll([server.port]);
  const client = await open(all.portOf("in"));
  let received = 0;
  client.on("data", (chunk) => {
    received += chunk.length;
  });
  await once(client, "end");
  client.end();
  assert.equal(received, total);
  assert.ok(blocked > 1);
});

test("an upstream that refuses is tried again elsewhere, then the client is let go with UF in the log", async () => {
  const refused = await openServer(() => {});
  const { port } = refused;
  await refused[Symbol.asyncDispose]();
  const log = {
    accessLog: [
      {
        name: "log",
        typedConfig: {
          "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
          path: "/dev/stdout",
          logFormat: { textFormatSource: { inlineString: "%RESPONSE_FLAGS% %BYTES_RECEIVED%\n" } },
        },
      },
    ],
  };
  await using all = await openAll([port], { maxConnectAttempts: 3, ...log });
  const client = await open(all.portOf("in"));
  await readAll(client);
  const upstream = all.plane.clusters()[0];
  assert.equal(upstream?.counters.upstreamCxConnectFail, 3);
  assert.equal(upstream?.load.connections, 0);
  await all.plane.close();
  assert.equal(all.logLines[0], "UF 0\n");
});

test("an idle connection is closed", async () => {
  await using server = await openServer((socket) => socket.resume());
  await using all = await openAll([server.port], { idleTimeout: "0.05s" });
  const client = await open(all.portOf("in"));
  assert.equal((await readAll(client)).length, 0);
});

test("weights choose the cluster", async () => {
  await using one = await openServer((socket) => socket.end("one"));
  await using two = await openServer((socket) => socket.end("two"));
  await using all = openPlane({ random: () => 0.95 });
  await all.put(
    cluster("one", [one.port]),
    cluster("two", [two.port]),
    listener("in", [
      tcpProxy({
        weightedClusters: {
          clusters: [
            { name: "one", weight: 90 },
            { name: "two", weight: 10 },
          ],
        },
      }),
    ]),
  );
  const client = await open(all.portOf("in"));
  assert.equal((await readAll(client)).toString(), "two");
});

test("a client that ended its side and is idle for too long takes its upstream connection with it", async () => {
  await using server = await openServer((socket) => socket.resume());
  await using all = await openAll([server.port], { idleTimeout: "0.05s" });
  const client = await open(all.portOf("in"));
  client.resume();
  client.end("x");
  await once(client, "close");
  const upstream = all.plane.clusters()[0] ?? assert.fail();
  while (upstream.load.connections > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(upstream.counters.upstreamCxActive, 0);
});

test("a connection that could not even begin gives back what it took of its cluster, and no more", async () => {
  const transportSocket = {
    name: "tls",
    typedConfig: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
      commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: "key", sdsConfig: { ads: {} } }] },
    }),
  };
  await using all = openPlane();
  await all.put(
    { kind: "secret", name: "key", json: { name: "key", validationContext: { trustedCa: { inlineString: rootPem } } } },
    cluster("app", [1], { transportSocket }),
    listener("in", [tcpProxy({ cluster: "app" })]),
  );
  const client = await open(all.portOf("in"));
  client.resume();
  await once(client, "end");
  client.end();
  const upstream = all.plane.clusters()[0] ?? assert.fail();
  assert.equal(upstream.counters.upstreamCxConnectFail, 1);
  assert.equal(upstream.load.connections, 0);
});

test("a connection that lasts too long is closed and flagged so", async () => {
  await using server = await openServer((socket) => socket.resume());
  const format = { textFormatSource: { inlineString: "%RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS%\n" } };
  const accessLog = [
    {
      name: "l",
      typedConfig: any("envoy.extensions.access_loggers.file.v3.FileAccessLog", { path: "log", logFormat: format }),
    },
  ];
  await using all = await openAll([server.port], { maxDownstreamConnectionDuration: "0.05s", accessLog });
  const client = await open(all.portOf("in"));
  assert.equal((await readAll(client)).length, 0);
  await all.plane.close();
  assert.match(all.logLines.join(), /^DT /);
});

test("however many tries may fail at once, they end", async () => {
  const typedConfig = any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
    commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: "key", sdsConfig: { ads: {} } }] },
  });
  await using all = openPlane();
  await all.put(
    { kind: "secret", name: "key", json: { name: "key", validationContext: { trustedCa: { inlineString: rootPem } } } },
    cluster("app", [1], { transportSocket: { name: "tls", typedConfig } }),
    listener("in", [tcpProxy({ cluster: "app", maxConnectAttempts: 20_000 })]),
  );
  const client = await open(all.portOf("in"));
  assert.equal((await readAll(client)).length, 0);
  const upstream = all.plane.clusters()[0] ?? assert.fail();
  assert.deepEqual([upstream.counters.upstreamCxConnectFail, upstream.load.connections], [20_000, 0]);
});
