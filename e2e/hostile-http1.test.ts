/** Hostile HTTP/1 clients against a running sidecar: what is refused reaches no upstream, and nobody else notices. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Program, startWeft } from "@weft/testkit/processes";
import { type SteadyLoad, startLoad } from "@weft/testkit/steady-load";
import { impatientBootstrap } from "./bad-input/bootstrap.ts";
import { attacksOn, heldBytes, sized, watched } from "./hostile.ts";

/** Of the sidecar: others, whom a busy machine makes slow, must not pass for slow clients. */
const patience = 8;
const slowClients = sized(600, 5_000);
const unreadAnswers = sized(20, 60);
/** What the sidecar may hold of an answer that is not read, beside the buffers that all connections share. */
const heldEachMax = 192 * 1024 + 32 * 1024;
const sharedBytesMax = 12 * 1024 * 1024;
const stack = new AsyncDisposableStack();
const heads: string[] = [];
let port = 0;
let admin = 0;
let sidecar: Program;
let load: SteadyLoad | undefined;

/** Answers 200 to each head it reads, whatever the body; `/endless` gets bytes for as long as they are taken. */
const serve = (socket: Socket): void => {
  let text = "";
  socket.on("error", () => {});
  socket.on("data", (bytes) => {
    text += bytes.toString("latin1");
    for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
      const head = text.slice(0, end);
      text = text.slice(end + 4);
      if (!/^[A-Z]+ \/\S* HTTP\/1\.1\r\n/.test(head)) continue;
      if (!head.includes(" /steady ")) heads.push(head);
      if (head.includes(" /endless ")) pour(socket);
      else socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
  });
};
const pour = (socket: Socket): void => {
  const piece = Buffer.alloc(64 * 1024, "x");
  socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on("drain", more);
  more();
};

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-hostile-http1-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  const app = typeof address === "object" && address !== null ? address.port : 0;
  port = await findFreePort("127.0.0.1", 0);
  const file = join(folder, "bootstrap.json");
  admin = await findFreePort("127.0.0.1", 0);
  writeFileSync(file, JSON.stringify(impatientBootstrap({ http: port, admin, app }, patience)));
  sidecar = stack.use(startWeft(["sidecar", "--bootstrap", file], watched));
  await sidecar.waitFor(/\bready\b/);
  load = stack.use(startLoad(`127.0.0.1:${port}`, { path: "/steady" }, ({ status }) => status === 200, 1));
  await load.more(2000);
  await all(
    Array.from({ length: 1000 }, (_, i) =>
      i % 2 === 0 ? "no request\r\n" : head("GET /warm HTTP/1.1", "Host: a", close),
    ),
  );
});

after(async () => {
  // A sidecar that did not start leaves no load to stop.
  await load?.stop();
  await stack.disposeAsync();
  assert.deepEqual(load?.failures, [], "somebody else was disturbed");
});

interface Told {
  readonly text: string;
  readonly status: number;
  /** Bytes the sidecar took before it closed. */
  readonly taken: number;
}

/** Sends the pieces one by one, as fast as they are taken, and reads until the connection closes. */
const send = (pieces: Iterable<string>): Promise<Told> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    const rest = pieces[Symbol.iterator]();
    const more = (): void => {
      for (let next = rest.next(); !next.done && !socket.destroyed; next = rest.next()) {
        if (!socket.write(next.value, "latin1")) return;
      }
    };
    socket.setNoDelay(true);
    socket.on("connect", more);
    socket.on("drain", more);
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      resolve({ text, status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), taken: socket.bytesWritten });
    });
  });

const all = async (texts: readonly string[], at = 16): Promise<Told[]> => {
  const told: Told[] = new Array(texts.length);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let i = next++; i < texts.length; i = next++) told[i] = await send([texts[i] as string]);
  };
  await Promise.all(Array.from({ length: at }, work));
  return told;
};

const head = (line: string, ...fields: readonly string[]): string => [line, ...fields, "", ""].join("\r\n");
const close = "Connection: close";
const headOf = (marker: string): string | undefined => heads.find((each) => each.includes(marker));

const attack = attacksOn(() => ({
  program: sidecar,
  load: load ?? assert.fail("there is no load"),
  quiet: async () => {
    assert.deepEqual(load?.failures, []);
    // The load's connection, and those to the application that are kept for the next request.
    await eventually("all connections gone", async () => {
      const { body } = await callHttp(`127.0.0.1:${admin}`, { path: "/stats?filter=^http.http.downstream_cx_active$" });
      return Number(body.split(": ")[1]) <= 1;
    });
  },
}));

