/** The cases of how requests end: over HTTP/1 as steps, over HTTP/2 and gRPC as calls. */
import { dataFrame, type Fields, frame, headersFrame } from "@weft/protocols/http2/testing/frames";
import type { OutcomeCase } from "./outcome-case.ts";
import { get, request, type Step } from "./talk.ts";

const whole = /\r\n\r\n(?!$)|content-length: 0[\s\S]*\r\n\r\n/;
const slow = /^.(switch|nocontent)/;
const done: Step = { until: /content-length: (\d+)[\s\S]*\r\n\r\n[\s\S]*|\r\n0\r\n\r\n$/ };
const ask = (
  name: string,
  path: string,
  rest: Partial<OutcomeCase> = {},
  ...headers: readonly string[]
): OutcomeCase => ({
  name,
  steps: [{ send: get(path, ...headers) }, done],
  ...(slow.test(path) ? { silenceMs: 400 } : {}),
  ...rest,
});
const say = (name: string, bytes: string, rest: Partial<OutcomeCase> = {}): OutcomeCase => ({
  name,
  steps: [{ send: bytes }, { until: whole }],
  ...rest,
});
/** Waits for the connection's end as well. */
const untilClosed = (name: string, path: string): OutcomeCase => ({
  name,
  steps: [{ send: get(path) }, { until: /never/ }],
  silenceMs: 900,
  lingerMs: 2000,
});
const fields = (path: string, ...more: Fields): Fields => [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "a.example"],
  [":path", path],
  ...more,
];
const ask2 = (name: string, path: string, rest: Partial<OutcomeCase> = {}): OutcomeCase => ({
  name: `HTTP/2: ${name}`,
  http2: { fields: fields(path), timeoutMs: 3000 },
  ...rest,
});
const grpcFields = (path: string, more: Fields): Fields => [
  [":method", "POST"],
  ...fields(path).slice(1),
  ["te", "trailers"],
  ...(more.some(([name]) => name === "content-type") ? [] : [["content-type", "application/grpc"] as const]),
  ...more,
];
const message = "\u0000\u0000\u0000\u0000\u0002hi";
const grpc = (name: string, path: string, more: Fields = [], rest: Partial<OutcomeCase> = {}): OutcomeCase => ({
  name: `gRPC: ${name}`,
  http2: { fields: grpcFields(path, more), body: message, timeoutMs: 3000 },
  ...rest,
});
/** Nothing comes. */
const silent = (name: string, more: Fields): OutcomeCase => ({
  name: `gRPC: ${name}`,
  http2: { fields: grpcFields("/grpc.Waits/hang", more), body: message, timeoutMs: 700 },
});
const mapped = { listener: "mapped" } as const;
const hasty = { listener: "hasty" } as const;
const strict = { listener: "strict" } as const;
const idle = { listener: "idle" } as const;
const bare = (...lines: readonly string[]): string => `${lines.join("\r\n")}\r\n\r\n`;

/** The ways every version has in common. */
const common: readonly (readonly [name: string, path: string])[] = [
  ["an answer", "/x"],
  ["no cluster", "/missing"],
  ["no cluster, another status", "/missing-500"],
  ["no hosts", "/empty"],
  ["connection refused", "/refused"],
  ["connection refused, again and again", "/refused-again"],
  ["too many requests", "/full"],
  ["too many waiting", "/pending"],
  ["no answer in time", "/silent"],
  ["no end of the answer in time", "/stall"],
  ["silence before the answer", "/silent-idle"],
  ["silence within the answer", "/stall-idle"],
  ["the longest duration", "/longest"],
  ["each try too slow", "/tries"],
  ["one try too slow", "/tryonce"],
  ["the upstream hangs up", "/hangup"],
  ["the upstream resets", "/reset"],
  ["the upstream hangs up on every try", "/again"],
  ["the upstream resets every try", "/resets"],
  ["the status fails every try", "/codes"],
  ["a retry the breaker forbids", "/noretry"],
  ["an answer cut short", "/cut"],
  ["chunks cut short", "/cutchunk"],
  ["a head cut short", "/cuthead"],
  ["an answer that is not HTTP", "/garbage"],
  ["a chunk size that is none", "/badchunk"],
  ["a length that is none", "/badlength"],
  ["two lengths", "/twolengths"],
  ["a large head", "/bighead"],
  ["an answer until the end", "/toend"],
  ["an answer of HTTP/1.0", "/http10"],
  ["early hints", "/hints"],
  ["early hints twice", "/twohints"],
  ["102", "/processing"],
  ["100 that nobody asked for", "/continue"],
  ["101 that nobody asked for", "/switch"],
  ["no content", "/nocontent"],
  ["a status above all", "/status"],
  ["a direct answer", "/direct"],
  ["a direct answer without a body", "/bodiless"],
  ["a redirect", "/redirect"],
  ["an injected abort", "/abort"],
  ["an injected delay", "/delay"],
  ["an injected delay and abort", "/delayed-abort"],
  ["a forbidden path", "/forbidden"],
];

