import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { realClock, setRealTimer } from "@weft/net/clock";
import type { FilterChainJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { any } from "@weft/xds/resource";
import { openMesh } from "../runtime/testing/test-mesh.ts";
import {
  cluster,
  hcm,
  listener,
  openPlane,
  openServer,
  routes,
  type TestPlane,
  tcpProxy,
  toCluster,
} from "../runtime/testing/test-plane.ts";

const inspector = (name: string, message: string) => ({
  name: `envoy.filters.listener.${name}`,
  typedConfig: any(`envoy.extensions.filters.listener.${name}.v3.${message}`, {}),
});
const sniffing = {
  listenerFilters: [inspector("tls_inspector", "TlsInspector"), inspector("http_inspector", "HttpInspector")],
  listenerFiltersTimeout: "0s",
  continueOnListenerFiltersTimeout: true,
};
const httpChain: FilterChainJson = {
  filterChainMatch: { transportProtocol: "raw_buffer", applicationProtocols: ["http/1.1", "h2c"] },
  filters: [hcm()],
};

/** A port of undeclared protocol, as Istio has it: HTTP goes to `web`, everything else to `raw`. */
const openAuto = async (ports: { readonly web: number; readonly raw: number }, tools = {}): Promise<TestPlane> => {
  const all = openPlane(tools);
  await all.put(
    cluster("web", [ports.web]),
    cluster("raw", [ports.raw]),
    routes([toCluster("web")]),
    listener("in", [], {
      ...sniffing,
      filterChains: [httpChain],
      defaultFilterChain: { filters: [tcpProxy({ cluster: "raw" })] },
    }),
  );
  return all;
};

const dials = ({ stats }: TestPlane) =>
  Object.fromEntries(
    ["made", "used", "unused", "failed"].map((name) => [name, stats.counter(`tcp.early_dial.${name}`).value]),
  );
const loadOf = (all: TestPlane, name: string) => all.plane.clusters().find((each) => each.name === name)?.load;

const openClient = async (port: number): Promise<Socket> => {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
};
const readAll = async (socket: Socket): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("latin1");
};
const readUntil = async (socket: Socket, wanted: string): Promise<string> => {
  let got = "";
  while (!got.includes(wanted)) {
    const [bytes] = (await once(socket, "data")) as [Buffer];
    got += bytes.toString("latin1");
  }
  return got;
};

/** An HTTP server that says which connection and path it answers. */
const openWeb = () =>
  openServer((socket) => {
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nweb"));
    socket.on("end", () => socket.end());
  });
/** A server that greets and echoes what it hears in parentheses. Counts its connections. */
const openGreeter = async (greeting: Buffer | string) => {
  const seen = { connections: 0, bytes: 0, ended: Promise.withResolvers<void>() };
  const server = await openServer((socket) => {
    seen.connections++;
    socket.write(greeting);
    socket.on("data", (bytes: Buffer) => {
      seen.bytes += bytes.length;
      socket.write(`(${bytes.toString("latin1")})`);
    });
    socket.on("end", () => socket.end());
    socket.on("close", () => seen.ended.resolve());
  });
  return Object.assign(server, { seen });
};
const get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

const greetings: readonly (readonly [string, Buffer | string])[] = [
  ["MySQL", Buffer.from("4a0000000a382e302e333600", "hex")],
  ["SMTP", "220 mail.example ESMTP\r\n"],
  ["NATS", 'INFO {"server_id":"x","version":"2.10"}\r\n'],
  ["SSH", "SSH-2.0-OpenSSH_9.6\r\n"],
];

for (const [name, greeting] of greetings) {
  test(`a client that waits for a ${name} server hears it, and speaks to that very connection`, async () => {
    await using web = await openWeb();
    await using raw = await openGreeter(greeting);
    await using all = await openAuto({ web: web.port, raw: raw.port });
    const client = await openClient(all.portOf("in"));
    const text = greeting.toString("latin1");
    assert.equal(await readUntil(client, text), text);
    client.write("GET / HTTP/1.1\r\n");
    await readUntil(client, "(GET / HTTP/1.1\r\n)");
    client.end();
    await readAll(client);
    assert.equal(raw.seen.connections, 1);
    assert.deepEqual(dials(all), { made: 1, used: 1, unused: 0, failed: 0 });
    assert.equal(all.stats.counter("tcp.test.downstream_cx_total").value, 1);
  });
}

