import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { createSecureContext, TLSSocket } from "node:tls";
import { decodeProxyHeader } from "@weft/protocols/proxy-protocol/decode";
import { encodeProxyV1, encodeProxyV2 } from "@weft/protocols/proxy-protocol/encode";
import type { Tlv } from "@weft/protocols/proxy-protocol/header";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import { any } from "@weft/xds/resource";
import { createTestCa } from "../identity/testing/test-ca.ts";
import {
  cluster,
  hcm,
  http2Upstream,
  listener,
  openPlane,
  openServer,
  routes,
  type TestPlane,
  tcpProxy,
  toCluster,
} from "../runtime/testing/test-plane.ts";

const filter = (fields: object = {}): Partial<ListenerJson> => ({
  listenerFilters: [
    {
      name: "envoy.filters.listener.proxy_protocol",
      typedConfig: any("envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", fields),
    },
  ],
});
const rawSocket = { name: "envoy.transport_sockets.raw_buffer" };
const sends = (config: object, inner: object = rawSocket): Partial<ClusterJson> => ({
  transportSocket: {
    name: "envoy.transport_sockets.upstream_proxy_protocol",
    typedConfig: any("envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", {
      config,
      transportSocket: inner,
    }),
  },
});
const log = (format: string) => ({
  accessLog: [
    {
      name: "log",
      typedConfig: any("envoy.extensions.access_loggers.file.v3.FileAccessLog", {
        path: "/dev/stdout",
        logFormat: { textFormatSource: { inlineString: `${format}\n` } },
      }),
    },
  ],
});
const told = { source: { host: "192.0.2.7", port: 4242 }, destination: { host: "198.51.100.1", port: 443 } };
const v1 = encodeProxyV1(told);
const authority: Tlv = { type: 0x02, value: Buffer.from("shop.example") };
const own: Tlv = { type: 0xea, value: Buffer.from("vpce-1") };