const http1: readonly OutcomeCase[] = [
  ...common.map(([name, path]) => (/^.(stall|cut)/.test(path) ? untilClosed(name, path) : ask(name, path))),
  ask("HTTP/2 upstream resets", "/h2/reset"),
  ask("HTTP/2 upstream refuses the stream", "/h2/refuse"),
  ask("HTTP/2 upstream answers", "/h2/x"),
  ask("HTTP/2 upstream hints", "/h2/hints"),
  ask("a path that cannot be normalized", "/a%zz"),
  ask("an escaped slash refused", "/a%2fb", strict),
  ask("an escaped slash redirected", "/a%2fb", idle),
  ask("server header, request id and via", "/x", idle, "x-request-id: known", "via: other"),
  say("the client leaves before the answer", "", {
    steps: [{ send: get("/silent-long") }, { until: /x/ }, { reset: true }],
    silenceMs: 80,
  }),
  say("the client leaves within the answer", "", {
    steps: [{ send: get("/stall-long") }, { until: /ten/ }, { reset: true }],
  }),
  say("the client leaves within its body", "", {
    steps: [{ send: request("POST", "/silent-long", ["Content-Length: 10"], "half") }, { until: /x/ }, { reset: true }],
    silenceMs: 80,
  }),
  say("the client leaves within a delay", "", {
    steps: [{ send: get("/delay-long") }, { until: /x/ }, { reset: true }],
    silenceMs: 80,
  }),
  say("a head that does not end", "GET /x HTTP/1.1\r\nHost: a", { ...hasty }),
  say("a body that does not end", request("POST", "/silent-long", ["Content-Length: 10"], "half"), { ...hasty }),
  say("a body that stalls", request("POST", "/silent-long", ["Content-Length: 10"], "half"), { ...idle }),
  say("an answer that stalls", get("/stall-long"), { ...idle }),
  say("a stream that lasts too long", get("/silent-long"), strict),
  say("one request per connection", get("/x"), strict),
  ask("an underscore in a name", "/x", strict, "x_y: 1"),
  ask("too many headers", "/x", strict, ...Array.from({ length: 30 }, (_, i) => `x-${i}: 1`)),
  ask("a head over the limit", "/x", strict, `x-big: ${"a".repeat(5000)}`),
  say("no Host", bare("GET /x HTTP/1.1", "x: 1")),
  say("HTTP/1.0", bare("GET /x HTTP/1.0", "Host: a")),
  say("two lengths in the request", bare("POST /x HTTP/1.1", "Host: a", "Content-Length: 1", "Content-Length: 2")),
  say("a connection without a request", "", {
    steps: [{ until: /x/ }, { end: true }],
    ...idle,
    lines: 0,
    silenceMs: 600,
  }),
  { name: "HEAD of a direct answer", steps: [{ send: request("HEAD", "/direct") }, done] },
  { name: "HEAD of a local reply", steps: [{ send: request("HEAD", "/empty") }, done] },
  say("two requests on one connection", "", {
    steps: [{ send: get("/direct") }, { until: /short/ }, { send: get("/empty") }, { until: /healthy/ }],
    lines: 2,
  }),
  say("two requests at once", get("/direct") + get("/empty"), {
    steps: [{ send: get("/direct") + get("/empty") }, { until: /healthy/ }],
    lines: 2,
  }),
  say("100-continue is answered", "", {
    steps: [
      { send: request("POST", "/x", ["Content-Length: 2", "Expect: 100-continue"]) },
      { until: /100 Continue/ },
      { send: "hi" },
      { until: /200 OK[\s\S]*ok$/ },
    ],
  }),
  say("100-continue where no route is", request("POST", "/empty", ["Content-Length: 2", "Expect: 100-continue"])),
  say("100-continue answered early", request("POST", "/early", ["Content-Length: 2", "Expect: 100-continue"])),
  say("an answer before the body is whole", request("POST", "/early", ["Content-Length: 10"], "half")),
  say("a local reply before the body is whole", request("POST", "/empty", ["Content-Length: 10"], "half")),
];

