/** What the admin interface answers, and what its commands do to traffic. */
import { after, before } from "node:test";
import { maskAnswer } from "./compare.ts";
import { callHttp2 } from "./http2-call.ts";
import { alike, apart, type Pair, type Peer, startPair } from "./pair.ts";
import { connectionManager, listener, prefix, routes, tcp } from "./parts.ts";
import { get, maskTalk, talk } from "./talk.ts";

let pair: Pair;

const says = connectionManager({
  routeConfig: routes([prefix("/", { directResponse: { status: 200, body: { inlineString: "here" } } })]),
});

before(async () => {
  pair = await startPair(["in", "other", "stays"], ({ listener: port, admin }) => ({
    node: { id: "same", cluster: "same" },
    admin: { address: tcp(admin) },
    staticResources: {
      listeners: [
        listener("in", port("in"), says, { trafficDirection: "INBOUND" }),
        listener("other", port("other"), says, { trafficDirection: "OUTBOUND" }),
        listener("stays", port("stays"), says, { drainType: "MODIFY_ONLY" }),
      ],
    },
  }));
});
after(async () => {
  await (pair as Pair | undefined)?.[Symbol.asyncDispose]();
});

const ask = async (peer: Peer, path: string, method = "GET"): Promise<object> => {
  const answer = await fetch(`http://127.0.0.1:${peer.admin}${path}`, { method });
  return { status: answer.status, body: (await answer.text()).trim() };
};
const status = async (peer: Peer, path: string, method = "GET"): Promise<number> =>
  (await fetch(`http://127.0.0.1:${peer.admin}${path}`, { method })).status;
const traffic = async (peer: Peer, name: string) =>
  maskTalk(await talk(peer.port(name), [{ send: get("/") }, { until: /here|x{9}/ }], { silenceMs: 500 }));
const traffic2 = async (peer: Peer): Promise<object> => {
  const fields = [
    [":method", "GET"],
    [":scheme", "http"],
    [":authority", "a.example"],
    [":path", "/"],
  ] as const;
  return maskAnswer(await callHttp2(peer.port("in"), { fields, timeoutMs: 800 }));
};

// One after the other: each leaves the proxies in the state that the next one begins with.
alike(
  "ready",
  () => pair,
  (peer) => ask(peer, "/ready"),
);
alike(
  "a path that is none",
  () => pair,
  (peer) => status(peer, "/nothing"),
);
alike(
  "a change by GET",
  () => pair,
  (peer) => status(peer, "/healthcheck/fail"),
);
alike(
  "drain by GET",
  () => pair,
  (peer) => status(peer, "/drain_listeners"),
);
alike(
  "a counter reset by GET",
  () => pair,
  (peer) => status(peer, "/reset_counters"),
);
alike(
  "statistics by POST",
  () => pair,
  (peer) => status(peer, "/ready", "POST"),
);
alike(
  "an unknown format of statistics",
  () => pair,
  (peer) => status(peer, "/stats?format=blah"),
);
alike(
  "a broken filter of statistics",
  () => pair,
  (peer) => status(peer, "/stats?filter=*"),
);
alike(
  "an unknown resource",
  () => pair,
  (peer) => status(peer, "/config_dump?resource=nothing"),
);
alike(
  "traffic before",
  () => pair,
  (peer) => traffic(peer, "in"),
);
alike(
  "the health check fails",
  () => pair,
  (peer) => ask(peer, "/healthcheck/fail", "POST"),
);
alike(
  "not ready",
  () => pair,
  (peer) => ask(peer, "/ready"),
);
alike(
  "traffic while the health check fails",
  () => pair,
  async (peer) => (await traffic(peer, "in")).received,
);
apart(
  "its connection",
  () => pair,
  async (peer) => (await traffic(peer, "in")).ended,
  { envoy: "open", weft: "end", because: "ours ends it where it said so" },
);
alike(
  "traffic of a listener that does not drain for that",
  () => pair,
  (peer) => traffic(peer, "stays"),
);
alike("traffic of HTTP/2 while the health check fails", () => pair, traffic2);
alike(
  "the health check is well again",
  () => pair,
  (peer) => ask(peer, "/healthcheck/ok", "POST"),
);
alike(
  "ready again",
  () => pair,
  (peer) => ask(peer, "/ready"),
);
alike(
  "traffic again",
  () => pair,
  (peer) => traffic(peer, "in"),
);
alike(
  "inbound listeners are drained",
  () => pair,
  (peer) => ask(peer, "/drain_listeners?inboundonly", "POST"),
);
alike(
  "a drained listener",
  () => pair,
  (peer) => traffic(peer, "in"),
);
alike(
  "a listener that was not",
  () => pair,
  (peer) => traffic(peer, "other"),
);
alike(
  "all listeners are drained",
  () => pair,
  (peer) => ask(peer, "/drain_listeners", "POST"),
);
alike(
  "the other listener",
  () => pair,
  (peer) => traffic(peer, "other"),
);
alike(
  "clients are told to leave, and nothing more",
  () => pair,
  (peer) => ask(peer, "/drain_listeners?skip_exit", "POST"),
);
alike(
  "a graceful drain",
  () => pair,
  (peer) => ask(peer, "/drain_listeners?graceful&inboundonly", "POST"),
);
alike(
  "ready all the same",
  () => pair,
  (peer) => status(peer, "/ready"),
);
