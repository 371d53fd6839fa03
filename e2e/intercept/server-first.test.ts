/**
 * Ports whose protocol nobody declared, through a redirected connection: servers that speak first are heard as soon as
 * without a sidecar, and clients that speak first are served by what they speak. Needs root and iptables.
 */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { createNetworkNamespace, type NetworkNamespace } from "@weft/testkit/network-namespace";
import { type Program, weftEntry } from "@weft/testkit/processes";
import { asProxyUser } from "./proxy-user.ts";
import { serverFirstBootstrap } from "./server-first-bootstrap.ts";

const admin = 15021;
const stack = new AsyncDisposableStack();
let net: NetworkNamespace;
let folder: string;
let web: EchoServer;

/** A server outside that greets, or not, and then answers what it hears in parentheses. */
const startGreeter = async (greeting: string): Promise<number> => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    if (greeting !== "") socket.write(Buffer.from(greeting, "latin1"));
    socket.on("data", (bytes) => socket.write(`(${bytes.toString("latin1")})`));
  });
  await new Promise<void>((resolve) => server.listen(0, net.outside.ipv4[0], resolve));
  stack.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const at = server.address();
  return at !== null && typeof at === "object" ? at.port : 0;
};

/** Runs inside: connects, says what it is told to once it heard what it waits for, prints all it heard until `until`. */
const client = `
const [host, port, first, say, until] = JSON.parse(process.argv[1]);
const socket = require("node:net").connect(Number(port), host);
let heard = "", said = false;
const speak = () => { if (!said && heard.includes(first)) { said = true; socket.write(say); } };
socket.setTimeout(8000, () => { console.log("silence after " + JSON.stringify(heard)); process.exit(1); });
socket.on("connect", speak);
socket.on("error", (error) => { console.log(error.code); process.exit(1); });
socket.on("data", (bytes) => {
  heard += bytes.toString("latin1");
  speak();
  if (heard.includes(until)) { console.log(heard); process.exit(0); }
});
`;
interface Talk {
  readonly port: number;
  readonly host?: string;
  readonly first?: string;
  readonly say: string;
  readonly until: string;
}
const talk = async ({ port, host = net.outside.ipv4[0], first = "", say, until }: Talk): Promise<string> => {
  const { code, stdout } = await net.run(process.execPath, [
    "-e",
    client,
    JSON.stringify([host, port, first, say, until]),
  ]);
  assert.equal(code, 0, stdout);
  return stdout;
};
const statOf = async (name: string): Promise<number> => {
  const { stdout } = await net.run("curl", ["-s", `http://127.0.0.1:${admin}/stats?filter=${name}`]);
  return Number(/: (\d+)/.exec(stdout)?.[1] ?? 0);
};

before(async () => {
  net = stack.use(createNetworkNamespace());
  folder = mkdtempSync(join(tmpdir(), "weft-server-first-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  web = stack.use(await startEchoServer("web", 0, net.outside.ipv4[0]));
  const weft = (...args: string[]) => net.run(process.execPath, [weftEntry, ...args]);
  const { code, stderr } = await weft("intercept", "apply");
  assert.equal(code, 0, stderr);
  const file = join(folder, "bootstrap.json");
  writeFileSync(file, JSON.stringify(serverFirstBootstrap({ admin })));
  const sidecar: Program = net.start("setpriv", [
    ...asProxyUser,
    ...[process.execPath, "--disable-warning=ExperimentalWarning", weftEntry, "sidecar", "--bootstrap", file],
  ]);
  stack.use(sidecar);
  await sidecar.waitFor(/\bready\b/);
});
after(() => stack.disposeAsync());

const greetings: readonly (readonly [string, string])[] = [
  ["MySQL", "J\0\0\0\n8.0.36\0"],
  ["SMTP", "220 mail.example ESMTP\r\n"],
  ["NATS", 'INFO {"server_id":"x"}\r\n'],
];

test("servers that greet are heard on a port of no declared protocol, and go on over one connection", async () => {
  for (const [name, greeting] of greetings) {
    const port = await startGreeter(greeting);
    const used = await statOf("tcp.early_dial.used");
    const heard = await talk({ port, first: greeting, say: "HELLO\r\n", until: "(HELLO\r\n)" });
    assert.ok(heard.startsWith(greeting), name);
    assert.equal(await statOf("tcp.early_dial.used"), used + 1, name);
  }
});

test("clients that speak first are served by what they speak: Redis as it is, HTTP with its marks", async () => {
  const port = await startGreeter("");
  const ping = "*1\r\n$4\r\nPING\r\n";
  assert.equal((await talk({ port, say: ping, until: ")" })).trim(), `(${ping})`.trim());
  const request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
  const answer = await talk({ port: web.port, say: request, until: "}" });
  assert.match(answer, /^HTTP\/1\.1 200/);
  assert.match(answer, /"x-through":"outbound"/);
});

test("a connection inbound is treated alike: the application that greets is heard by who waits outside", async () => {
  const app = net.start(process.execPath, [
    "-e",
    `require("node:net").createServer((socket) => { socket.on("error", () => {}); socket.write("220 app\\r\\n"); })
       .listen(8025, "0.0.0.0", () => console.log("listening"));`,
  ]);
  stack.use(app);
  await app.waitFor(/^listening/);
  const { connect } = await import("node:net");
  const heard = await new Promise<string>((resolve, reject) => {
    const socket = connect({ host: net.inside.ipv4, port: 8025 });
    socket.setTimeout(8_000, () => reject(new Error("nothing heard")));
    socket.once("data", (bytes) => {
      resolve(bytes.toString());
      socket.destroy();
    });
    socket.once("error", reject);
  });
  assert.equal(heard, "220 app\r\n");
});

test("where nobody listens the client is refused in the end, not left waiting", async () => {
  const { stdout } = await net.run(process.execPath, [
    "-e",
    `const socket = require("node:net").connect(1, "${net.outside.ipv4[0]}");
     socket.on("error", () => {});
     socket.on("close", () => { console.log("closed"); process.exit(0); });
     socket.resume();`,
  ]);
  assert.equal(stdout.trim(), "closed");
});
