/** Clients and servers that leave, flood or lie in HTTP/1: only their own connection pays for it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const get = (path: string, fields = ""): string => `GET ${path} HTTP/1.1\r\nhost: a\r\n${fields}\r\n`;

/** Waits for what the other side does in its own time; far too long ends the test, not its process. */
const until = async (what: () => boolean): Promise<void> => {
  const deadlineMs = performance.now() + 20_000;
  while (!what()) {
    if (performance.now() > deadlineMs) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
};

/** Waits until a socket's writes make no progress: those who read it have stopped. */
const untilStuck = async (socket: Socket): Promise<void> => {
  for (let same = 0, last = -1; same < 200; same = socket.writableLength === last ? same + 1 : 0) {
    last = socket.writableLength;
    await new Promise((resolve) => setImmediate(resolve));
  }
};

/** An upstream that keeps what it reads, and answers with what `answer` says of all it read on that connection. */
const openUpstream = async (answer: (read: string, socket: Socket) => string) => {
  const connections: { read: string; closed: boolean }[] = [];
  const server = await openServer((socket) => {
    const connection = { read: "", closed: false };
    connections.push(connection);
    socket.on("data", (bytes) => {
      connection.read += bytes.toString("latin1");
      socket.write(answer(connection.read, socket), "latin1");
    });
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      connection.closed = true;
    });
  });
  return { port: server.port, connections, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
};

const openAll = async (port: number, hcmFields: object = {}) => {
  const all = openPlane();
  await all.put(cluster("app", [port]), routes([toCluster("app")]), listener("in", [hcm(hcmFields)]));
  return all;
};

const openClient = (port: number) => {
  const socket = connect({ host: "127.0.0.1", port });
  const client = { socket, got: "", closed: false };
  socket.on("data", (bytes) => {
    client.got += bytes.toString("latin1");
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    client.closed = true;
  });
  return client;
};

