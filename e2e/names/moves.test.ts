/** Connections to a host whose name moves to another address, in both proxies by the same bootstrap. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import { after, before, test } from "node:test";
import { answering, type FakeDns, startFakeDns } from "@weft/proxy/dns/testing/fake-dns";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Pair, type Peer, startPair } from "../same-bootstrap/pair.ts";
import { connectionManager, listener, router, routes, tcp, type } from "../same-bootstrap/parts.ts";

/** An application at one address. */
interface App {
  readonly server: Server;
  readonly open: Map<string, Set<Socket>>;
}

const kinds = ["strict", "logical", "typed-logical", "dynamic"] as const;
type Kind = (typeof kinds)[number];

let pair: Pair;
let dns: FakeDns;
let port = 0;
const apps = new Map<string, App>();
const held: (() => void)[] = [];

/** Says where it is; which connections are whose is told by the request's `x-who`. */
const startApp = async (address: string): Promise<void> => {
  const open = new Map<string, Set<Socket>>();
  const server = createServer((request, response) => {
    const who = String(request.headers["x-who"]);
    const sockets = open.get(who) ?? new Set<Socket>();
    open.set(who, sockets);
    if (!sockets.has(request.socket)) request.socket.on("close", () => sockets.delete(request.socket));
    sockets.add(request.socket);
    if (request.url === "/hold") held.push(() => response.end(address));
    else response.end(address);
  });
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  port = (server.address() as { port: number }).port;
  apps.set(address, { server, open });
};

const names = (address: string): Record<string, string[]> =>
  Object.fromEntries(kinds.map((kind) => [`${kind}.test`, [address]]));

before(async () => {
  await startApp("127.0.0.1");
  await startApp("127.0.0.2");
  dns = await startFakeDns(answering(names("127.0.0.1"), 1));
  const typedDnsResolverConfig = {
    name: "envoy.network.dns_resolver.cares",
    typedConfig: {
      "@type": type("extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"),
      resolvers: [tcp(dns.port)],
      dnsResolverOptions: { noDefaultSearchDomain: true },
    },
  };
  const refresh = { typedDnsResolverConfig, dnsLookupFamily: "V4_ONLY", dnsRefreshRate: "1s" };
  const cache = { name: "cache", ...refresh, dnsMinRefreshRate: "1s" };
  const named = (name: string, rest: object): object => ({
    name,
    connectTimeout: "1s",
    loadAssignment: {
      clusterName: name,
      endpoints: [
        {
          lbEndpoints: [{ endpoint: { address: { socketAddress: { address: `${name}.test`, portValue: port } } } }],
        },
      ],
    },
    ...rest,
  });
  const dynamic = {
    "@type": type("extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"),
    dnsCacheConfig: cache,
  };
  const typed = {
    "@type": type("extensions.clusters.dns.v3.DnsCluster"),
    ...refresh,
    allAddressesInSingleEndpoint: true,
  };
  pair = await startPair(["in"], ({ listener: portOf, admin }) => ({
    node: { id: "moves", cluster: "moves" },
    admin: { address: tcp(admin) },
    staticResources: {
      clusters: [
        named("strict", { type: "STRICT_DNS", ...refresh }),
        named("logical", { type: "LOGICAL_DNS", ...refresh }),
        named("typed-logical", { clusterType: { name: "envoy.clusters.dns", typedConfig: typed } }),
        {
          name: "dynamic",
          connectTimeout: "1s",
          lbPolicy: "CLUSTER_PROVIDED",
          clusterType: { name: "envoy.clusters.dynamic_forward_proxy", typedConfig: dynamic },
        },
      ],
      listeners: [
        listener(
          "in",
          portOf("in"),
          connectionManager({
            httpFilters: [
              {
                name: "envoy.filters.http.dynamic_forward_proxy",
                typedConfig: {
                  "@type": type("extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig"),
                  dnsCacheConfig: cache,
                },
              },
              router,
            ],
            routeConfig: routes([{ match: { prefix: "/" }, route: { clusterHeader: "x-cluster" } }]),
          }),
        ),
      ],
    },
  }));
});
after(async () => {
  await pair?.[Symbol.asyncDispose]();
  for (const { server } of apps.values()) {
    server.closeAllConnections();
    server.close();
  }
  await dns?.[Symbol.asyncDispose]();
});

const ask = async (peer: Peer, kind: Kind, path = "/"): Promise<string> => {
  const who = `${peer.name} ${kind}`;
  const headers = { host: `${kind}.test:${port}`, "x-cluster": kind, "x-who": who };
  const { status, body } = await callHttp(`127.0.0.1:${peer.port("in")}`, { path, headers });
  return `${status} ${body}`;
};
const openAt = (address: string, peer: Peer, kind: Kind): number =>
  apps.get(address)?.open.get(`${peer.name} ${kind}`)?.size ?? 0;

const addressesChanged = async (peer: Peer): Promise<number> => {
  const text = await (await fetch(`http://127.0.0.1:${peer.admin}/stats?filter=host_address_changed`)).text();
  return Number(text.split(": ")[1]);
};
const isAnsweredBy = (peer: Peer, kind: Kind, address: string): Promise<true> =>
  eventually(`${address} answers`, async () => ((await ask(peer, kind)) === `200 ${address}` ? true : undefined));
const hold = async (peer: Peer, kind: Kind): Promise<Promise<string>[]> => {
  const count = held.length + 1;
  const answer = ask(peer, kind, "/hold");
  await eventually("it waits", () => (held.length === count ? true : undefined));
  return [answer];
};
const release = (): void => {
  for (const end of held.splice(0)) end();
};

for (const side of ["envoy", "weft"] as const) {
  for (const kind of ["strict", "logical", "typed-logical"] as const)
    test(`${side}: ${kind}: connections to the former address serve what they carry, and go`, async () => {
      const peer = pair[side];
      dns.answer = answering(names("127.0.0.1"), 1);
      await isAnsweredBy(peer, kind, "127.0.0.1");
      const waiting = await hold(peer, kind);
      assert.equal(await ask(peer, kind), "200 127.0.0.1");
      assert.equal(openAt("127.0.0.1", peer, kind), 2);
      dns.answer = answering(names("127.0.0.2"), 1);
      await isAnsweredBy(peer, kind, "127.0.0.2");
      await eventually("the idle one goes", () => (openAt("127.0.0.1", peer, kind) === 1 ? true : undefined));
      release();
      assert.deepEqual(await Promise.all(waiting), ["200 127.0.0.1"]);
      await eventually("the other goes", () => (openAt("127.0.0.1", peer, kind) === 0 ? true : undefined));
    });

  test(`${side}: dynamic: connections to the former address serve on, and new ones go to the new one`, async () => {
    const peer = pair[side];
    dns.answer = answering(names("127.0.0.1"), 1);
    await isAnsweredBy(peer, "dynamic", "127.0.0.1");
    const before = await addressesChanged(peer);
    dns.answer = answering(names("127.0.0.2"), 1);
    await eventually("it moves", async () => ((await addressesChanged(peer)) > before ? true : undefined));
    assert.deepEqual([await ask(peer, "dynamic"), openAt("127.0.0.1", peer, "dynamic")], ["200 127.0.0.1", 1]);
    const first = await hold(peer, "dynamic");
    assert.equal(await ask(peer, "dynamic"), "200 127.0.0.2");
    release();
    assert.deepEqual(await Promise.all(first), ["200 127.0.0.1"]);
    assert.deepEqual([openAt("127.0.0.1", peer, "dynamic"), openAt("127.0.0.2", peer, "dynamic")], [1, 1]);
  });
}
