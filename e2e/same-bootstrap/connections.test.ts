/** Which filter chain takes a connection, which handshakes hold, and what TCP proxies carry. */

import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { after, before, describe } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { findFreePort } from "@weft/net/process/free-port";
import { createTestCa } from "@weft/proxy/identity/testing/test-ca";
import { type Certificates, connectionListeners, connectionsBootstrap } from "./connections-bootstrap.ts";
import { alike, apart, type Pair, type Peer, startPair } from "./pair.ts";
import { get, maskTalk, type Step, talk } from "./talk.ts";

const now = Date.now();
const valid = { notBeforeMs: now - 3_600_000, notAfterMs: now + 3_600_000 };
const ca = createTestCa(now);
const identity = (from = ca, when = valid): { key: string; cert: string } => {
  const { keyPem, chain } = from.issue(when);
  return { key: keyPem, cert: chain.join("") };
};
const certificates: Certificates = { ...identity(), root: ca.rootPem };

let pair: Pair;
let upstream: Server;

/** Says back what it heard, and how it ended. */
const serve = (socket: Socket): void => {
  socket.on("error", () => {});
  socket.on("data", (bytes: Buffer) => {
    const text = bytes
      .toString("latin1")
      .replace(/127\.0\.0\.1 127\.0\.0\.1 \d+ \d+/, "(here)")
      .replace(/\x7f\0\0\x01\x7f\0\0\x01[\s\S]{4}/, "(here)");
    if (text.includes("silent")) return;
    if (text.includes("leave")) socket.end("bye");
    else if (text.includes("break")) socket.resetAndDestroy();
    else socket.write(text, "latin1");
  });
  socket.on("end", () => socket.end("over"));
};

before(async () => {
  upstream = createServer({ allowHalfOpen: true }, serve);
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const ports = { tcp: (upstream.address() as AddressInfo).port, closed: await findFreePort("127.0.0.1", 0) };
  pair = await startPair(connectionListeners, (own) => connectionsBootstrap(own, ports, certificates));
});

after(async () => {
  await (pair as Pair | undefined)?.[Symbol.asyncDispose]();
  upstream.close();
});

interface Handshake extends ConnectionOptions {
  readonly from?: string;
  /** Sent ahead of the ClientHello. */
  readonly ahead?: string;
}

const shake = (peer: Peer, listener: string, { from, ahead, ...options }: Handshake): Promise<unknown> =>
  new Promise((resolve) => {
    const raw = connect({
      port: peer.port(listener),
      host: "127.0.0.1",
      ...(from === undefined ? {} : { localAddress: from }),
    });
    raw.on("error", () => {});
    if (ahead !== undefined) raw.write(ahead);
    const socket: TLSSocket = connectTls({ socket: raw, rejectUnauthorized: false, ...options });
    let text = "";
    const finish = (outcome: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const seen = (body: string): unknown => ({
      body,
      alpn: socket.alpnProtocol,
      version: socket.getProtocol(),
      cipher: socket.getProtocol() === "TLSv1.3" ? "any" : socket.getCipher()?.name,
    });
    const timer = setTimeout(() => finish("silent"), 3000);
    socket.on("secureConnect", () => {
      if (socket.alpnProtocol === "h2") setTimeout(() => finish(seen("h2")), 60);
      else socket.write(get("/"));
    });
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      const body = text.split("\r\n\r\n")[1];
      if (body !== undefined && socket.alpnProtocol !== "h2") finish(seen(body));
    });
    socket.on("error", () => finish("refused"));
    socket.on("close", () => finish("refused"));
  });

const proxied = (source: string, target: string, port: number): string =>
  `PROXY TCP4 ${source} ${target} 5000 ${port}\r\n`;