/** The first timer of a millisecond is the one that ends a client's moment to speak first. */
const heldSilence = () => {
  const held: (() => void)[] = [];
  const setTimer = (callback: () => void, delayMs: number): Disposable => {
    if (delayMs !== 1) return setRealTimer(callback, delayMs);
    held.push(callback);
    return { [Symbol.dispose]: () => void held.splice(held.indexOf(callback), 1) };
  };
  return { held, setTimer };
};
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test("a client that speaks at once costs no connection of the other chain", async () => {
  const { held, setTimer } = heldSilence();
  await using web = await openWeb();
  await using raw = await openGreeter("220\r\n");
  await using all = await openAuto({ web: web.port, raw: raw.port }, { setTimer });
  const client = await openClient(all.portOf("in"));
  client.write(get);
  await readUntil(client, "web");
  assert.deepEqual(held, [], "the timer is gone with the first byte");
  assert.deepEqual(dials(all), { made: 0, used: 0, unused: 0, failed: 0 });
  assert.equal(raw.seen.connections, 0);
  client.destroy();
});

test("a client's first bytes that are there when its moment ends win over the dial", async () => {
  const { held, setTimer } = heldSilence();
  await using web = await openWeb();
  await using raw = await openGreeter("220\r\n");
  await using all = await openAuto({ web: web.port, raw: raw.port }, { setTimer });
  const client = await openClient(all.portOf("in"));
  client.write("GE");
  while (all.plane.listeners()[0]?.connections === 0) await turn();
  // From here on the kernel has the bytes, and the loop looks there before the turn after this ends.
  await turn();
  for (const callback of [...held]) callback();
  await turn();
  client.write(get.slice(2));
  await readUntil(client, "web");
  assert.equal(dials(all).made, 0);
  client.destroy();
});

/** A raw server that never speaks first. */
const openSilent = async () => {
  const seen = {
    connections: 0,
    bytes: 0,
    opened: Promise.withResolvers<void>(),
    closed: Promise.withResolvers<void>(),
  };
  const server = await openServer((socket) => {
    seen.connections++;
    seen.opened.resolve();
    socket.on("data", (bytes: Buffer) => {
      seen.bytes += bytes.length;
      socket.write(`(${bytes.toString("latin1")})`);
    });
    socket.on("end", () => socket.end());
    socket.on("close", () => seen.closed.resolve());
  });
  return Object.assign(server, { seen });
};

test("a slow HTTP client gets the HTTP chain, and the connection made ahead closes without a byte", async () => {
  await using web = await openWeb();
  await using raw = await openSilent();
  await using all = await openAuto({ web: web.port, raw: raw.port });
  const client = await openClient(all.portOf("in"));
  await raw.seen.opened.promise;
  client.write(get);
  await readUntil(client, "web");
  await raw.seen.closed.promise;
  assert.equal(raw.seen.bytes, 0);
  assert.deepEqual(dials(all), { made: 1, used: 0, unused: 1, failed: 0 });
  client.destroy();
});

test("a slow client of no known protocol gets the connection made ahead", async () => {
  await using web = await openWeb();
  await using raw = await openSilent();
  await using all = await openAuto({ web: web.port, raw: raw.port });
  const client = await openClient(all.portOf("in"));
  await raw.seen.opened.promise;
  client.write("*1\r\n$4\r\nPING\r\n");
  await readUntil(client, "PING");
  assert.equal(raw.seen.connections, 1);
  assert.deepEqual(dials(all), { made: 1, used: 1, unused: 0, failed: 0 });
  client.destroy();
});

test("a server that sends HTTP/2 settings or an HTTP timeout unasked does not make the connection a raw one", async () => {
  for (const unasked of [Buffer.from("000000040000000000", "hex"), "HTTP/1.1 408 Request Timeout\r\n\r\n"]) {
    await using web = await openWeb();
    await using raw = await openGreeter(unasked);
    await using all = await openAuto({ web: web.port, raw: raw.port });
    const client = await openClient(all.portOf("in"));
    await raw.seen.ended.promise;
    client.write(get);
    assert.match(await readUntil(client, "web"), /^HTTP\/1\.1 200/);
    assert.equal(dials(all).unused, 1);
    client.destroy();
  }
});

test("a greeting in pieces too small to tell is heard whole, also when the client ends the doubt", async () => {
  await using web = await openWeb();
  await using raw = await openServer((socket) => {
    socket.setNoDelay(true);
    socket.write("HT");
    socket.once("data", (bytes: Buffer) => socket.end(`ML ${bytes.toString()}`));
  });
  await using all = await openAuto({ web: web.port, raw: raw.port });
  const client = await openClient(all.portOf("in"));
  while (dials(all).made === 0) await turn();
  client.write("*hello");
  assert.equal(await readAll(client), "HTML *hello");
});