for (const [how, leave] of [
  ["ends its side", (socket: Socket) => socket.end()],
  ["resets", (socket: Socket) => socket.resetAndDestroy()],
] as const) {
  for (const [what, sent] of [
    ["a request", get("/")],
    ["a request and others behind it", get("/") + get("/2").repeat(20)],
    ["a request and a part of the next", `${get("/")}GET /2 HT`],
    ["a whole body", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"],
    ["an upgrade that nobody answered", get("/", "connection: upgrade\r\nupgrade: websocket\r\n")],
  ] as const) {
    test(`a client that ${how} after ${what} takes its upstream request with it`, async () => {
      await using upstream = await openUpstream(() => "");
      await using all = await openAll(upstream.port, { upgradeConfigs: [{ upgradeType: "websocket" }] });
      const client = openClient(all.portOf("in"));
      client.socket.write(sent);
      await until(() => (upstream.connections[0]?.read ?? "").includes("\r\n\r\n"));
      leave(client.socket);
      await until(() => upstream.connections[0]?.closed === true && client.closed);
      assert.equal(upstream.connections.length, 1);
      assert.equal(all.plane.clusters()[0]?.load.requests, 0);
    });
  }
}

test("requests behind one that is being answered are kept to a bound, then the client is not read", async () => {
  let answer = false;
  await using upstream = await openUpstream((read, socket) => {
    if (answer) return ok;
    if (read.startsWith("GET /first")) socket.once("release" as "end", () => socket.write(ok));
    return "";
  });
  await using all = await openAll(upstream.port);
  const client = openClient(all.portOf("in"));
  const count = 200_000;
  client.socket.write(get("/first") + get("/").repeat(count), "latin1");
  await until(() => upstream.connections.length === 1);
  const other = openClient(all.portOf("in"));
  answer = true;
  other.socket.write(get("/other"));
  await until(() => other.got.endsWith("ok"));
  assert.ok(client.socket.writableLength > 0, "everything was read");
  other.socket.destroy();
  client.socket.destroy();
});

test("a client that does not read its answers gets no further ones", async () => {
  await using all = openPlane();
  const body = { inlineString: "x".repeat(3000) };
  const route = {
    name: "v",
    domains: ["*"],
    routes: [{ match: { prefix: "/" }, directResponse: { status: 200, body } }],
  };
  await all.put(routes([route]), listener("in", [hcm()]));
  const counted = (): number => {
    for (const each of all.stats.series()) {
      if (each.name.endsWith(".downstream_rq_total") && each.type === "counter") return each.value;
    }
    return 0;
  };
  const client = openClient(all.portOf("in"));
  client.socket.pause();
  const count = 30_000;
  client.socket.write(get("/").repeat(count), "latin1");
  const other = openClient(all.portOf("in"));
  for (let i = 1; i <= 50; i++) {
    other.socket.write(get("/"));
    await until(() => other.got.split("HTTP/1.1 200").length > i);
  }
  const before = counted();
  assert.ok(before < count / 2, `${before} answers were made for nobody`);
  client.socket.resume();
  await until(() => counted() === count + 50);
  client.socket.destroy();
  other.socket.destroy();
});

test("the next request does not begin while the answer to the one before is not out", async () => {
  let release = (): void => {};
  await using upstream = await openServer((socket) => {
    socket.pause();
    release = () => socket.resume();
    socket.on("data", (bytes) => {
      if (bytes.toString("latin1").endsWith("end")) socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst`);
    });
    socket.on("error", () => {});
  });
  await using all = await openAll(upstream.port);
  const size = 40_000_000;
  const client = openClient(all.portOf("in"));
  const body = Buffer.alloc(size, "x");
  body.write("end", size - 3);
  client.socket.write(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${size}\r\n\r\n`);
  client.socket.write(body);
  client.socket.write(get("/2"));
  await until(() => upstream.sockets.size === 1);
  await untilStuck(client.socket);
  assert.ok(client.socket.writableLength > 0, "nothing was held back");
  release();
  await until(() => client.got.endsWith("first"));
  assert.equal(client.got.match(/HTTP\/1\.1 200/g)?.length, 1);
  client.socket.destroy();
});

test("a head that began behind a request must come whole in its time as well", async () => {
  await using upstream = await openUpstream(() => ok);
  await using all = await openAll(upstream.port, { requestHeadersTimeout: "0.05s" });
  const client = openClient(all.portOf("in"));
  client.socket.write(`${get("/")}GET /2 HTTP/1.1\r\nho`);
  await until(() => client.closed);
  assert.match(client.got, /ok.*HTTP\/1\.1 408 /s);
});

test("a connection that was answered by the proxy itself is not taken for one with half a head", async () => {
  await using all = openPlane();
  await all.put(routes([]), listener("in", [hcm({ requestHeadersTimeout: "0.05s" })]));
  const client = openClient(all.portOf("in"));
  client.socket.write(get("/"));
  await until(() => client.got.includes("\r\n\r\n"));
  const other = openClient(all.portOf("in"));
  other.socket.write("GET / HT");
  await until(() => other.closed);
  assert.match(other.got, /^HTTP\/1\.1 408 /);
  assert.equal(client.closed, false);
  client.socket.destroy();
});

test("an upgrade that the route does not take is refused, HTTP/2 is not heard, and both reach nobody as upgrades", async () => {
  await using upstream = await openUpstream(() => ok);
  await using all = await openAll(upstream.port, { upgradeConfigs: [{ upgradeType: "websocket" }] });
  const refused = openClient(all.portOf("in"));
  refused.socket.write(`${get("/", "connection: upgrade\r\nupgrade: foo\r\n")}early bytes`);
  await until(() => refused.closed);
  assert.match(refused.got, /^HTTP\/1\.1 403 Forbidden\r\n(.*\r\n)*connection: close\r\n/);
  assert.equal(upstream.connections.length, 0);
  const h2c = openClient(all.portOf("in"));
  h2c.socket.write(
    get("/", "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"),
  );
  await until(() => h2c.got.endsWith("ok"));
  assert.doesNotMatch(upstream.connections[0]?.read ?? "", /upgrade|http2-settings/i);
  h2c.socket.destroy();
});

for (const status of ["200 OK", "204 No Content", "403 Forbidden"]) {
  test(`an upstream that answers an upgrade with ${status} opens no tunnel, and nothing sent early reaches it`, async () => {
    const fields = status.startsWith("204") ? "" : "content-length: 0\r\n";
    await using upstream = await openUpstream(() => `HTTP/1.1 ${status}\r\n${fields}\r\n`);
    await using all = await openAll(upstream.port, { upgradeConfigs: [{ upgradeType: "websocket" }] });
    const client = openClient(all.portOf("in"));
    client.socket.write(`${get("/", "connection: upgrade\r\nupgrade: websocket\r\n")}${get("/smuggled")}`);
    await until(() => client.closed);
    assert.ok(client.got.startsWith(`HTTP/1.1 ${status}\r\n`), client.got);
    assert.match(client.got, /connection: close/);
    assert.equal(upstream.connections.length, 1);
    assert.doesNotMatch(upstream.connections[0]?.read ?? "", /smuggled/);
  });
}

test("bytes behind a response are never the answer to the next request", async () => {
  const forged = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
  await using upstream = await openUpstream((read) => (read.includes("/first") ? ok + forged : ok));
  const all = openPlane();
  await using _ = all;
  // One connection at most: the second request waits for the first one's.
  const circuitBreakers = { thresholds: [{ maxConnections: 1 }] };
  await all.put(
    cluster("app", [upstream.port], { circuitBreakers }),
    routes([toCluster("app")]),
    listener("in", [hcm()]),
  );
  const [first, second] = [openClient(all.portOf("in")), openClient(all.portOf("in"))];
  first.socket.write(get("/first"));
  second.socket.write(get("/second"));
  await until(() => first.got !== "" && second.got !== "");
  assert.match(first.got, /ok$/);
  assert.match(second.got, /ok$/);
  assert.equal(upstream.connections[0]?.closed, true);
  first.socket.destroy();
  second.socket.destroy();
});

for (const [name, answer] of [
  ["two framings", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc"],
  ["an unknown coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\nabc"],
  ["a folded line", "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n"],
  ["a bare line feed", "HTTP/1.1 200 OK\ncontent-length: 0\n\n"],
  ["a switch that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"],
  ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n"],
] as const) {
  test(`a response with ${name} is answered 502, and its connection goes`, async () => {
    await using upstream = await openUpstream(() => answer);
    await using all = await openAll(upstream.port);
    const client = openClient(all.portOf("in"));
    client.socket.write(get("/"));
    await until(() => client.got.includes("\r\n\r\n") && upstream.connections[0]?.closed === true);
    assert.match(client.got, /^HTTP\/1\.1 502 /);
    client.socket.destroy();
  });
}

test("an answer that comes before the whole body ends both connections after it", async () => {
  await using upstream = await openUpstream((read) => (read.includes("abc") ? ok : ""));
  await using all = await openAll(upstream.port);
  const client = openClient(all.portOf("in"));
  client.socket.write(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc${get("/in the body")}`);
  await once(client.socket, "end");
  assert.match(client.got, /ok$/);
  assert.equal(client.got.match(/HTTP\/1\.1/g)?.length, 1);
  await until(() => upstream.connections[0]?.closed === true);
  client.socket.destroy();
});

test("an expectation that nobody knows is answered 417 and reaches no upstream", async () => {
  await using upstream = await openUpstream(() => ok);
  await using all = await openAll(upstream.port);
  const client = openClient(all.portOf("in"));
  client.socket.write(get("/", "expect: the-unexpected\r\n"));
  await until(() => client.closed);
  assert.match(client.got, /^HTTP\/1\.1 417 /);
  assert.equal(upstream.connections.length, 0);
});

test("a body that goes wrong midway is answered 400, and its upstream request is taken back", async () => {
  await using upstream = await openUpstream(() => "");
  await using all = await openAll(upstream.port);
  const client = openClient(all.portOf("in"));
  client.socket.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n");
  await until(() => upstream.connections[0]?.read.includes("\r\n\r\n") === true);
  client.socket.write("oops\r\n");
  await until(() => client.closed && upstream.connections[0]?.closed === true);
  assert.match(client.got, /^HTTP\/1\.1 400 Bad Request\r\n/);
});
