/** Clusters of names, hosts that requests name, and tunnels, in both proxies by the same bootstrap. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { answering, type FakeDns, startFakeDns } from "@weft/proxy/dns/testing/fake-dns";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Pair, type Peer, startPair } from "../same-bootstrap/pair.ts";
import { connectionManager, listener, logTo, router, routes, tcp, tcpProxy, type } from "../same-bootstrap/parts.ts";

const before1 = { "two.test": ["127.0.0.1", "127.0.0.2"], "moves.test": ["127.0.0.1"], "app.test": ["127.0.0.1"] };
const later = { ...before1, "moves.test": ["127.0.0.3", "127.0.0.4"] };

let pair: Pair;
let dns: FakeDns;
const apps: Server[] = [];
const sockets = new Set<Socket>();
const connects: { readonly url: string; readonly host: string; readonly extra: string }[] = [];

const listen = async (server: Server): Promise<number> => {
  apps.push(server);
  server.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as { port: number }).port;
};

const resolverOf = (port: number) => ({
  name: "envoy.network.dns_resolver.cares",
  typedConfig: {
    "@type": type("extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"),
    resolvers: [tcp(port)],
    dnsResolverOptions: { noDefaultSearchDomain: true },
  },
});
const named = (name: string, host: string, port: number, rest: object): object => ({
  name,
  connectTimeout: "1s",
  loadAssignment: {
    clusterName: name,
    endpoints: [
      {
        locality: { zone: "z" },
        lbEndpoints: [
          { endpoint: { address: { socketAddress: { address: host, portValue: port } } }, loadBalancingWeight: 7 },
        ],
      },
    ],
  },
  ...rest,
});
const typedCluster = (rest: object): object => ({
  clusterType: {
    name: "envoy.clusters.dns",
    typedConfig: { "@type": type("extensions.clusters.dns.v3.DnsCluster"), ...rest },
  },
});

let appPort = 0;
before(async () => {
  dns = await startFakeDns(answering(before1, 1));
  appPort = await listen(createServer((request, response) => response.end(`host ${request.headers.host}`)));
  const proxy = createServer();
  proxy.on("connect", (request, socket: Socket) => {
    connects.push({
      url: request.url ?? "",
      host: request.headers.host ?? "",
      extra: String(request.headers["x-extra"]),
    });
    socket.on("error", () => {});
    socket.write("HTTP/1.1 200 Connected\r\n\r\n");
    socket.on("data", (bytes: Buffer) => socket.write(`<${bytes}>`));
  });
  const proxyPort = await listen(proxy);
  const typedDnsResolverConfig = resolverOf(dns.port);
  const asked = { typedDnsResolverConfig, dnsLookupFamily: "V4_ONLY", respectDnsTtl: true };
  const cache = { name: "cache", dnsLookupFamily: "V4_ONLY", typedDnsResolverConfig };
  pair = await startPair(["dynamic", "tunnel"], ({ listener: port, admin, log }) => ({
    node: { id: "names", cluster: "names" },
    admin: { address: tcp(admin) },
    staticResources: {
      clusters: [
        named("strict", "two.test", 80, { type: "STRICT_DNS", ...asked }),
        named("logical", "two.test", 80, { type: "LOGICAL_DNS", ...asked }),
        named("typed-strict", "moves.test", 81, typedCluster(asked)),
        named("typed-logical", "two.test", 82, typedCluster({ ...asked, allAddressesInSingleEndpoint: true })),
        named("unknown", "none.test", 83, { type: "STRICT_DNS", ...asked }),
        {
          name: "dynamic",
          connectTimeout: "1s",
          lbPolicy: "CLUSTER_PROVIDED",
          clusterType: {
            name: "envoy.clusters.dynamic_forward_proxy",
            typedConfig: {
              "@type": type("extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"),
              dnsCacheConfig: cache,
            },
          },
        },
        named("proxy", "127.0.0.1", proxyPort, { type: "STATIC" }),
      ],
      listeners: [
        listener(
          "dynamic",
          port("dynamic"),
          connectionManager({
            accessLog: logTo(log),
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
            routeConfig: routes([
              {
                match: { prefix: "/rewritten" },
                route: { cluster: "dynamic" },
                typedPerFilterConfig: {
                  "envoy.filters.http.dynamic_forward_proxy": {
                    "@type": type("extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig"),
                    hostRewriteLiteral: `app.test:${appPort}`,
                  },
                },
              },
              { match: { prefix: "/" }, route: { cluster: "dynamic" } },
            ]),
          }),
        ),
        listener(
          "tunnel",
          port("tunnel"),
          tcpProxy({
            cluster: "proxy",
            tunnelingConfig: {
              hostname: "target.test:%DOWNSTREAM_LOCAL_PORT%",
              headersToAdd: [{ header: { key: "x-extra", value: "%PROTOCOL%yes" } }],
            },
          }),
        ),
      ],
    },
  }));
});
after(async () => {
  await (pair as Pair | undefined)?.[Symbol.asyncDispose]();
  for (const socket of sockets) socket.destroy();
  for (const app of apps) app.close();
  await dns[Symbol.asyncDispose]();
});

/** Addresses, names, weights and places of a cluster's hosts, as the admin interface tells. */
const hostsOf = async (peer: Peer, cluster: string): Promise<readonly string[]> => {
  const answer = await fetch(`http://127.0.0.1:${peer.admin}/clusters?format=json`);
  const { cluster_statuses: all } = (await answer.json()) as {
    cluster_statuses: {
      name: string;
      host_statuses?: {
        address: { socket_address: { address: string; port_value: number } };
        hostname?: string;
        weight?: number;
        locality?: { zone?: string };
      }[];
    }[];
  };
  const hosts = all.find(({ name }) => name === cluster)?.host_statuses ?? [];
  return hosts
    .map(({ address: { socket_address: at }, hostname, weight, locality }) =>
      [at.address, at.port_value, hostname, weight, locality?.zone].join(" "),
    )
    .sort();
};