test("bytes from both sides in the same turn are all delivered, over one connection", async () => {
  await using web = await openWeb();
  await using raw = await openGreeter("220 ready\r\n");
  await using all = await openAuto({ web: web.port, raw: raw.port });
  for (let round = 0; round < 20; round++) {
    const client = await openClient(all.portOf("in"));
    if (round % 2 === 0) await turn();
    const heard = readUntil(client, "(*x)");
    client.write("*x");
    assert.equal(await heard, "220 ready\r\n(*x)");
    client.destroy();
  }
  assert.equal(raw.seen.connections, 20);
});

test("a dial that fails leaves the decision to the client", async () => {
  await using web = await openWeb();
  const gone = await openSilent();
  await gone[Symbol.asyncDispose]();
  await using all = await openAuto({ web: web.port, raw: gone.port });
  const client = await openClient(all.portOf("in"));
  while (dials(all).failed === 0) await turn();
  client.write(get);
  await readUntil(client, "web");
  assert.deepEqual(dials(all), { made: 1, used: 0, unused: 0, failed: 1 });
  assert.equal(loadOf(all, "raw")?.connections, 0);
  client.destroy();
});

test("a client that goes away takes the connection made ahead with it", async () => {
  await using web = await openWeb();
  await using raw = await openSilent();
  await using all = await openAuto({ web: web.port, raw: raw.port });
  const client = await openClient(all.portOf("in"));
  await raw.seen.opened.promise;
  client.resetAndDestroy();
  await raw.seen.closed.promise;
  while (loadOf(all, "raw")?.connections !== 0) await turn();
  assert.deepEqual(dials(all), { made: 1, used: 0, unused: 1, failed: 0 });
  assert.equal(all.plane.listeners()[0]?.connections, 0);
});

test("a client that ends its side without a word still hears the server", async () => {
  await using web = await openWeb();
  await using raw = await openServer((socket) => {
    socket.on("end", () => socket.end("Sat Nov 21 06:14:07 UTC\r\n"));
    socket.resume();
  });
  await using all = await openAuto({ web: web.port, raw: raw.port });
  const client = await openClient(all.portOf("in"));
  while (dials(all).made === 0) await turn();
  client.end();
  assert.match(await readAll(client), /^Sat Nov/);
});

test("first bytes that end too early to be HTTP go on as they are", async () => {
  await using web = await openWeb();
  await using raw = await openSilent();
  await using all = await openAuto({ web: web.port, raw: raw.port });
  const client = await openClient(all.portOf("in"));
  client.end("GE");
  assert.equal(await readAll(client), "(GE)");
});

test("a server that closes without a word is passed on", async () => {
  await using web = await openWeb();
  await using raw = await openServer((socket) => {
    socket.resume();
    socket.end();
  });
  await using all = await openAuto({ web: web.port, raw: raw.port });
  const client = await openClient(all.portOf("in"));
  client.on("end", () => client.end());
  client.resume();
  await new Promise((resolve) => client.once("close", resolve));
  while (loadOf(all, "raw")?.connections !== 0) await turn();
  assert.equal(dials(all).used, 1);
});

/** Real time, and as much more as a test says. */
const movedTime = () => {
  const later = { ms: 0 };
  const armed = new Set<() => void>();
  return {
    tools: {
      clock: { nowMs: () => realClock.nowMs() + later.ms, wallMs: () => realClock.wallMs() + later.ms },
      setTimer: (callback: () => void, delayMs: number): Disposable => {
        armed.add(callback);
        const timer = setRealTimer(() => {
          armed.delete(callback);
          callback();
        }, delayMs);
        return {
          [Symbol.dispose]: () => {
            armed.delete(callback);
            timer[Symbol.dispose]();
          },
        };
      },
    },
    move: (ms: number): void => {
      later.ms += ms;
      for (const callback of [...armed]) callback();
    },
  };
};

test("a client that waits for a server that cannot be reached is let go after a while, by an attempt that counts", async () => {
  await using web = await openWeb();
  const gone = await openSilent();
  await gone[Symbol.asyncDispose]();
  const { tools, move } = movedTime();
  await using all = await openAuto({ web: web.port, raw: gone.port }, tools);
  const client = await openClient(all.portOf("in"));
  while (dials(all).failed === 0) await turn();
  assert.equal(all.stats.counter("tcp.test.downstream_cx_total").value, 0);
  move(6_000);
  assert.equal(await readAll(client), "");
  assert.equal(all.stats.counter("tcp.test.downstream_cx_total").value, 1);
});

