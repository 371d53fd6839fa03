/** HTTP/2 on either side: what both proxies make of the requests that the HTTP/1 comparison sends, and of broken ones. */
import { after, before, describe } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import type { Fields } from "@weft/protocols/http2/testing/frames";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { sendRaw } from "@weft/testkit/raw-http";
import { sharedBootstrap } from "./bootstrap.ts";
import { maskAnswer, maskBody, maskFields, summary } from "./compare.ts";
import { brokenRequests } from "./http2-broken.ts";
import { callHttp2 } from "./http2-call.ts";
import { http2Differences } from "./http2-differences.ts";
import { alike, apart, type Pair, startPair } from "./pair.ts";
import { type SharedRequest, sharedRequests } from "./requests.ts";
import { type Http2Upstream, startHttp2Upstream } from "./upstreams.ts";

const echoes: EchoServer[] = [];
const upstreams: Http2Upstream[] = [];
const pairs: Pair[] = [];

const pairTo = (two: readonly [number, number], closed: number, upstreamHttp2: boolean): Promise<Pair> =>
  startPair(["http", "tcp"], ({ listener, admin }) =>
    sharedBootstrap({
      http: listener("http"),
      tcp: listener("tcp"),
      admin,
      upstreams: two,
      closed,
      upstreamHttp2,
    }),
  );

before(async () => {
  echoes.push(await startEchoServer("one"), await startEchoServer("two"));
  upstreams.push(await startHttp2Upstream("one"), await startHttp2Upstream("two"));
  const closed = await findFreePort("127.0.0.1", 0);
  for (const servers of [echoes, upstreams]) {
    const [one = 0, two = 0] = servers.map(({ port }) => port);
    pairs.push(await pairTo([one, two], closed, servers === upstreams));
  }
});

after(async () => {
  for (const each of [...pairs, ...upstreams, ...echoes]) await each[Symbol.asyncDispose]();
});

const toHttp1 = (): Pair => pairs[0] as Pair;
const toHttp2 = (): Pair => pairs[1] as Pair;

/** Requests that have no like in HTTP/2: other bytes than HTTP, or headers of the connection. */
const inHttp2 = ({ bytes, ignoreBody, tcp }: SharedRequest): boolean =>
  !ignoreBody && !tcp && !/^(connection|transfer-encoding):/im.test(bytes) && !/^GET http:/.test(bytes);

/** The fields that say in HTTP/2 what the bytes say in HTTP/1. */
const fieldsOf = (bytes: string): { fields: Fields; body: string | undefined } => {
  const [head = "", body = ""] = bytes.split("\r\n\r\n");
  const [line = "", ...headers] = head.split("\r\n");
  const [method = "", path = ""] = line.split(" ");
  const pairsOf = headers.map((header) => {
    const colon = header.indexOf(":");
    return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()] as const;
  });
  const host = pairsOf.find(([name]) => name === "host")?.[1] ?? "";
  return {
    fields: [
      [":method", method],
      [":scheme", "http"],
      [":authority", host],
      [":path", path],
      ...pairsOf.filter(([name]) => name !== "host"),
    ],
    body: body === "" ? undefined : body,
  };
};

for (const request of sharedRequests.filter(inHttp2)) {
  const { fields, body } = fieldsOf(request.bytes);
  const call = { fields, ...(body === undefined ? {} : { body }) };
  const name = `HTTP/2 to HTTP/1: ${request.name}`;
  if (request.name === "a chunked answer")
    apart(name, toHttp1, async (proxy) => summary(await callHttp2(proxy.port("http"), call)), {
      envoy: "200",
      weft: "200 with trailers",
      because: "ours hands trailers on from HTTP/1, Envoy only where it is told to",
    });
  else alike(name, toHttp1, async (proxy) => maskAnswer(await callHttp2(proxy.port("http"), call)));
  alike(`HTTP/2 to HTTP/2: ${request.name}`, toHttp2, async (proxy) =>
    maskAnswer(await callHttp2(proxy.port("http"), call)),
  );
}

for (const request of sharedRequests.filter(({ ignoreBody, tcp }) => !ignoreBody && !tcp)) {
  alike(`HTTP/1 to HTTP/2: ${request.name}`, toHttp2, async (proxy) => {
    const answer = await sendRaw(`127.0.0.1:${proxy.port("http")}`, request.bytes, { graceMs: 30, timeoutMs: 800 });
    const { status, headers, body, closed } = answer;
    return { status, headers: maskFields(headers.map((pair) => pair.join(": "))), body: maskBody(body), closed };
  });
}

describe("broken requests of HTTP/2", { concurrency: 16 }, () => {
  for (const { name, ...rest } of brokenRequests) {
    const call = { fields: [], ...rest };
    const difference = http2Differences.get(name);
    const said = `HTTP/2, ${name}`;
    if (difference === undefined) {
      alike(said, toHttp1, async (proxy) => maskAnswer(await callHttp2(proxy.port("http"), call)));
    } else apart(said, toHttp1, async (proxy) => summary(await callHttp2(proxy.port("http"), call)), difference);
  }
});