const settles = (cluster: string, wanted: RegExp) =>
  Promise.all(
    [pair.envoy, pair.weft].map((peer) =>
      eventually(`${peer.name} has the hosts of ${cluster}`, async () => {
        const hosts = await hostsOf(peer, cluster);
        return wanted.test(hosts.join("\n")) ? hosts : undefined;
      }),
    ),
  );

for (const [cluster, wanted] of [
  ["strict", /127\.0\.0\.1 80 [^\n]*\n127\.0\.0\.2 80 /],
  ["logical", /^127\.0\.0\.1 80 [^\n]*$/],
  ["typed-logical", /^127\.0\.0\.1 82 [^\n]*$/],
  ["typed-strict", /^127\.0\.0\.1 81 [^\n]*$/],
] as const) {
  test(`${cluster}: the same hosts of the same names, weights and places`, async () => {
    const [envoy, weft] = await settles(cluster, wanted);
    assert.deepEqual(weft, envoy);
  });
}

test("a name that moves is followed when its time to live is over", async () => {
  dns.answer = answering(later, 1);
  const [envoy, weft] = await settles("typed-strict", /^127\.0\.0\.3 81 [^\n]*\n127\.0\.0\.4 81 [^\n]*$/);
  assert.deepEqual(weft, envoy);
});

test("a name that nobody knows has no hosts", async () => {
  assert.deepEqual([await hostsOf(pair.envoy, "unknown"), await hostsOf(pair.weft, "unknown")], [[], []]);
});

const ask = async (peer: Peer, path: string, host: string) => {
  const { status, body } = await callHttp(`127.0.0.1:${peer.port("dynamic")}`, { path, headers: { host } });
  return { status, body };
};
for (const [what, path, host] of [
  ["a name", "/", () => `app.test:${appPort}`],
  ["a name asked for again, in capitals", "/", () => `APP.test:${appPort}`],
  ["an address", "/", () => `127.0.0.1:${appPort}`],
  ["a name that nobody knows", "/", () => "none.test"],
  ["a name that a route gives", "/rewritten", () => "none.test"],
] as const) {
  test(`a request for ${what} goes to the same place`, async () => {
    const lines = new Map([pair.envoy, pair.weft].map((peer) => [peer, peer.log().length]));
    const [envoy, weft] = await Promise.all([pair.envoy, pair.weft].map((peer) => ask(peer, path, host())));
    assert.deepEqual(weft, envoy);
    const logged = (peer: Peer) =>
      eventually("a line", () =>
        peer
          .log()
          [lines.get(peer) ?? 0]?.replace(/^\S+ /, "")
          .replace(/\{[^}]*\}/g, ""),
      );
    assert.equal(await logged(pair.weft), await logged(pair.envoy));
  });
}

test("a tunnel is asked for in the same words, and carries bytes", async () => {
  for (const peer of [pair.envoy, pair.weft]) {
    const socket = connect({ host: "127.0.0.1", port: peer.port("tunnel") });
    await once(socket, "connect");
    socket.write("hello");
    assert.equal(String((await once(socket, "data"))[0]), "<hello>");
    socket.destroy();
  }
  const [envoy, weft] = connects;
  const plain = (asked: (typeof connects)[number] | undefined, peer: Peer) =>
    JSON.parse(JSON.stringify(asked).replaceAll(String(peer.port("tunnel")), "PORT")) as object;
  assert.deepEqual(plain(weft, pair.weft), plain(envoy, pair.envoy));
});
