/** Clusters that are fetched when a request asks for them, in both proxies by the same bootstrap. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { connect } from "node:net";
import { basename } from "node:path";
import { after, before, test } from "node:test";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Deed, type Peer, startTrio, type Trio } from "../same-bootstrap/pair.ts";
import {
  cluster,
  connectionManager,
  listener,
  logTo,
  router,
  routes,
  speaksHttp2,
  tcp,
  tcpProxy,
  type,
} from "../same-bootstrap/parts.ts";
import { talk } from "../same-bootstrap/talk.ts";
import { type DeltaServer, startDeltaServer } from "./delta-server.ts";

let trio: Trio;
let server: DeltaServer;
let app: Server;
let appPort = 0;

const odcds = { source: { ads: {}, resourceApiVersion: "V3" }, timeout: "3s" };
const onDemandType = type("extensions.filters.http.on_demand.v3.OnDemand");
const perRoute = (rest: object): object => ({
  typedPerFilterConfig: {
    "envoy.filters.http.on_demand": { "@type": type("extensions.filters.http.on_demand.v3.PerRouteConfig"), ...rest },
  },
});
const short = perRoute({ odcds: { ...odcds, timeout: "0.3s" } });
const byHeader = { clusterHeader: "x-cluster" };

const text = async (request: IncomingMessage): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
};

before(async () => {
  app = createServer(async (request, response) => response.end(`${request.method} ${await text(request)}`));
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  appPort = (app.address() as { port: number }).port;
  server = await startDeltaServer();
  trio = await startTrio(["in", "tcp", "tcp-short"], ({ listener: port, admin, log }) => ({
    node: { id: basename(log, ".log"), cluster: "on-demand" },
    admin: { address: tcp(admin) },
    dynamicResources: {
      adsConfig: {
        apiType: "DELTA_GRPC",
        transportApiVersion: "V3",
        grpcServices: [{ envoyGrpc: { clusterName: "xds" } }],
      },
      cdsConfig: { ads: {}, resourceApiVersion: "V3" },
    },
    staticResources: {
      clusters: [cluster("xds", [server.port], speaksHttp2), cluster("static", [appPort])],
      listeners: [
        listener(
          "in",
          port("in"),
          connectionManager({
            accessLog: logTo(log),
            httpFilters: [
              { name: "envoy.filters.http.on_demand", typedConfig: { "@type": onDemandType, odcds } },
              router,
            ],
            routeConfig: routes([
              { match: { prefix: "/fixed" }, route: { cluster: "fixed" } },
              { match: { prefix: "/gone" }, route: { cluster: "nobody", clusterNotFoundResponseCode: "NOT_FOUND" } },
              {
                match: { prefix: "/weighted" },
                route: {
                  weightedClusters: {
                    clusters: [
                      { name: "half", weight: 50 },
                      { name: "other-half", weight: 50 },
                    ],
                  },
                },
              },
              { match: { prefix: "/short" }, route: byHeader, ...short },
              { match: { prefix: "/off" }, route: byHeader, ...perRoute({}) },
              { match: { prefix: "/" }, route: byHeader },
            ]),
          }),
        ),
        ...["tcp", "tcp-short"].map((name) =>
          listener(
            name,
            port(name),
            tcpProxy({
              cluster: name,
              accessLog: logTo(log),
              onDemand: { odcdsConfig: odcds.source, timeout: name === "tcp" ? "3s" : "0.3s" },
            }),
          ),
        ),
      ],
    },
  }));
});
after(async () => {
  await trio?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  app?.closeAllConnections();
  app?.close();
});

/** What the client got, and what the proxy wrote of it: flags, details, cluster. */
const ask = async (peer: Peer, path: string, name: string, body?: string): Promise<object> => {
  const id = `${path}?${Math.random()}`;
  const { status, body: answer } = await callHttp(`127.0.0.1:${peer.port("in")}`, {
    ...{ method: body === undefined ? "GET" : "POST", path: id, headers: name === "" ? {} : { "x-cluster": name } },
    ...(body === undefined ? {} : { body }),
  });
  return { status, answer, ...(await logged(peer, id)) };
};
const logged = (peer: Peer, id: string): Promise<object> =>
  eventually(`${peer.name} logs ${id}`, () => {
    const line = peer.log().find((each) => each.includes(id));
    if (line === undefined) return undefined;
    const [, , what = "", bytes = ""] = line.split("|");
    return { what, cluster: bytes.split(" ")[2] };
  });