attack("every pair of framings is refused, or read the one way there is", async () => {
  const lengths = ["5", "05", "+5", "-5", "5 5", "5,5", "0x5", "", "5;", "99999999999999999999", "6", "0"];
  const codings = [
    "chunked",
    "Chunked",
    "xchunked",
    "chunked, identity",
    "identity",
    "gzip, chunked",
    "",
    "chunked\t",
    "\x0bchunked",
  ];
  const fields = [
    ...lengths.map((value) => `Content-Length: ${value}`),
    "Content-Length : 5",
    "Content_Length: 5",
    ...codings.map((value) => `Transfer-Encoding: ${value}`),
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\r\n chunked",
  ];
  const pairs = fields.flatMap((one) => fields.map((two) => [one, two] as const));
  const body = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
  const told = await all(pairs.map((pair, i) => head(`POST /frame-${i}- HTTP/1.1`, "Host: a", close, ...pair) + body));
  for (const [i, { status }] of told.entries()) {
    const name = JSON.stringify(pairs[i]);
    const seen = headOf(`/frame-${i}- `);
    if (status === 200) {
      const framings = seen?.match(/^(content-length: \d+|transfer-encoding: chunked)$/gm) ?? [];
      assert.ok(framings.length <= 1 && !seen?.includes("_"), name);
      assert.match(name, /Content_Length/, "a pair of framings was taken");
    } else {
      assert.ok(status === 400 || status === 501, `${name}: ${status}`);
      assert.equal(seen, undefined, name);
    }
  }
  assert.equal(headOf("/smuggled"), undefined);
});

attack("ends that are none, empty names and empty lengths are refused wherever they are cut", async () => {
  const texts = [
    "GET /end HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n",
    "GET /end HTTP/1.1\r\nHost: a\r\n: v\r\n\r\n",
    "POST /end HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
    "POST /end HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\nx",
  ];
  for (const text of texts) {
    const cuts = Array.from(text, (_, at) => [text.slice(0, at), text.slice(at)]);
    const told = await Promise.all(cuts.map((pieces) => send(pieces)));
    for (const [at, { status }] of told.entries()) assert.equal(status, 400, `${JSON.stringify(text)} cut at ${at}`);
  }
  assert.equal(headOf("/end"), undefined);
});

attack("endless chunk extensions and trailers are cut off", async () => {
  const start = head("POST /chunks HTTP/1.1", "Host: a", "Transfer-Encoding: chunked");
  function* endless(first: string, piece: string): Generator<string> {
    yield start + first;
    for (let i = 0; i < 1600; i++) yield piece;
  }
  for (const [first, piece] of [
    ["5", ";a=b".repeat(16_384)],
    ["0\r\n", "x: y\r\n".repeat(10_922)],
    ["", "1;a=b\r\nx\r\n".repeat(6554)],
  ] as const) {
    const { status, taken } = await send(endless(first, piece));
    assert.ok(status === 400 || status === 431 || (status === 0 && taken > 0), `${piece.slice(0, 9)}: ${status}`);
    assert.ok(taken < 60_000_000, `${taken} bytes were taken`);
  }
});

attack("slow heads and bodies are answered 408 and closed", async () => {
  const slow = Array.from({ length: slowClients }, (_, i) =>
    i % 2 === 0
      ? "GET /slow HTTP/1.1\r\nHost: a\r\nX: "
      : head("POST /slow-body HTTP/1.1", "Host: a", "Content-Length: 9"),
  );
  const told = await all(slow, slow.length);
  // The application answers a body's request at once, whatever is missing of it; more than 1,024 it is not given.
  for (const [i, { status }] of told.entries())
    assert.ok(status === 408 || (i % 2 === 1 && (status === 200 || status === 503)), `${status}`);
  assert.equal(headOf("/slow "), undefined);
});

attack("readers that do not read hold back their own answers only", async () => {
  const before = await heldBytes(sidecar);
  const sockets = Array.from({ length: unreadAnswers }, () => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.pause();
    socket.write(head("GET /endless HTTP/1.1", "Host: a"));
    return socket;
  });
  await eventually(
    "all are answered",
    () => heads.filter((each) => each.includes(" /endless ")).length >= unreadAnswers,
  );
  const grown = (await heldBytes(sidecar)) - before;
  assert.ok(grown < sharedBytesMax + sockets.length * heldEachMax, `${grown} bytes for ${sockets.length} readers`);
  for (const socket of sockets) socket.destroy();
  heads.length = 0;
});