const handshakes: readonly (readonly [name: string, listener: string, options: Handshake])[] = [
  ["an exact name", "chains", { servername: "a.example" }],
  ["an exact name and h2", "chains", { servername: "a.example", ALPNProtocols: ["h2"] }],
  ["an exact name and http/1.1", "chains", { servername: "a.example", ALPNProtocols: ["http/1.1"] }],
  ["an exact name in capitals", "chains", { servername: "A.EXAMPLE" }],
  ["a suffix", "chains", { servername: "b.example" }],
  ["a suffix of two labels", "chains", { servername: "c.b.example" }],
  ["a longer suffix", "chains", { servername: "x.deep.example" }],
  ["the suffix itself", "chains", { servername: "example" }],
  ["the longer suffix itself", "chains", { servername: "deep.example" }],
  ["no name, from a near net", "chains", {}],
  ["another name, from a near net", "chains", { servername: "other.test" }],
  ["no name, from an address", "chains", { from: "127.0.0.2" }],
  ["no name, from the net of it", "chains", { from: "127.0.0.3" }],
  ["no name, from elsewhere", "chains", { from: "127.0.0.99" }],
  ["a name, from an address", "chains", { from: "127.0.0.2", servername: "a.example" }],
  ["no ALPN in common", "chains", { servername: "b.example", ALPNProtocols: ["foo"] }],
  ["ALPN, the server's choice", "chains", { servername: "b.example", ALPNProtocols: ["http/1.1", "h2"] }],
  ["ALPN, the second", "chains", { servername: "b.example", ALPNProtocols: ["foo", "http/1.1"] }],
  ["a port by PROXY, by name", "chains", { ahead: proxied("10.1.1.1", "10.2.2.2", 8443), servername: "a.example" }],
  [
    "a port by PROXY, another name",
    "chains",
    { ahead: proxied("10.1.1.1", "10.2.2.2", 8443), servername: "b.example" },
  ],
  ["an address by PROXY, any name", "chains", { ahead: proxied("127.0.0.2", "10.2.2.2", 443), servername: "z.test" }],
  ["a name no chain has", "named", { servername: "b.example" }],
  ["no name where one is needed", "named", {}],
  ["the name that is needed", "named", { servername: "a.example" }],
  ["no client certificate", "client", {}],
  ["a client certificate", "client", identity()],
  ["a client certificate of another root", "client", identity(createTestCa(now))],
  [
    "a client certificate that is over",
    "client",
    identity(ca, { notBeforeMs: now - 7_200_000, notAfterMs: now - 3_600_000 }),
  ],
  [
    "a client certificate not yet valid",
    "client",
    identity(ca, { notBeforeMs: now + 3_600_000, notAfterMs: now + 7_200_000 }),
  ],
  ["TLS 1.2 without a client certificate", "client", { maxVersion: "TLSv1.2" }],
  ["TLS 1.2 with a client certificate", "client", { maxVersion: "TLSv1.2", ...identity() }],
  ["no client certificate where one may be", "asked", {}],
  ["a client certificate where one may be", "asked", identity()],
  ["a wrong client certificate where one may be", "asked", identity(createTestCa(now))],
  ["TLS 1.2 to 1.3 alone", "new", { maxVersion: "TLSv1.2" }],
  ["TLS 1.3 to 1.3 alone", "new", { minVersion: "TLSv1.3" }],
  ["TLS 1.3 to 1.2 alone", "old", { minVersion: "TLSv1.3" }],
  ["any to 1.2 alone", "old", {}],
  ["TLS 1.2 by default", "asked", { maxVersion: "TLSv1.2" }],
  ["a cipher that is none of Envoy's", "old", { ciphers: "AES128-SHA256", maxVersion: "TLSv1.2" }],
  ["CBC", "old", { ciphers: "ECDHE-ECDSA-AES128-SHA", maxVersion: "TLSv1.2" }],
  ["ChaCha20", "old", { ciphers: "ECDHE-ECDSA-CHACHA20-POLY1305", maxVersion: "TLSv1.2" }],
  ["AES-256", "old", { ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384", maxVersion: "TLSv1.2" }],
];

const hello: readonly Step[] = [{ send: "hello" }, { until: /hello/ }];
const v2 = (hex: string): string => Buffer.from(`0d0a0d0a000d0a515549540a${hex}`, "hex").toString("latin1");
interface Conversation {
  readonly name: string;
  readonly listener: string;
  readonly steps: readonly Step[];
  readonly lingerMs?: number;
}
const says = (name: string, listener: string, steps: readonly Step[], lingerMs = 150): Conversation => ({
  name,
  listener,
  steps,
  lingerMs,
});
const withProxy = (name: string, header: string): readonly Conversation[] =>
  ["accepts", "sends1", "sends2"].map((listener) =>
    says(`PROXY ${name}, ${listener}`, listener, [{ send: `${header}hello` }, { until: /hello/ }], 300),
  );

const conversations: readonly Conversation[] = [
  says("plain text", "chains", [{ send: `PROXY UNKNOWN\r\n${get("/")}` }, { until: /200 OK[\s\S]*plain/ }]),
  says("plain text from a far net", "chains", [
    { send: proxied("10.1.1.1", "10.2.2.2", 80) + get("/") },
    { until: /200/ },
  ]),
  says("plain text to a port", "chains", [
    { send: proxied("10.1.1.1", "10.2.2.2", 8443) + get("/") },
    { until: /200/ },
  ]),
  says("plain text to a net", "chains", [{ send: proxied("10.1.1.1", "10.9.1.1", 80) + get("/") }, { until: /200/ }]),
  says("plain text to a smaller net", "chains", [
    { send: proxied("9.1.1.1", "10.9.8.1", 80) + get("/") },
    { until: /200/ },
  ]),
  says("plain text where TLS is wanted", "client", [{ send: get("/") }, { until: /x/ }]),
  says("weights", "weighted", hello),
  says("half-close", "plain", [...hello, { end: true }, { until: /over/ }]),
  says("the server ends first", "plain", [{ send: "leave" }, { until: /bye/ }, { send: "more" }, { end: true }]),
  says("the server resets", "plain", [{ send: "break" }, { until: /never/ }]),
  says("the client resets", "plain", [...hello, { reset: true }]),
  says("an end before anything", "plain", [{ end: true }, { until: /over/ }]),
  says("idle", "idle", hello, 900),
  says("idle in silence", "idle", [{ send: "silent" }], 900),
  says("lasting", "lasting", hello, 900),
  says("refused", "refused", [{ send: "hello" }, { until: /never/ }]),
  says("no hosts", "empty", [{ send: "hello" }, { until: /never/ }]),
  says("no cluster", "nowhere", [{ send: "hello" }, { until: /never/ }]),
  ...withProxy("version 1", "PROXY TCP4 10.1.1.1 10.2.2.2 5000 80\r\n"),
  ...withProxy("version 1, IPv6", "PROXY TCP6 fd00::1 fd00::2 5000 80\r\n"),
  ...withProxy("version 1, unknown", "PROXY UNKNOWN\r\n"),
  ...withProxy("version 2", v2("2111000c0a0101010a02020213880050")),
  ...withProxy("version 2, local", v2("20000000")),
  ...withProxy("version 2, unspecified", v2("21000000")),
  says("PROXY that is broken", "accepts", [{ send: "PROXY TCP4 10.1.1.1\r\nhello" }, { until: /never/ }]),
  says("PROXY with a port that is none", "accepts", [
    { send: "PROXY TCP4 10.1.1.1 10.2.2.2 5000 99999\r\nhello" },
    { until: /never/ },
  ]),
  says("PROXY version 3", "accepts", [{ send: `${v2("3111000c0a0101010a02020213880050")}hello` }, { until: /never/ }]),
  says("PROXY too short", "accepts", [{ send: `${v2("211100040a010101")}hello` }, { until: /never/ }]),
  says("no PROXY", "accepts", [{ send: "hello there, this is no header at all\r\n" }, { until: /never/ }]),
];

/** Bytes that nobody read make a reset of an end: which it is, depends on what was read by then. */
const unread = new Set([
  "no hosts",
  "refused",
  "no cluster",
  "PROXY that is broken",
  "PROXY with a port that is none",
  "PROXY version 3",
  "PROXY too short",
  "no PROXY",
]);
const unspecified =
  "ours takes a header without addresses as one without, as the specification of the protocol has it; Envoy resets";

describe("connections", { concurrency: 8 }, () => {
  for (const [name, listener, options] of handshakes)
    alike(
      `TLS: ${name}`,
      () => pair,
      (peer) => shake(peer, listener, options),
    );
  for (const { name, listener, steps, lingerMs } of conversations) {
    const deed = async (peer: Peer): Promise<object> => {
      const said = await talk(peer.port(listener), steps, { silenceMs: 700, ...(lingerMs ? { lingerMs } : {}) });
      return maskTalk(unread.has(name) && said.ended === "reset" ? { ...said, ended: "end" } : said);
    };
    if (!name.includes("unspecified")) alike(`TCP: ${name}`, () => pair, deed);
    else
      apart(
        `TCP: ${name}`,
        () => pair,
        async (peer) => (/ended":"(\w+)/.exec(JSON.stringify(await deed(peer))) ?? [])[1],
        {
          envoy: "reset",
          weft: "open",
          because: unspecified,
        },
      );
  }
});