test("first bytes that never become anything are not waited for without end", async () => {
  await using web = await openWeb();
  await using raw = await openSilent();
  const { tools, move } = movedTime();
  await using all = await openAuto({ web: web.port, raw: raw.port }, tools);
  const client = await openClient(all.portOf("in"));
  client.write("GE");
  const ended = readAll(client);
  // The sidecar reads in a turn that nobody here sees the end of.
  const moving = setInterval(() => move(16_000), 1);
  assert.equal(await ended, "");
  clearInterval(moving);
  assert.equal(raw.seen.bytes, 0, "what may yet have been HTTP is not passed on as something else");
});

test("where the circuit breaker has no room nothing is dialled ahead, and the client may still speak HTTP", async () => {
  await using web = await openWeb();
  await using raw = await openGreeter("220\r\n");
  const all = openPlane();
  await using _all = all;
  await all.put(
    cluster("web", [web.port]),
    cluster("raw", [raw.port], { circuitBreakers: { thresholds: [{ maxConnections: 1 }] } }),
    routes([toCluster("web")]),
    listener("in", [], {
      ...sniffing,
      filterChains: [httpChain],
      defaultFilterChain: { filters: [tcpProxy({ cluster: "raw" })] },
    }),
  );
  const first = await openClient(all.portOf("in"));
  await readUntil(first, "220\r\n");
  const second = await openClient(all.portOf("in"));
  for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => setRealTimer(resolve, 1));
  second.write(get);
  await readUntil(second, "web");
  assert.equal(raw.seen.connections, 1);
  first.destroy();
  second.destroy();
});

const strictChain = (name: string): FilterChainJson => ({
  name,
  filterChainMatch: { transportProtocol: "tls" },
  filters: [tcpProxy({ cluster: "raw" })],
});
const denyAll = {
  name: "rbac",
  typedConfig: any("envoy.extensions.filters.network.rbac.v3.RBAC", {
    statPrefix: "tcp.",
    rules: { action: "ALLOW", policies: {} },
  }),
};

test("nothing is dialled where raw bytes are not served: TLS only, HTTP only, denied, or a client's port", async () => {
  const cases: readonly (readonly [string, Parameters<typeof listener>[2]])[] = [
    ["TLS only", { ...sniffing, filterChains: [strictChain("strict")] }],
    ["HTTP only", { ...sniffing, filterChains: [httpChain, { filters: [hcm()] }] }],
    ["denied", { ...sniffing, filterChains: [httpChain, { filters: [denyAll, tcpProxy({ cluster: "raw" })] }] }],
    [
      "declared",
      {
        ...sniffing,
        metadata: { filterMetadata: { weft: { clientFirst: true } } },
        filterChains: [httpChain, { filters: [tcpProxy({ cluster: "raw" })] }],
      },
    ],
    [
      "no going on",
      {
        ...sniffing,
        continueOnListenerFiltersTimeout: false,
        filterChains: [httpChain, { filters: [tcpProxy({ cluster: "raw" })] }],
      },
    ],
  ];
  for (const [name, fields] of cases) {
    const { held, setTimer } = heldSilence();
    await using raw = await openGreeter("220\r\n");
    await using all = openPlane({ setTimer });
    await all.put(cluster("raw", [raw.port]), routes([toCluster("raw")]), listener("in", [], fields));
    const client = await openClient(all.portOf("in"));
    while (all.plane.listeners()[0]?.connections !== 1) await turn();
    for (const callback of [...held]) callback();
    await turn();
    await turn();
    assert.equal(dials(all).made, 0, name);
    client.destroy();
  }
});

test("through mutual TLS: both sidecars hear a server that speaks first", async () => {
  await using raw = await openGreeter("220 mail.example ESMTP\r\n");
  await using mesh = await openMesh({
    appPort: raw.port,
    outFilters: [tcpProxy({ cluster: "outbound" })],
    inFilters: [tcpProxy({ cluster: "inbound" })],
  });
  await mesh.client.put(
    listener("auto", [], {
      ...sniffing,
      filterChains: [httpChain],
      defaultFilterChain: { filters: [tcpProxy({ cluster: "outbound" })] },
    }),
  );
  const client = await openClient(mesh.client.portOf("auto"));
  await readUntil(client, "ESMTP\r\n");
  client.write("EHLO a\r\n");
  await readUntil(client, "(EHLO a\r\n)");
  assert.deepEqual(dials(mesh.client), { made: 1, used: 1, unused: 0, failed: 0 });
  assert.equal(raw.seen.connections, 1);
  client.destroy();
});
