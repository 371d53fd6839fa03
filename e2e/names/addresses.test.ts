/** Hosts with several addresses, of which some do not answer, in both proxies by the same bootstrap. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { answering, type FakeDns, startFakeDns } from "@weft/proxy/dns/testing/fake-dns";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Deed, type Pair, type Peer, startPair } from "../same-bootstrap/pair.ts";
import { connectionManager, listener, logTo, router, routes, tcp, type } from "../same-bootstrap/parts.ts";

let pair: Pair;
let dns: FakeDns;
let hole: ChildProcess;
const apps: Server[] = [];
const sockets: Socket[] = [];

const startApp = async (address: string, says: string): Promise<number> => {
  const app = createServer((_, response) => response.end(says));
  apps.push(app);
  await new Promise<void>((resolve) => app.listen(0, address, resolve));
  return (app.address() as { port: number }).port;
};
const refusing = async (): Promise<number> => {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
};

/** A process that is stopped with a full queue: connections to it are neither made nor refused. */
const startHole = async (): Promise<number> => {
  const program = `const s = require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 },
    () => console.log(s.address().port));`;
  hole = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  assert.ok(hole.stdout);
  const [line] = (await once(hole.stdout, "data")) as [Buffer];
  const port = Number(String(line));
  hole.kill("SIGSTOP");
  for (let i = 0; i < 6; i++) {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => undefined);
    sockets.push(socket);
  }
  await eventually("its queue is full", () => (sockets.some(({ connecting }) => !connecting) ? true : undefined));
  return port;
};

const at = (address: string, portValue: number) => ({ socketAddress: { address, portValue } });
const cluster = (name: string, ...ports: readonly number[]): object => {
  const [first, ...more] = ports.map((port) => at("127.0.0.1", port));
  const endpoint = { address: first, additionalAddresses: more.map((address) => ({ address })) };
  const loadAssignment = { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint }] }] };
  return { name, type: "STATIC", connectTimeout: "2s", loadAssignment };
};

before(async () => {
  const [one, two, three] = [await startApp("127.0.0.1", "one"), await startApp("127.0.0.1", "two"), await startHole()];
  const [refused, also] = [await refusing(), await refusing()];
  const six = await startApp("::1", "six").catch(() => undefined);
  const named = await startApp("127.0.0.3", "named");
  const addresses = { "two.test": ["127.0.0.2", "127.0.0.3"], "none.test": ["127.0.0.2", "127.0.0.4"] };
  dns = await startFakeDns(answering(addresses, 60));
  const typedDnsResolverConfig = {
    name: "envoy.network.dns_resolver.cares",
    typedConfig: {
      "@type": type("extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"),
      resolvers: [tcp(dns.port)],
      dnsResolverOptions: { noDefaultSearchDomain: true },
    },
  };
  const byName = (name: string, kind: string, host: string): object => ({
    name,
    type: kind,
    connectTimeout: "2s",
    dnsLookupFamily: "V4_ONLY",
    typedDnsResolverConfig,
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ endpoint: { address: at(host, named) } }] }],
    },
  });
  const mixed = {
    ...cluster("mixed", refused, one, two),
    upstreamConnectionOptions: { happyEyeballsConfig: { firstAddressFamilyVersion: "V4", firstAddressFamilyCount: 2 } },
  };
  const sixes = { address: at("127.0.0.1", refused), additionalAddresses: [{ address: at("::1", six ?? one) }] };
  const families = {
    name: "families",
    type: "STATIC",
    connectTimeout: "2s",
    loadAssignment: { clusterName: "families", endpoints: [{ lbEndpoints: [{ endpoint: sixes }] }] },
  };
  pair = await startPair(["in"], ({ listener: port, admin, log }) => ({
    node: { id: "addresses", cluster: "addresses" },
    admin: { address: tcp(admin) },
    staticResources: {
      clusters: [
        cluster("first", one, two),
        cluster("refused", refused, one),
        cluster("twice", refused, also, two),
        cluster("hole", three, two),
        cluster("hole-twice", three, three, one),
        cluster("none", refused, also),
        { ...cluster("late", three, three), connectTimeout: "0.5s" },
        mixed,
        families,
        byName("logical", "LOGICAL_DNS", "two.test"),
        byName("logical-none", "LOGICAL_DNS", "none.test"),
      ],
      listeners: [
        listener(
          "in",
          port("in"),
          connectionManager({
            accessLog: logTo(log),
            httpFilters: [router],
            routeConfig: routes([{ match: { prefix: "/" }, route: { clusterHeader: "x-cluster", timeout: "10s" } }]),
          }),
        ),
      ],
    },
  }));
});
after(async () => {
  await pair?.[Symbol.asyncDispose]();
  hole?.kill("SIGKILL");
  for (const socket of sockets) socket.destroy();
  for (const app of apps) {
    app.closeAllConnections();
    app.close();
  }
  await dns?.[Symbol.asyncDispose]();
});

const ask = async (peer: Peer, name: string): Promise<string> => {
  const { status, body } = await callHttp(`127.0.0.1:${peer.port("in")}`, {
    path: `/${name}`,
    headers: { "x-cluster": name },
  });
  const line = await eventually("a line", () => peer.log().find((each) => each.includes(`/${name}`)));
  return `${status} ${status === 200 ? body : line.split("|")[2]?.split(" ")[0]}`;
};
const both = (name: string, deed: Deed, expected: unknown): void => {
  for (const side of ["envoy", "weft"] as const)
    test(`${side}: ${name}`, async () => assert.deepEqual(await deed(pair[side]), expected));
};

for (const [name, expected, what] of [
  ["first", "200 one", "the first address answers"],
  ["refused", "200 one", "the first refuses"],
  ["twice", "200 two", "two refuse"],
  ["hole", "200 two", "the first says nothing"],
  ["hole-twice", "200 one", "two say nothing"],
  ["none", "503 UF", "all refuse"],
  ["late", "503 UF", "none says anything before the time to connect is over"],
  ["mixed", "200 one", "two of the first family before another"],
  ["logical", "200 named", "the first address of a name refuses"],
  ["logical-none", "503 UF", "all addresses of a name refuse"],
] as const)
  both(what, (peer) => ask(peer, name), expected);

both(
  "another family, where this machine has it",
  async (peer) => {
    const answer = await ask(peer, "families");
    return answer === "200 six" || answer === "503 UF";
  },
  true,
);

test("both take the same way to another family", async () =>
  assert.equal(await ask(pair.weft, "families"), await ask(pair.envoy, "families")));