/** The cluster is there for the deed with each of the proxies anew. */
const put = (name: string): void => server.put("cluster", name, cluster(name, [appPort]));
const names = (peer: Peer): ReadonlySet<string> => server.streams(peer.name).at(-1)?.names ?? new Set();
const asked = (peer: Peer, name: string): Promise<true> =>
  eventually(`${peer.name} asks for ${name}`, () => (names(peer).has(name) ? true : undefined));
const notFound = { status: 503, answer: "", what: "NC NoClusterFound cluster_not_found -", cluster: "-" };
/** All do that, the same. */
const both = (name: string, deed: Deed, expected: unknown): void => {
  for (const side of ["envoy", "weft", "threads"] as const)
    test(`${side}: ${name}`, async () => assert.deepEqual(await deed(trio[side]), expected));
};
const countOf = async (peer: Peer, name: string): Promise<number> => {
  const lines = await (await fetch(`http://127.0.0.1:${peer.admin}/stats?filter=${name}`)).text();
  return Number(lines.split(": ")[1]);
};
const answerOf = (seen: object): { readonly status: number; readonly answer: string } => seen as never;

both(
  "a cluster that the server has",
  async (peer) => {
    put("app");
    return ask(peer, "/", "app");
  },
  { status: 200, answer: "GET ", what: "- - via_upstream -", cluster: "app" },
);
both("the same again, with a body", (peer) => ask(peer, "/", "app", "hello"), {
  status: 200,
  answer: "POST hello",
  what: "- - via_upstream -",
  cluster: "app",
});
both("a static cluster", (peer) => ask(peer, "/", "static"), {
  status: 200,
  answer: "GET ",
  what: "- - via_upstream -",
  cluster: "static",
});
both(
  "a route that names its cluster",
  async (peer) => {
    put("fixed");
    return ask(peer, "/fixed", "");
  },
  { status: 200, answer: "GET ", what: "- - via_upstream -", cluster: "fixed" },
);
both("a cluster that the server has not", (peer) => ask(peer, "/", "nobody"), notFound);
both("a cluster that the server has not, and what the route says to that", (peer) => ask(peer, "/gone", ""), {
  ...notFound,
  status: 404,
});
both("no name at all", (peer) => ask(peer, "/", ""), notFound);
both(
  "a route that asks for nothing",
  async (peer) => {
    server.put("cluster", "unasked", cluster("unasked", [appPort]));
    return ask(peer, "/off", "unasked");
  },
  notFound,
);
both(
  "a server that says nothing",
  async (peer) => {
    server.hush("silent");
    return ask(peer, "/short", "silent");
  },
  notFound,
);
both(
  "a cluster that comes too late is there for the next request",
  async (peer) => {
    const name = `late-${peer.name}`;
    server.hush(name);
    const { status } = answerOf(await ask(peer, "/short", name));
    put(name);
    const second = answerOf(await ask(peer, "/", name));
    return [status, second.status, second.answer];
  },
  [503, 200, "GET "],
);
both(
  "a cluster that comes while requests wait, with their bodies",
  async (peer) => {
    const name = `slow-${peer.name}`;
    server.hush(name);
    const waiting = ["one", "two"].map((body) => ask(peer, "/", name, body));
    await asked(peer, name);
    put(name);
    return (await Promise.all(waiting)).map((seen) => [answerOf(seen).status, answerOf(seen).answer]);
  },
  [
    [200, "POST one"],
    [200, "POST two"],
  ],
);
both(
  "a cluster whose endpoints come by themselves",
  async (peer) => {
    const name = `eds-${peer.name}`;
    const eds = { type: "EDS", edsClusterConfig: { edsConfig: { ads: {}, resourceApiVersion: "V3" } } };
    server.hush(`${name}`);
    const waiting = ask(peer, "/", name);
    await asked(peer, name);
    server.put("endpoints", name, (cluster(name, [appPort]) as { loadAssignment: object }).loadAssignment);
    server.put("cluster", name, { name, connectTimeout: "1s", ...eds });
    const { status, answer } = answerOf(await waiting);
    return [status, answer];
  },
  [200, "GET "],
);
both(
  "each half of a route by weight is fetched when it is drawn",
  async (peer) => {
    put("half");
    put("other-half");
    const seen = new Set<string>();
    const statuses = new Set<number>();
    while (seen.size < 2) {
      const one = (await ask(peer, "/weighted", "")) as { status: number; cluster: string };
      seen.add(one.cluster);
      statuses.add(one.status);
    }
    return [[...seen].sort(), [...statuses]];
  },
  [["half", "other-half"], [200]],
);
both(
  "a cluster that is refused",
  async (peer) => {
    const name = `bad-${peer.name}`;
    server.put("cluster", name, { name, type: "STATIC", connectTimeout: "0s" });
    const { status } = answerOf(await ask(peer, "/short", name));
    await eventually("it is refused", () =>
      server.streams(peer.name).some(({ requests }) => requests.some(({ errorDetail }) => errorDetail))
        ? true
        : undefined,
    );
    server.remove("cluster", name);
    return status;
  },
  503,
);
both(
  "a cluster that is taken away and comes back",
  async (peer) => {
    const name = `away-${peer.name}`;
    put(name);
    const before = answerOf(await ask(peer, "/", name)).status;
    server.remove("cluster", name);
    await eventually("it is gone", async () =>
      answerOf(await ask(peer, "/", name)).status === 503 ? true : undefined,
    );
    put(name);
    return [before, answerOf(await ask(peer, "/", name)).status];
  },
  [200, 200],
);
both(
  "a client that leaves while its request waits",
  async (peer) => {
    const name = `left-${peer.name}`;
    server.hush(name);
    const socket = connect({ port: peer.port("in"), host: "127.0.0.1" });
    socket.write(`GET /left HTTP/1.1\r\nhost: a\r\nx-cluster: ${name}\r\n\r\n`);
    await asked(peer, name);
    socket.destroy();
    const line = await logged(peer, "/left");
    put(name);
    return [line, answerOf(await ask(peer, "/", name)).status];
  },
  [{ what: "DC DownstreamConnectionTermination downstream_remote_disconnect -", cluster: "-" }, 200],
);
both(
  "a stream that ends: what was learned serves on, and is asked for again by name",
  async (peer) => {
    put("app");
    const before = answerOf(await ask(peer, "/", "app")).status;
    const streams = server.streams(peer.name).length;
    server.hangUp();
    const during = answerOf(await ask(peer, "/", "app")).status;
    await eventually("the next stream", () => (server.streams(peer.name).length > streams ? true : undefined));
    await asked(peer, "app");
    const first = server
      .streams(peer.name)
      .at(-1)
      ?.requests.find(({ typeUrl }) => typeUrl.endsWith(".Cluster"));
    const again = [first?.subscribe.includes("*"), first?.subscribe.includes("app"), first?.initialVersions.has("app")];
    return [before, during, again];
  },
  [200, 200, [true, true, true]],
);
both(
  "a request that waits while there is no stream is answered by the next one",
  async (peer) => {
    const name = `between-${peer.name}`;
    server.hush(name);
    const waiting = ask(peer, "/", name);
    await asked(peer, name);
    server.hangUp();
    put(name);
    return answerOf(await waiting).status;
  },
  200,
);