const openSocket = async (port: number): Promise<Socket> => {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
};
const readAll = async (socket: Socket): Promise<string> => {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "close");
  return Buffer.concat(chunks).toString("latin1");
};
/** What comes back when a connection begins with `bytes`. */
const say = async (all: TestPlane, ...parts: readonly (Buffer | string)[]): Promise<string> => {
  const socket = await openSocket(all.portOf("in"));
  const answer = readAll(socket);
  for (const part of parts) await new Promise((resolve) => socket.write(part, resolve));
  return answer;
};
const counter = ({ stats }: TestPlane, name: string): number => stats.counter(`proxy_proto.${name}`).value;
/** An HTTP server that closes after each answer. */
const httpServer = () =>
  openServer((socket) =>
    socket.once("data", (bytes) => {
      const forwarded = /x-forwarded-for: (.*)\r\n/i.exec(bytes.toString())?.[1] ?? "none";
      socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${forwarded.length}\r\nconnection: close\r\n\r\n${forwarded}`);
    }),
  );
const get = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

test("the told source and destination stand in the log, the forwarded address, and chain choice", async () => {
  await using server = await httpServer();
  await using all = openPlane();
  const format =
    "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %FILTER_CHAIN_NAME%";
  const chain = (name: string, filterChainMatch: object) => ({
    name,
    filterChainMatch,
    filters: [hcm({ useRemoteAddress: true, ...log(format) })],
  });
  await all.put(
    cluster("app", [server.port]),
    routes([toCluster("app")]),
    listener("in", [], {
      ...filter(),
      filterChains: [
        chain("direct", { sourcePrefixRanges: [{ addressPrefix: "127.0.0.0", prefixLen: 8 }] }),
        chain("told", {
          destinationPort: 443,
          directSourcePrefixRanges: [{ addressPrefix: "127.0.0.1", prefixLen: 32 }],
          sourcePrefixRanges: [{ addressPrefix: "192.0.2.0", prefixLen: 24 }],
        }),
      ],
    }),
  );
  assert.match(await say(all, Buffer.concat([v1, Buffer.from(get)])), /\r\n\r\n192\.0\.2\.7$/);
  assert.match(await say(all, encodeProxyV2(told), get), /\r\n\r\n192\.0\.2\.7$/);
  assert.match(await say(all, encodeProxyV2(undefined), get), /\r\n\r\n127\.0\.0\.1$/, "LOCAL keeps the real ends");
  await all.plane.close();
  assert.deepEqual(all.logLines.slice(0, 2), [
    "192.0.2.7:4242 198.51.100.1:443 127.0.0.1 told\n",
    "192.0.2.7:4242 198.51.100.1:443 127.0.0.1 told\n",
  ]);
  assert.deepEqual([counter(all, "versions.v1.found"), counter(all, "versions.v2.found")], [1, 2]);
});

test("wherever the header is cut, what follows it arrives whole", async () => {
  await using server = await openServer((socket) => socket.pipe(socket));
  await using all = openPlane();
  await all.put(cluster("app", [server.port]), listener("in", [tcpProxy({ cluster: "app" })], filter()));
  const bytes = Buffer.concat([encodeProxyV2(told, [own]), Buffer.from("hello")]);
  for (const cut of [1, 12, 15, 20, bytes.length - 5, bytes.length - 1]) {
    const socket = await openSocket(all.portOf("in"));
    await new Promise((resolve) => socket.write(bytes.subarray(0, cut), resolve));
    socket.write(bytes.subarray(cut));
    let back = "";
    while (back.length < 5) back += String((await once(socket, "data"))[0]);
    assert.equal(back, "hello", `cut at ${cut}`);
    socket.destroy();
  }
});

test("a header that is malformed or missing closes that connection alone, and is counted", async () => {
  await using server = await openServer((socket) => socket.end("served"));
  await using all = openPlane();
  await all.put(
    cluster("app", [server.port]),
    listener("in", [tcpProxy({ cluster: "app" })], filter({ statPrefix: "x" })),
  );
  const good = await openSocket(all.portOf("in"));
  const served = readAll(good);
  assert.equal(await say(all, "PROXY TCP4 1.2.3.4 nonsense 1 2\r\n"), "");
  assert.equal(await say(all, Buffer.concat([encodeProxyV2(told).subarray(0, 12), Buffer.from([0xff, 0, 0, 0])])), "");
  assert.equal(await say(all, get), "");
  good.write(v1);
  assert.equal(await served, "served");
  const seen = ["x.versions.v1.error", "x.versions.v2.error", "x.not_found_disallowed", "x.versions.v1.found"];
  assert.deepEqual(
    seen.map((name) => counter(all, name)),
    [1, 1, 1, 1],
  );
});

test("where headers may be missing, connections without one are served with their own addresses", async () => {
  await using server = await httpServer();
  await using all = openPlane();
  await all.put(
    cluster("app", [server.port]),
    routes([toCluster("app")]),
    listener("in", [hcm({ useRemoteAddress: true })], filter({ allowRequestsWithoutProxyProtocol: true })),
  );
  assert.match(await say(all, get), /127\.0\.0\.1$/);
  assert.match(await say(all, v1, get), /192\.0\.2\.7$/);
  assert.equal(counter(all, "not_found_allowed"), 1);
});

test("a version that is not allowed is refused, or passed on unread where headers may be missing", async () => {
  await using server = await openServer((socket) => socket.once("data", (bytes) => socket.end(bytes)));
  await using all = openPlane();
  const put = (fields: object) =>
    all.put(listener("in", [tcpProxy({ cluster: "app" })], filter({ disallowedVersions: ["V1"], ...fields })));
  await all.put(cluster("app", [server.port]));
  await put({});
  assert.equal(await say(all, v1), "");
  assert.equal(counter(all, "versions.v1.disallowed"), 1);
  await put({ allowRequestsWithoutProxyProtocol: true });
  assert.equal(await say(all, v1), v1.toString());
});

test("who owes a header and sends none in time is closed, though the listener goes on after its timeout", async () => {
  await using server = await openServer((socket) => socket.end("served"));
  await using all = openPlane();
  const put = (fields: object) =>
    all.put(
      listener("in", [tcpProxy({ cluster: "app" })], {
        ...filter(fields),
        listenerFiltersTimeout: "0.05s",
        continueOnListenerFiltersTimeout: true,
      }),
    );
  await all.put(cluster("app", [server.port]));
  await put({});
  assert.equal(await say(all, "PROX"), "");
  await put({ allowRequestsWithoutProxyProtocol: true });
  assert.equal(await say(all), "served");
});

test("extensions become metadata for the log and for access rules", async () => {
  await using server = await openServer((socket) => socket.end("served"));
  await using all = openPlane();
  const value = { stringMatch: { exact: "vpce-1" } };
  const rbac = {
    name: "rbac",
    typedConfig: any("envoy.extensions.filters.network.rbac.v3.RBAC", {
      statPrefix: "r",
      rules: {
        policies: {
          told: {
            permissions: [{ any: true }],
            principals: [
              {
                andIds: {
                  ids: [
                    { metadata: { filter: "aws", path: [{ key: "endpoint" }], value } },
                    { directRemoteIp: { addressPrefix: "127.0.0.1", prefixLen: 32 } },
                    { remoteIp: { addressPrefix: "192.0.2.7", prefixLen: 32 } },
                  ],
                },
              },
            ],
          },
        },
      },
    }),
  };
  const format = "%DYNAMIC_METADATA(aws:endpoint)% %DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:authority)%";
  const rules = [
    { tlvType: 0xea, onTlvPresent: { metadataNamespace: "aws", key: "endpoint" } },
    { tlvType: 2, onTlvPresent: { key: "authority" } },
  ];
  await all.put(
    cluster("app", [server.port]),
    listener("in", [rbac, tcpProxy({ cluster: "app", ...log(format) })], filter({ rules })),
  );
  assert.equal(await say(all, encodeProxyV2(told, [own, authority])), "served");
  assert.equal(await say(all, encodeProxyV2(told, [{ ...own, value: Buffer.from("vpce-2") }])), "");
  assert.equal(await say(all, v1), "");
  await all.plane.close();
  assert.equal(all.logLines[0], "vpce-1 shop.example\n");
});

test("what the filter and the transport cannot honour is refused by name", () => {
  const all = openPlane();
  const reason = (change: Parameters<typeof all.plane.check>[0]): string => all.plane.check(change)?.reason ?? "taken";
  const inListener = (fields: object): string => reason(listener("in", [tcpProxy({ cluster: "app" })], filter(fields)));
  assert.match(inListener({ rules: [{ tlvType: 256, onTlvPresent: { key: "a" } }] }), /rules\[0\]\.tlvType/);
  assert.match(inListener({ rules: [{ tlvType: 1 }] }), /rules\[0\]\.onTlvPresent: is required/);
  assert.match(inListener({ rules: [{ tlvType: 1, onTlvPresent: {} }] }), /onTlvPresent\.key/);
  assert.match(inListener({ disallowedVersions: ["V3"] }), /disallowedVersions\[0\]/);
  assert.match(inListener({ passThroughTlvs: { matchType: "OTHER" } }), /passThroughTlvs\.matchType/);
  assert.match(inListener({ somethingNew: true }), /somethingNew/);
  const twice = sends({}, sends({}).transportSocket ?? {});
  assert.match(reason(cluster("app", [1], twice)), /transportSocket: holds another/);
  assert.match(reason(cluster("app", [1], sends({ version: "V3" }))), /config\.version/);
  assert.equal(reason(cluster("app", [1], sends({ version: "V2" }))), "taken");
  void all.plane.close();
});

/** A server that notes the head of each connection and answers every request it reads. */
const notingServer = async () => {
  const heads: Buffer[] = [];
  const server = await openServer((socket) => {
    let first = true;
    socket.on("data", (bytes: Buffer) => {
      if (first) heads.push(bytes);
      first = false;
      if (bytes.includes("GET /")) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  return { ...server, heads, [Symbol.asyncDispose]: server[Symbol.asyncDispose] };
};
const ask = async (socket: Socket): Promise<void> => {
  const answer = once(socket, "data");
  socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  assert.match(String((await answer)[0]), /200 OK/);
};

test("a host is told of the client ahead of all bytes, with the extensions chosen", async () => {
  await using server = await notingServer();
  await using all = openPlane();
  await all.put(
    cluster("app", [server.port], sends({ version: "V2", passThroughTlvs: { matchType: "INCLUDE", tlvType: [0xea] } })),
    listener("in", [tcpProxy({ cluster: "app" })], filter({ passThroughTlvs: {} })),
  );
  const socket = await openSocket(all.portOf("in"));
  socket.write(encodeProxyV2(told, [own, authority]));
  await ask(socket);
  const head = server.heads[0] ?? assert.fail();
  const decoded = decodeProxyHeader(head);
  assert.ok(decoded.kind === "header");
  assert.deepEqual(decoded.header, { version: "v2", addresses: told, tlvs: [own] });
  assert.match(head.toString("latin1", decoded.length), /^GET/);
  socket.destroy();
});

test("requests of different client connections never share a connection that tells of one", async () => {
  await using server = await notingServer();
  await using all = openPlane();
  await all.put(cluster("app", [server.port], sends({})), routes([toCluster("app")]), listener("in", [hcm()]));
  const one = await openSocket(all.portOf("in"));
  const two = await openSocket(all.portOf("in"));
  await ask(one);
  await ask(one);
  await ask(two);
  await ask(one);
  const sources = server.heads.map((head) => /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 (\d+)/.exec(head.toString())?.[1]);
  assert.deepEqual(sources, [String(one.localPort), String(two.localPort)]);
  const upstream = [...server.sockets];
  const closed = Promise.all(upstream.map((socket) => once(socket, "end")));
  one.end();
  two.end();
  await closed;
});

test("a connection on nobody's behalf says LOCAL, or its own ends where the version has no such word", async () => {
  await using server = await notingServer();
  await using all = openPlane();
  for (const version of ["V2", "V1"]) {
    await all.put(
      cluster("app", [server.port]),
      cluster("shadow", [server.port], sends({ version })),
      routes([toCluster("app", { requestMirrorPolicies: [{ cluster: "shadow" }] })]),
      listener("in", [hcm()]),
    );
    const socket = await openSocket(all.portOf("in"));
    await ask(socket);
    socket.destroy();
    while (!server.heads.some((head) => decodeProxyHeader(head).kind === "header")) await new Promise(setImmediate);
    const decoded = server.heads.map((head) => decodeProxyHeader(head)).find(({ kind }) => kind === "header");
    assert.ok(decoded?.kind === "header");
    if (version === "V2") assert.equal(decoded.header.addresses, undefined);
    else assert.equal(decoded.header.addresses?.destination.port, server.port);
    server.heads.length = 0;
  }
});

test("the header goes ahead of HTTP/2 too", async () => {
  const heads: Buffer[] = [];
  await using server = await openServer((socket) => socket.on("data", (bytes: Buffer) => heads.push(bytes)));
  await using all = openPlane();
  await all.put(
    cluster("app", [server.port], { ...http2Upstream, ...sends({}) }),
    routes([toCluster("app")]),
    listener("in", [hcm()]),
  );
  const socket = await openSocket(all.portOf("in"));
  socket.write(get);
  while (!Buffer.concat(heads).includes("PRI * HTTP/2.0")) await new Promise(setImmediate);
  assert.match(
    Buffer.concat(heads).toString("latin1"),
    /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\nPRI \* HTTP\/2/,
  );
  socket.destroy();
});

test("the header goes ahead of the TLS handshake", async () => {
  const now = Date.now();
  const ca = createTestCa(now);
  const dates = { notBeforeMs: now - 60_000, notAfterMs: now + 60_000 };
  const { keyPem, chain } = ca.issue({ ...dates, uri: "spiffe://cluster.local/ns/a/sa/b" });
  const secureContext = createSecureContext({ key: keyPem, cert: chain.join("") });
  let head = "";
  await using server = await openServer((socket) =>
    socket.once("data", (bytes: Buffer) => {
      socket.pause();
      const end = bytes.indexOf("\r\n") + 2;
      head = bytes.toString("latin1", 0, end);
      socket.unshift(bytes.subarray(end));
      const secure = new TLSSocket(socket, { isServer: true, secureContext });
      secure.on("error", () => {});
      secure.once("data", () => secure.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    }),
  );
  await using all = openPlane();
  const tls = {
    name: "envoy.transport_sockets.tls",
    typedConfig: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
      commonTlsContext: { validationContext: { trustedCa: { inlineString: ca.rootPem } } },
    }),
  };
  await all.put(
    cluster("app", [server.port], sends({}, tls)),
    routes([toCluster("app")]),
    listener("in", [hcm()], filter()),
  );
  assert.match(await say(all, v1, get), /200 OK/);
  assert.equal(head, v1.toString());
});
