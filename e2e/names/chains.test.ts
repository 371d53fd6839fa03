/** Which filter chain takes a connection, in both proxies, over generated listeners and clients. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { seededRandom } from "@weft/core/random";
import { type Pair, type Peer, startPair } from "../same-bootstrap/pair.ts";
import { tcp, type } from "../same-bootstrap/parts.ts";

const listenerCount = 12;
const clientCount = 12;
const random = seededRandom(20);
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
const some = <T>(list: readonly T[]): readonly T[] => list.filter(() => random() < 0.4);

const names = ["a.shop.test", "*.shop.test", "*.test", "b.test"];
const protocols = ["h2", "http/1.1", "istio"];
const ranges = [
  { addressPrefix: "127.0.0.0", prefixLen: 8 },
  { addressPrefix: "127.0.1.0", prefixLen: 24 },
  { addressPrefix: "127.0.0.1", prefixLen: 32 },
  { addressPrefix: "127.0.1.2", prefixLen: 32 },
];

interface Match {
  readonly serverNames: readonly string[];
  readonly transportProtocol: string;
  readonly applicationProtocols: readonly string[];
  readonly sourceType: string;
  readonly sourcePrefixRanges: readonly object[];
  readonly directSourcePrefixRanges: readonly object[];
  readonly prefixRanges: readonly object[];
}
const makeMatch = (): Match => ({
  serverNames: random() < 0.6 ? some(names) : [],
  transportProtocol: pick(["", "tls", "raw_buffer"]),
  applicationProtocols: random() < 0.5 ? some(protocols) : [],
  sourceType: pick(["ANY", "SAME_IP_OR_LOOPBACK", "EXTERNAL"]),
  sourcePrefixRanges: random() < 0.4 ? some(ranges) : [],
  directSourcePrefixRanges: random() < 0.3 ? some(ranges) : [],
  prefixRanges: random() < 0.3 ? some(ranges) : [],
});

/** Values of each property, so that two matches overlap where each property has one in common. */
const keysOf = (match: Match): readonly ReadonlySet<string>[] =>
  Object.values(match).map((value: unknown) => {
    const list = Array.isArray(value) ? (value as readonly unknown[]) : [value];
    return new Set(list.length === 0 ? [""] : list.map((each) => JSON.stringify(each)));
  });
const overlap = (a: Match, b: Match): boolean => {
  const others = keysOf(b);
  return keysOf(a).every((keys, index) => [...keys].some((key) => others[index]?.has(key)));
};
const makeListener = (): readonly Match[] => {
  const taken: Match[] = [];
  for (let i = 0; i < 14; i++) {
    const match = makeMatch();
    if (!taken.some((other) => overlap(other, match))) taken.push(match);
  }
  return taken;
};

const listeners = Array.from({ length: listenerCount }, makeListener);
const clients = Array.from({ length: clientCount }, () => ({
  tls: random() < 0.7,
  serverName: pick(["", "a.shop.test", "c.shop.test", "x.y.shop.test", "b.test", "other.org"]),
  alpn: some([...protocols, "other"]),
  from: pick(["127.0.0.1", "127.0.1.2", "127.0.1.9", "127.0.2.2"]),
}));

const says = (name: string): object => ({
  name: "says",
  typedConfig: {
    "@type": type("extensions.filters.network.direct_response.v3.Config"),
    response: { inlineString: name },
  },
});

let pair: Pair;
before(async () => {
  const all = listeners.map((_, index) => `l${index}`);
  pair = await startPair(all, ({ listener: port, admin }) => ({
    node: { id: "chains", cluster: "chains" },
    admin: { address: tcp(admin) },
    staticResources: {
      listeners: listeners.map((matches, index) => ({
        name: `l${index}`,
        address: { socketAddress: { address: "127.0.0.1", portValue: port(`l${index}`) } },
        listenerFilters: [
          {
            name: "envoy.filters.listener.tls_inspector",
            typedConfig: { "@type": type("extensions.filters.listener.tls_inspector.v3.TlsInspector") },
          },
        ],
        listenerFiltersTimeout: "5s",
        filterChains: matches.map((filterChainMatch, chain) => ({
          name: `c${chain}`,
          filterChainMatch,
          filters: [says(`chain ${chain}.`)],
        })),
        defaultFilterChain: { name: "default", filters: [says("chain default.")] },
      })),
    },
  }));
});
after(async () => {
  await (pair as Pair | undefined)?.[Symbol.asyncDispose]();
});

/** A chain's own words come in plain text, to clients that spoke TLS too: nothing here ends TLS. */
const chosen = async (peer: Peer, listener: number, client: (typeof clients)[number]): Promise<string> => {
  const socket = connect({ host: "127.0.0.1", port: peer.port(`l${listener}`), localAddress: client.from });
  let text = "";
  socket.on("error", () => {});
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString("latin1");
  });
  await once(socket, "connect");
  if (client.tls) socket.write(helloOf(client) ?? "");
  else socket.write("GET / HTTP/1.1\r\n\r\n");
  await once(socket, "close");
  return /chain [^.]*/.exec(text)?.[0] ?? "none";
};

const hellos = new Map<object, Buffer>();
const helloOf = (client: object): Buffer | undefined => hellos.get(client);

/** The first bytes a TLS client sends. */
const recordHello = async ({ serverName, alpn }: (typeof clients)[number]): Promise<Buffer> => {
  const { Duplex } = await import("node:stream");
  const sent = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, done) {
      sent.resolve(Buffer.from(bytes));
      done();
    },
  });
  const tls = connectTls({ socket: wire, servername: serverName, ALPNProtocols: [...alpn], rejectUnauthorized: false });
  tls.on("error", () => {});
  const hello = await sent.promise;
  tls.destroy();
  return hello;
};

test(`${listenerCount * clientCount} connections are taken by the same chain in both`, {
  timeout: 120_000,
}, async () => {
  for (const client of clients) if (client.tls) hellos.set(client, await recordHello(client));
  const seen = new Set<string>();
  for (const [index] of listeners.entries()) {
    for (const client of clients) {
      const [envoy, weft] = await Promise.all([chosen(pair.envoy, index, client), chosen(pair.weft, index, client)]);
      assert.equal(weft, envoy, JSON.stringify({ listener: listeners[index], client }));
      seen.add(envoy);
    }
  }
  assert.ok(seen.size > 4, `only ${[...seen].join(", ")}`);
  assert.ok(seen.has("chain default") && !seen.has("none"));
});