both(
  "a connection whose cluster is not there, and one whose cluster comes while it waits",
  async (peer) => {
    server.remove("cluster", "tcp");
    const none = await talk(peer.port("tcp"), [{ until: /./ }], { silenceMs: 1000, lingerMs: 3000 });
    server.hush("tcp");
    const waiting = callHttp(`127.0.0.1:${peer.port("tcp")}`, { path: "/by-tcp" });
    await eventually("it waits", async () =>
      (await countOf(peer, "tcp.tcp.on_demand_cluster_attempt")) === 2 ? true : undefined,
    );
    put("tcp");
    const answer = await waiting;
    server.remove("cluster", "tcp");
    return [none.received, none.ended === "open", answer.status];
  },
  ["", false, 200],
);
both(
  "a connection whose cluster does not come in time",
  async (peer) => {
    server.hush("tcp-short");
    const { received, ended } = await talk(peer.port("tcp-short"), [{ until: /./ }], {
      silenceMs: 1000,
      lingerMs: 3000,
    });
    const flags = await eventually("a line", () => peer.log().find((line) => line.includes("|NC ")));
    return [
      received,
      ended === "open",
      flags.split("|")[2]?.split(" ")[0],
      await countOf(peer, "tcp.tcp.on_demand_cluster_timeout"),
    ];
  },
  ["", false, "NC", 1],
);

test("what was learned stands in /config_dump", async () => {
  const dump = async (peer: Peer): Promise<string> =>
    (await fetch(`http://127.0.0.1:${peer.admin}/config_dump?resource=dynamic_active_clusters`)).text();
  for (const peer of [trio.envoy, trio.weft, trio.threads]) assert.match(await dump(peer), /"name": ?"app"/);
});