attack("twins by underscore, and names of objects' own members, mean nothing special", async () => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"];
  const [twins, members, cookies] = await all([
    head(
      "GET /twins HTTP/1.1",
      "Host: a",
      close,
      "X_Forwarded_For: 6.6.6.6",
      "X_Envoy_Internal: true",
      "x-user: a",
      "X-User: b",
    ),
    head(
      `GET /members?${names.map((name) => `${name}=1`).join("&")} HTTP/1.1`,
      "Host: a",
      close,
      ...names.map((n) => `${n}: 1`),
    ),
    head("GET /cookies HTTP/1.1", "Host: a", close, `Cookie: ${names.map((name) => `${name}=1`).join("; ")}`),
  ]);
  assert.deepEqual([twins?.status, members?.status, cookies?.status], [200, 200, 200]);
  assert.doesNotMatch(headOf("/twins") ?? "", /_|6\.6\.6\.6/);
  for (const name of names) assert.ok(headOf("/members")?.includes(`\r\n${name.toLowerCase()}: 1`), name);
});

attack("too many and too large heads are refused with the status that fits", async () => {
  const many = (count: number): string => Array.from({ length: count }, (_, i) => `${i}: ${i}\r\n`).join("");
  const cases: readonly (readonly [string, number])[] = [
    ...[10, 40].map((n) => [`GET /many HTTP/1.1\r\nHost: a\r\n${close}\r\n${many(n)}\r\n`, 200] as const),
    ...[60, 1000, 10_000, 100_000].map((n) => [`GET /no HTTP/1.1\r\nHost: a\r\n${many(n)}\r\n`, 431] as const),
    ...[1000, 7000].map((n) => [head(`GET /${"l".repeat(n)} HTTP/1.1`, "Host: a", close), 200] as const),
    ...[9000, 100_000, 1_000_000].map((n) => [head(`GET /no/${"l".repeat(n)} HTTP/1.1`, "Host: a"), 414] as const),
    ...[9000, 1_000_000].map((n) => [head("GET /no HTTP/1.1", "Host: a", `X: ${"l".repeat(n)}`), 431] as const),
  ];
  const told = await all(cases.map(([text]) => text));
  // A client that is still sending may lose the answer to the reset that follows it.
  for (const [i, [text, status]] of cases.entries()) {
    const got = told[i]?.status ?? 0;
    assert.ok(
      got === status || (got === 0 && status !== 200 && text.length > 90_000),
      `${text.slice(0, 20)}: ${got}, not ${status}`,
    );
  }
  assert.equal(headOf(" /no"), undefined);
});

attack("an authority has one reading, or none", async () => {
  const good = ["a", "a:80", "A.b", "a.", "[::1]", "[::1]:80", "1.2.3.4", "a-b_c~d"];
  const bad = ["", "a b", "u@a", "a:", "a:x", "a:99999", "a:80:80", "[::1", "a,b", "a/b", "a%41", "a\\b", "caf\xe9"];
  const hosts = [...good, ...bad];
  const targets = ["", ...hosts];
  const pairs = targets.flatMap((target) => hosts.map((host) => [target, host] as const));
  const told = await all(
    pairs.map(([target, host], i) =>
      head(`GET ${target === "" ? "" : `http://${target}`}/host-${i}- HTTP/1.1`, `Host: ${host}`, close),
    ),
  );
  for (const [i, [target, host]] of pairs.entries()) {
    const seen = headOf(`/host-${i}- `);
    const name = `${JSON.stringify(target)} ${JSON.stringify(host)}`;
    const isGood = good.includes(host) && (target === "" || good.includes(target));
    // `http://a/b/...` is host a and a longer path.
    if (told[i]?.status === 200 && target === "a/b") continue;
    assert.equal(told[i]?.status, isGood ? 200 : 400, name);
    if (isGood)
      assert.match(seen ?? "", new RegExp(`^host: ${(target || host).replace(/[[\].]/g, "\\$&")}$`, "m"), name);
    else assert.equal(seen, undefined, name);
  }
});