const upgrade = (path: string, ...more: readonly string[]): string =>
  get(
    path,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    ...more,
  );
const connect = (authority: string): string => `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`;
const throughTunnel: readonly Step[] = [{ until: /HTTP\/1.1 (101|200)/ }, { send: "hello" }, { until: /echo/ }];

const upgrades: readonly OutcomeCase[] = [
  say("WebSocket through", "", {
    steps: [{ send: upgrade("/ws") }, ...throughTunnel, { end: true }, { until: /bye/ }],
  }),
  say("WebSocket, the client resets", "", { steps: [{ send: upgrade("/ws") }, ...throughTunnel, { reset: true }] }),
  say("WebSocket by the listener", "", {
    steps: [{ send: upgrade("/x") }, ...throughTunnel, { end: true }, { until: /bye/ }],
    ...strict,
  }),
  say("WebSocket the route does not take", upgrade("/x")),
  say("WebSocket the route forbids", upgrade("/no-ws"), strict),
  say("WebSocket to a cluster without hosts", upgrade("/empty"), strict),
  say("WebSocket to a cluster that is not there", upgrade("/missing"), strict),
  say("WebSocket that the upstream refuses", upgrade("/refuses"), strict),
  say("WebSocket that the upstream hangs up on", upgrade("/hangup"), strict),
  say("WebSocket that is answered as an ordinary request", upgrade("/toend"), strict),
  say("WebSocket that is not answered", upgrade("/silent"), strict),
  say("another upgrade", get("/ws", "Connection: Upgrade", "Upgrade: other")),
  say("an upgrade without Connection", get("/ws", "Upgrade: websocket")),
  say("Connection: upgrade without an upgrade", get("/ws", "Connection: upgrade")),
  say(
    "h2c",
    get("/x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
  ),
  say("WebSocket to HTTP/2", upgrade("/h2/ws"), {
    steps: [
      { send: upgrade("/h2/ws") },
      { until: /HTTP\/1.1 101/ },
      { send: "hello" },
      { until: /hello/ },
      { end: true },
    ],
  }),
  say("CONNECT through", "", {
    steps: [{ send: connect("b.example:80") }, { until: /200 OK/ }, { send: get("/toend") }, { until: /the end/ }],
    lingerMs: 2000,
  }),
  say("CONNECT without a port", "", { steps: [{ send: connect("b.example") }, { until: /HTTP/ }], silenceMs: 500 }),
  {
    name: "HTTP/2: CONNECT through",
    http2: {
      frames: [
        headersFrame(
          1,
          [
            [":method", "CONNECT"],
            [":authority", "b.example:80"],
          ],
          false,
        ),
      ],
      afterHead: [dataFrame(1, get("/toend"))],
      fields: [],
      timeoutMs: 800,
    },
  },
  {
    name: "HTTP/2: WebSocket through",
    http2: {
      frames: [headersFrame(1, [[":method", "CONNECT"], [":protocol", "websocket"], ...fields("/ws").slice(1)], false)],
      afterHead: [dataFrame(1, "hello", true)],
      fields: [],
      timeoutMs: 800,
    },
  },
  {
    name: "HTTP/2: WebSocket the route does not take",
    http2: {
      frames: [headersFrame(1, [[":method", "CONNECT"], [":protocol", "websocket"], ...fields("/x").slice(1)], false)],
      fields: [],
      timeoutMs: 800,
    },
  },
];

const leaves = (name: string, path: string, bytes: Buffer): OutcomeCase => ({
  name: `HTTP/2: ${name}`,
  http2: {
    fields: [],
    frames: [headersFrame(1, fields(path))],
    timeoutMs: 300,
    onSent: (socket) => void setTimeout(() => (bytes.length > 0 ? socket.write(bytes) : socket.resetAndDestroy()), 100),
  },
});

const http2: readonly OutcomeCase[] = [
  ...common.map(([name, path]) => ask2(name, path)),
  ask2("HTTP/2 upstream resets", "/h2/reset"),
  ask2("HTTP/2 upstream refuses the stream", "/h2/refuse"),
  ask2("HTTP/2 upstream hints", "/h2/hints"),
  ask2("a stream that lasts too long", "/silent-long", strict),
  ask2("an underscore in a name", "/x", { ...strict, http2: { fields: fields("/x", ["x_y", "1"]) } }),
  ask2("a body that does not end", "/x", {
    ...hasty,
    http2: { fields: [], frames: [headersFrame(1, [[":method", "POST"], ...fields("/silent-long").slice(1)], false)] },
  }),
  ask2("a body that stalls", "/x", {
    ...idle,
    http2: { fields: [], frames: [headersFrame(1, [[":method", "POST"], ...fields("/silent-long").slice(1)], false)] },
  }),
  leaves("the client resets the stream", "/silent-long", frame(3, 0, 1, "00000008")),
  leaves("the client leaves", "/silent-long", Buffer.alloc(0)),
  ask2("100-continue", "/x", {
    http2: {
      fields: [],
      frames: [headersFrame(1, [[":method", "POST"], ...fields("/x", ["expect", "100-continue"]).slice(1)], false)],
      afterHead: [dataFrame(1, "hi", true)],
      timeoutMs: 800,
    },
  }),
];

const statuses = ["1", "4", "8", "13", "14"];
const retryNames: readonly (readonly [name: string, status: string])[] = [
  ["Cancelled", "1"],
  ["Deadline", "4"],
  ["Exhausted", "8"],
  ["Internal", "13"],
  ["Unavailable", "14"],
];
const web = (type: string, body: string, accept = ""): Partial<OutcomeCase> => ({
  http2: {
    fields: grpcFields("/grpc.Echo/ok", [
      ["content-type", type],
      ...(accept === "" ? [] : [["accept", accept] as const]),
    ]),
    body,
    timeoutMs: 3000,
  },
});
const webText = Buffer.from(message, "latin1").toString("base64");

const grpcCases: readonly OutcomeCase[] = [
  grpc("an answer", "/grpc.Echo/ok"),
  grpc("an error in trailers", "/grpc.Echo/trailers/5"),
  grpc("an error in the head alone", "/grpc.Echo/only/9"),
  grpc("an upstream that answers 503", "/grpc.Echo/http/503"),
  grpc("an upstream that answers 404", "/grpc.Echo/http/404"),
  grpc("an upstream that resets", "/grpc.Echo/reset/2"),
  grpc("an upstream that refuses", "/grpc.Echo/reset/7"),
  grpc("an upstream that cancels", "/grpc.Echo/reset/8"),
  grpc("no cluster", "/missing"),
  grpc("no hosts", "/empty"),
  grpc("connection refused", "/refused"),
  grpc("too many requests", "/full"),
  grpc("an HTTP/1 upstream in silence", "/silent"),
  grpc("an HTTP/1 upstream that hangs up", "/hangup"),
  grpc("no answer in time", "/grpc.Short/hang"),
  grpc("each try too slow", "/grpc.Tries/hang"),
  grpc("a direct answer", "/direct"),
  grpc("a redirect", "/redirect"),
  grpc("an injected HTTP status", "/abort"),
  grpc("an injected gRPC status", "/abort-grpc"),
  grpc("a forbidden path", "/forbidden"),
  grpc("an idle stream", "/grpc.Echo/hang", [], idle),
  grpc("a stream that lasts too long", "/grpc.Echo/hang", [], strict),
  grpc("the client's own deadline", "/grpc.Waits/hang", [["grpc-timeout", "150m"]]),
  grpc("the client's own deadline, beyond the most", "/grpc.Waits/hang", [["grpc-timeout", "9S"]]),
  silent("no deadline of the client's", []),
  grpc("a deadline less what the way takes", "/grpc.Offset/hang", [["grpc-timeout", "200m"]]),
  grpc("a deadline shorter than the way", "/grpc.Offset/hang", [["grpc-timeout", "20m"]]),
  silent("a deadline that is none", [["grpc-timeout", "soon"]]),
  grpc("a deadline the upstream keeps", "/grpc.Waits/ok", [["grpc-timeout", "150m"]]),
  grpc("a deadline where the route has none", "/grpc.Echo/ok", [["grpc-timeout", "150m"]]),
  grpc("application/grpc+proto", "/empty", [["content-type", "application/grpc+proto"]]),
  grpc("application/grpcish", "/empty", [["content-type", "application/grpcish"]]),
  grpc("application/grpc; charset", "/empty", [["content-type", "application/grpc; charset=utf-8"]]),
  ...retryNames.flatMap(([name, status]) => [
    grpc(`a retry on ${name}`, `/retry.${name}/once/${status}`),
    grpc(`no retry on ${name} for another status`, `/retry.${name}/once/3`),
  ]),
  ...statuses.map((status) => grpc(`a retry on either, status ${status}`, `/retry.Both/once/${status}`)),
  grpc("retries that run out", "/retry.Unavailable/only/14"),
  grpc("a status in trailers is not retried", "/retry.Unavailable/trailers/14"),
  grpc("a retry on a refused stream", "/retry.Refused/reset/7"),
  grpc("a retry on a reset", "/retry.Reset/reset/2"),
  grpc("web, binary", "/grpc.Echo/ok", [], web("application/grpc-web", message)),
  grpc("web, binary with proto", "/grpc.Echo/ok", [], web("application/grpc-web+proto", message)),
  grpc("web, text", "/grpc.Echo/ok", [], web("application/grpc-web-text", webText, "application/grpc-web-text")),
  grpc("web, text in, binary out", "/grpc.Echo/ok", [], web("application/grpc-web-text", webText)),
  grpc(
    "web, text that is none",
    "/grpc.Echo/ok",
    [],
    web("application/grpc-web-text", "!!!!", "application/grpc-web-text"),
  ),
  grpc("web, no hosts", "/empty", [["content-type", "application/grpc-web"]]),
  grpc("web, text, no hosts", "/empty", [
    ["content-type", "application/grpc-web-text"],
    ["accept", "application/grpc-web-text"],
  ]),
  grpc("web, an error in trailers", "/grpc.Echo/trailers/5", [["content-type", "application/grpc-web"]]),
  grpc("web, an error in the head alone", "/grpc.Echo/only/9", [["content-type", "application/grpc-web"]]),
  say(
    "gRPC-Web over HTTP/1",
    request("POST", "/grpc.Echo/ok", ["Content-Type: application/grpc-web", "Content-Length: 7"], message),
  ),
  say("gRPC over HTTP/1", request("POST", "/empty", ["Content-Type: application/grpc", "Content-Length: 7"], message)),
];

const rewritten: readonly OutcomeCase[] = [
  ask("rewritten: a status and a body", "/abort", mapped),
  ask("rewritten: no cluster", "/missing", mapped),
  ask("rewritten: as JSON", "/refused", mapped),
  ask("rewritten: as HTML for one header", "/empty", mapped, "x-plain: 1"),
  ask("rewritten: the format of all others", "/empty", mapped),
  ask("rewritten: to nothing", "/silent", mapped),
  ask("rewritten: forbidden", "/forbidden", mapped),
  ask("rewritten: a direct answer", "/direct", mapped),
  ask("rewritten: a redirect", "/redirect", mapped),
  ask("rewritten: an upstream's answer stays", "/early", mapped),
  ask("rewritten: a broken path", "/a%zz", mapped),
  say("rewritten: a request that is none", bare("GET /x HTTP/1.1", "Host: a", "bad"), mapped),
  { name: "rewritten: HEAD", steps: [{ send: request("HEAD", "/empty") }, done], ...mapped },
  say("rewritten: an upgrade refused", upgrade("/x"), mapped),
  ask2("rewritten: the format of all others", "/empty", mapped),
  grpc("rewritten: no hosts", "/empty", [], mapped),
  grpc("rewritten: an injected status", "/abort", [], mapped),
  grpc("rewritten: connection refused", "/refused", [], mapped),
];

export const outcomeCases: readonly OutcomeCase[] = [...http1, ...upgrades, ...http2, ...grpcCases, ...rewritten];
