import assert from "node:assert/strict";
import { connect as connectPlain, createServer } from "node:net";
import { before, test } from "node:test";
import { connect } from "node:tls";
import { realClock, setRealTimer } from "@weft/net/clock";
import type { Connection, ConnectionHandler } from "@weft/net/tcp/connection";
import { SocketLoop } from "@weft/net/tcp/socket-loop";
import fc from "fast-check";
import { TimerWheel } from "../timers/timer-wheel.ts";
import { helloOnly, inspect, Sniffer } from "./sniffer.ts";

/** A ClientHello as a client of this Node makes it. */
const helloOf = (servername: string, ALPNProtocols: string[]): Promise<Buffer> =>
  new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (bytes: Buffer) => {
        resolve(bytes);
        socket.destroy();
        server.close();
      });
    });
    server.listen(0, "127.0.0.1", () => {
      const at = server.address();
      const port = at !== null && typeof at === "object" ? at.port : 0;
      connect({ host: "127.0.0.1", port, servername, ALPNProtocols }).on("error", () => {});
    });
  });

const samples: (readonly [name: string, bytes: Buffer])[] = [
  ["HTTP/1.1", Buffer.from("GET /a HTTP/1.1\r\nhost: a\r\n\r\n")],
  ["HTTP/2", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
  ["Redis", Buffer.from("*1\r\n$4\r\nPING\r\n")],
  ["a short word", Buffer.from("QUIT\r\n")],
  ["TLS that is none", Buffer.from("16030100050100000100ff", "hex")],
];
let hello: Buffer;
before(async () => {
  hello = await helloOf("shop.example", ["istio-http/1.1", "istio", "h2"]);
  samples.push(["TLS", hello]);
});

const listeners = [
  { inspectsTls: true, inspectsHttp: true },
  { inspectsTls: true, inspectsHttp: false },
  { inspectsTls: false, inspectsHttp: true },
];
const decisionOf = (listener: (typeof listeners)[number], bytes: Buffer) => {
  const sniffed = inspect(listener, bytes);
  return sniffed && { ...sniffed, firstBytes: undefined };
};

test("the same bytes give the same decision wherever the network cuts them", () => {
  for (const listener of listeners) {
    for (const [name, bytes] of samples) {
      const whole = decisionOf(listener, bytes);
      assert.ok(whole, name);
      for (let cut = 1; cut < bytes.length; cut++) {
        const early = decisionOf(listener, bytes.subarray(0, cut));
        if (early !== undefined) assert.deepEqual(early, whole, `${name} cut at ${cut}, ${JSON.stringify(listener)}`);
      }
    }
  }
});

test("whatever follows the bytes of a decision does not change it", () => {
  fc.assert(
    fc.property(fc.nat(samples.length - 1), fc.uint8Array({ maxLength: 40 }), (at, more) => {
      const [, bytes] = samples[at] as (typeof samples)[number];
      for (const listener of listeners) {
        assert.deepEqual(decisionOf(listener, Buffer.concat([bytes, more])), decisionOf(listener, bytes));
      }
    }),
  );
});

test("a hello tells its server name and its protocols in their order", () => {
  const sniffed = inspect({ inspectsTls: true, inspectsHttp: true }, hello);
  assert.deepEqual(
    [sniffed?.tls, sniffed?.serverName, sniffed?.applicationProtocols],
    [true, "shop.example", ["istio-http/1.1", "istio", "h2"]],
  );
});

/** A linear congruential generator: the same hellos in every run. */
const seeded = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};

test("100,000 hellos of random damage and random server names are read or refused, and no name can hurt a log line", () => {
  const random = seeded(11);
  const nameAt = hello.indexOf("shop.example");
  let named = 0;
  for (let round = 0; round < 100_000; round++) {
    const bytes = Buffer.from(hello);
    if (round % 2 === 0) for (let at = 0; at < 12; at++) bytes[nameAt + at] = random(256);
    else for (let edits = 1 + random(6); edits > 0; edits--) bytes[random(bytes.length)] = random(256);
    const cut = round % 3 === 0 ? random(bytes.length) : bytes.length;
    const sniffed = inspect({ inspectsTls: true, inspectsHttp: true }, bytes.subarray(0, cut));
    if (sniffed === undefined || sniffed.serverName === "") continue;
    named++;
    assert.match(sniffed.serverName, /^[a-z0-9._-]+$/);
  }
  assert.ok(named > 1_000, String(named));
});

test("slow first bytes, one at a time, come to the decision of all at once", async () => {
  const listener = { inspectsTls: true, inspectsHttp: true };
  const got = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    let all: Buffer = Buffer.alloc(0);
    socket.on("data", (bytes: Buffer) => {
      all = Buffer.concat([all, bytes]);
      const decision = decisionOf(listener, all);
      if (decision === undefined) return;
      assert.deepEqual(decision, decisionOf(listener, hello));
      socket.destroy();
      got.resolve();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = server.address();
  const socket = connectPlain({
    host: "127.0.0.1",
    port: at !== null && typeof at === "object" ? at.port : 0,
    noDelay: true,
  });
  socket.on("error", () => {});
  for (const byte of hello) {
    if (socket.destroyed) break;
    socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await got.promise;
  server.close();
});

test("bytes that were waited for are the connection's own, also those that are no hello where one was due", () => {
  const connection: { handler: ConnectionHandler | undefined } = { handler: undefined };
  const wheel = new TimerWheel(realClock, setRealTimer);
  const tools = { wheel, loop: new SocketLoop({ useReadBuffer: false }), setTimer: setRealTimer };
  const known: Buffer[] = [];
  new Sniffer(helloOnly, connection as unknown as Connection, tools, {
    onKnown: ({ firstBytes }) => known.push(firstBytes),
    onGone: () => {},
    rawChoice: () => undefined,
  });
  const shared = Buffer.from("no hello at all");
  connection.handler?.onRead(shared);
  shared.fill("x");
  assert.deepEqual(known.map(String), ["no hello at all"]);
});
