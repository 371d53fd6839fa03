import assert from "node:assert/strict";
import { test } from "node:test";
import { Http2Connection } from "./connection.ts";
import {
  dataFrame,
  type Fields,
  frame,
  get,
  headersFrame,
  literals,
  OutputReader,
  post,
  preface,
  requestHead,
  settings,
  settingsAck,
} from "./testing/frames.ts";
import { Recorder } from "./testing/recorder.ts";

const runServer = (frames: readonly Buffer[], cut = Number.POSITIVE_INFINITY): { out: string[]; lines: string[] } => {
  const sink = new Recorder();
  const server = new Http2Connection({ role: "server", sink, nowMs: () => 0 });
  server.start();
  const bytes = Buffer.concat(frames);
  for (let at = 0; at < bytes.length; at += cut) server.receive(bytes.subarray(at, at + cut));
  return { out: new OutputReader().read(server.takeOutput()).slice(2), lines: sink.lines };
};
const hello = [preface, settings];
const open = [...hello, headersFrame(1, post, false)];

/** What a server must answer: `GOAWAY code` ends the connection, `RST code` stream 1 only. */
const serverCases: readonly (readonly [what: string, frames: readonly Buffer[], answer: string])[] = [
  ["something else than the preface", [Buffer.from("GET / HTTP/1.1\r\n\r\n")], "GOAWAY PROTOCOL_ERROR"],
  ["a preface with a wrong end", [Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX")], "GOAWAY PROTOCOL_ERROR"],
  ["a first frame that is not SETTINGS", [preface, frame(6, 0, 0, "0000000000000000")], "GOAWAY PROTOCOL_ERROR"],
  ["a first SETTINGS that is an acknowledgement", [preface, settingsAck], "GOAWAY PROTOCOL_ERROR"],
  ["HEADERS before SETTINGS", [preface, headersFrame(1, get)], "GOAWAY PROTOCOL_ERROR"],
  ["DATA before SETTINGS", [preface, dataFrame(1, "x")], "GOAWAY PROTOCOL_ERROR"],
  ["a frame above 16384 bytes", [...open, frame(0, 0, 1, Buffer.alloc(16_385))], "GOAWAY FRAME_SIZE_ERROR"],
  ["SETTINGS on a stream", [...hello, frame(4, 0, 1)], "GOAWAY PROTOCOL_ERROR"],
  ["SETTINGS of 5 bytes", [...hello, frame(4, 0, 0, "0001000000")], "GOAWAY FRAME_SIZE_ERROR"],
  ["an acknowledgement with payload", [...hello, frame(4, 1, 0, "000100000000")], "GOAWAY FRAME_SIZE_ERROR"],
  ["ENABLE_PUSH of 2", [...hello, frame(4, 0, 0, "000200000002")], "GOAWAY PROTOCOL_ERROR"],
  ["a window setting of 2^31", [...hello, frame(4, 0, 0, "000480000000")], "GOAWAY FLOW_CONTROL_ERROR"],
  ["a frame size setting of 16383", [...hello, frame(4, 0, 0, "000500003fff")], "GOAWAY PROTOCOL_ERROR"],
  ["a frame size setting of 2^24", [...hello, frame(4, 0, 0, "000501000000")], "GOAWAY PROTOCOL_ERROR"],
  ["a CONNECT setting of 2", [...hello, frame(4, 0, 0, "000800000002")], "GOAWAY PROTOCOL_ERROR"],
  ["a CONNECT setting taken back", [...hello, frame(4, 0, 0, "000800000001000800000000")], "GOAWAY PROTOCOL_ERROR"],
  ["PING on a stream", [...hello, frame(6, 0, 1, "0000000000000000")], "GOAWAY PROTOCOL_ERROR"],
  ["PING of 7 bytes", [...hello, frame(6, 0, 0, "00000000000000")], "GOAWAY FRAME_SIZE_ERROR"],
  ["GOAWAY on a stream", [...hello, frame(7, 0, 1, "0000000000000000")], "GOAWAY PROTOCOL_ERROR"],
  ["GOAWAY of 7 bytes", [...hello, frame(7, 0, 0, "00000000000000")], "GOAWAY FRAME_SIZE_ERROR"],
  ["WINDOW_UPDATE of 3 bytes", [...hello, frame(8, 0, 0, "000001")], "GOAWAY FRAME_SIZE_ERROR"],
  ["WINDOW_UPDATE of 0", [...hello, frame(8, 0, 0, "00000000")], "GOAWAY PROTOCOL_ERROR"],
  ["WINDOW_UPDATE beyond 2^31-1", [...hello, frame(8, 0, 0, "7fffffff")], "GOAWAY FLOW_CONTROL_ERROR"],
  ["WINDOW_UPDATE on an idle stream", [...hello, frame(8, 0, 1, "00000001")], "GOAWAY PROTOCOL_ERROR"],
  ["WINDOW_UPDATE of 0 on a stream", [...open, frame(8, 0, 1, "00000000")], "RST PROTOCOL_ERROR"],
  ["WINDOW_UPDATE overflow on a stream", [...open, frame(8, 0, 1, "7fffffff")], "RST FLOW_CONTROL_ERROR"],
  [
    "a setting that makes a stream's window overflow",
    [...open, frame(8, 0, 1, "70000000"), frame(4, 0, 0, "00047fffffff")],
    "GOAWAY FLOW_CONTROL_ERROR",
  ],
  ["RST_STREAM on stream 0", [...hello, frame(3, 0, 0, "00000000")], "GOAWAY PROTOCOL_ERROR"],
  ["RST_STREAM on an idle stream", [...hello, frame(3, 0, 1, "00000000")], "GOAWAY PROTOCOL_ERROR"],
  ["RST_STREAM of 3 bytes", [...open, frame(3, 0, 1, "000000")], "GOAWAY FRAME_SIZE_ERROR"],
  ["PRIORITY on stream 0", [...hello, frame(2, 0, 0, "0000000000")], "GOAWAY PROTOCOL_ERROR"],
  ["PRIORITY of 4 bytes", [...open, frame(2, 0, 1, "00000000")], "RST FRAME_SIZE_ERROR"],
  ["PUSH_PROMISE from a client", [...open, frame(5, 4, 1, "00000002")], "GOAWAY PROTOCOL_ERROR"],
  ["HEADERS on stream 0", [...hello, headersFrame(0, get)], "GOAWAY PROTOCOL_ERROR"],
  ["HEADERS on an even stream", [...hello, headersFrame(2, get)], "GOAWAY PROTOCOL_ERROR"],
  ["HEADERS on a skipped stream", [...hello, headersFrame(5, get), headersFrame(3, get)], "GOAWAY PROTOCOL_ERROR"],
  ["HEADERS with too much padding", [...hello, frame(1, 12, 1, "05828684")], "GOAWAY PROTOCOL_ERROR"],
  ["HEADERS without room for priority", [...hello, frame(1, 36, 1, "8286")], "GOAWAY FRAME_SIZE_ERROR"],
  ["a broken header block", [...hello, frame(1, 5, 1, "ffffffffffff")], "GOAWAY COMPRESSION_ERROR"],
  ["an index beyond the tables", [...hello, frame(1, 5, 1, "be")], "GOAWAY COMPRESSION_ERROR"],
  ["CONTINUATION without a beginning", [...hello, frame(9, 4, 1, "82")], "GOAWAY PROTOCOL_ERROR"],
  ["CONTINUATION of another stream", [...hello, frame(1, 1, 1, "82"), frame(9, 4, 3)], "GOAWAY PROTOCOL_ERROR"],
  ["DATA inside a header block", [...hello, frame(1, 1, 1, "82"), dataFrame(1, "x")], "GOAWAY PROTOCOL_ERROR"],
  ["PING inside a header block", [...hello, frame(1, 1, 1, "82"), frame(6, 0, 0)], "GOAWAY PROTOCOL_ERROR"],
  ["an unknown frame inside a header block", [...hello, frame(1, 1, 1), frame(99, 0, 1)], "GOAWAY PROTOCOL_ERROR"],
  ["a header block in 12 pieces", [...hello, frame(1, 1, 1), ...pieces(11)], "GOAWAY ENHANCE_YOUR_CALM"],
  ["DATA on stream 0", [...hello, dataFrame(0, "x")], "GOAWAY PROTOCOL_ERROR"],
  ["DATA on an idle stream", [...hello, dataFrame(1, "x")], "GOAWAY PROTOCOL_ERROR"],
  ["DATA with padding as long as itself", [...open, frame(0, 8, 1, "026162")], "RST none"],
  ["DATA with padding longer than itself", [...open, frame(0, 8, 1, "036162")], "GOAWAY PROTOCOL_ERROR"],
  ["padded DATA of no bytes", [...open, frame(0, 8, 1)], "GOAWAY PROTOCOL_ERROR"],
  ["DATA after the end of the request", [...hello, headersFrame(1, get), dataFrame(1, "x")], "RST STREAM_CLOSED"],
  ["HEADERS after the end of the request", [...hello, headersFrame(1, get), headersFrame(1, [])], "RST STREAM_CLOSED"],
  ["trailers that do not end the request", [...open, headersFrame(1, [["x", "y"]], false)], "RST PROTOCOL_ERROR"],
  ["pseudo-headers in trailers", [...open, headersFrame(1, [[":path", "/"]])], "RST PROTOCOL_ERROR"],
  ["content-length in trailers", [...open, headersFrame(1, [["content-length", "0"]])], "RST PROTOCOL_ERROR"],
  ["more than the stream's window", [...open, ...overrun()], "RST FLOW_CONTROL_ERROR"],
];

function pieces(count: number): Buffer[] {
  return Array.from({ length: count }, () => frame(9, 0, 1));
}
function overrun(): Buffer[] {
  return Array.from({ length: 5 }, () => frame(0, 0, 1, Buffer.alloc(16_000)));
}

for (const [what, frames, answer] of serverCases) {
  test(`a server answers ${answer} to ${what}`, () => {
    for (const cut of [Number.POSITIVE_INFINITY, 1, 7]) {
      const { out } = runServer(frames, cut);
      const last = out.filter((line) => /GOAWAY|RST/.test(line)).at(-1) ?? "1 RST_STREAM none";
      assert.equal(last.replace(/GOAWAY \d+/, "GOAWAY").replace("1 RST_STREAM", "RST"), answer);
    }
  });
}

const without = (name: string): Fields => get.filter(([field]) => field !== name);
const instead = (name: string, value: string): Fields => get.map(([n, v]) => (n === name ? [n, value] : [n, v]));
const malformed: readonly (readonly [what: string, fields: Fields])[] = [
  ["no :method", without(":method")],
  ["no :scheme", without(":scheme")],
  ["no :path", without(":path")],
  ["neither :authority nor host", without(":authority")],
  ["an empty :path", instead(":path", "")],
  ["an empty :method", instead(":method", "")],
  ["an empty :authority", instead(":authority", "")],
  ["a path without slash", instead(":path", "svc/Method")],
  ["an absolute path", instead(":path", "http://a.example/")],
  ["a path of * without OPTIONS", instead(":path", "*")],
  ["a path with a space", instead(":path", "/a b")],
  ["a path with a line feed", instead(":path", "/a\nb")],
  ["a path with NUL", instead(":path", "/a\0")],
  ["a method with a space", instead(":method", "GET /x")],
  ["a method with a line break", instead(":method", "GET\r\nx: y")],
  ["a scheme with a slash", instead(":scheme", "http://")],
  ["userinfo in :authority", instead(":authority", "user@a.example")],
  ["a slash in :authority", instead(":authority", "a.example/x")],
  ["a space in :authority", instead(":authority", "a b")],
  ["a fragment in :authority", instead(":authority", "a#b")],
  ["two :method", [[":method", "GET"], ...get]],
  ["two :path", [...get, [":path", "/x"]]],
  ["two :authority", [...get, [":authority", "b"]]],
  ["two :scheme", [...get, [":scheme", "https"]]],
  ["a pseudo-header behind a field", [["x", "y"], ...get]],
  ["an unknown pseudo-header", [[":what", "x"], ...get]],
  ["a response's pseudo-header", [[":status", "200"], ...get]],
  [":protocol without CONNECT", [[":protocol", "websocket"], ...get]],
  ["CONNECT with :path", instead(":method", "CONNECT")],
  ["CONNECT without :authority", [[":method", "CONNECT"]]],
  [
    "extended CONNECT without :path",
    [
      [":method", "CONNECT"],
      [":protocol", "websocket"],
      [":authority", "a"],
    ],
  ],
  ["an upper-case name", [...get, ["X-Upper", "y"]]],
  ["an empty name", [...get, ["", "y"]]],
  ["a name with a space", [...get, ["x y", "z"]]],
  ["a name with a colon", [...get, ["x:y", "z"]]],
  ["a name with NUL", [...get, ["x\0", "z"]]],
  ["a name with a line break", [...get, ["x\r\ny", "z"]]],
  ["a name above ASCII", [...get, ["x\xe9", "z"]]],
  ["a value with NUL", [...get, ["x", "a\0b"]]],
  ["a value with CR", [...get, ["x", "a\rb"]]],
  ["a value with LF", [...get, ["x", "a\nb"]]],
  ["a value with DEL", [...get, ["x", "a\x7f"]]],
  ["a value that begins with a space", [...get, ["x", " a"]]],
  ["a value that ends with a tab", [...get, ["x", "a\t"]]],
  ["connection", [...get, ["connection", "close"]]],
  ["keep-alive", [...get, ["keep-alive", "timeout=5"]]],
  ["proxy-connection", [...get, ["proxy-connection", "close"]]],
  ["transfer-encoding", [...get, ["transfer-encoding", "chunked"]]],
  ["upgrade", [...get, ["upgrade", "h2c"]]],
  ["te other than trailers", [...get, ["te", "gzip"]]],
  ["two hosts", [...get, ["host", "a.example"], ["host", "a.example"]]],
  ["a host that is not :authority", [...get, ["host", "b.example"]]],
  ["two content-lengths", [...get, ["content-length", "0"], ["content-length", "0"]]],
  ["an empty content-length", [...get, ["content-length", ""]]],
  ["a signed content-length", [...get, ["content-length", "+1"]]],
  ["a content-length of a list", [...get, ["content-length", "1, 1"]]],
  ["a content-length in hex", [...get, ["content-length", "0x1"]]],
  ["a huge content-length", [...get, ["content-length", "9".repeat(30)]]],
  ["a content-length without a body", [...get, ["content-length", "1"]]],
];
for (const [what, fields] of malformed) {
  test(`a request with ${what} is reset and never shown`, () => {
    const { out, lines } = runServer([...hello, headersFrame(1, fields)]);
    assert.deepEqual(out.slice(1), ["1 RST_STREAM PROTOCOL_ERROR"]);
    assert.equal(
      lines.some((line) => line.includes("request")),
      false,
    );
    assert.match(lines.at(-1) ?? "", /^1 refused: /);
  });
}

test("every control byte in every place of a request is refused", () => {
  for (const byte of [0, 1, 10, 13, 31, 127]) {
    const char = String.fromCharCode(byte);
    for (const spoil of [(v: string) => char + v, (v: string) => `${v}${char}`, (v: string) => `${v}${char}x`]) {
      for (let i = 0; i <= get.length; i++) {
        const named: Fields = [...get, ["x-a", "b"]].map(([n, v], at) => (at === i ? [spoil(n!), v!] : [n!, v!]));
        const valued: Fields = [...get, ["x-a", "b"]].map(([n, v], at) => (at === i ? [n!, spoil(v!)] : [n!, v!]));
        for (const fields of [named, valued]) {
          const { lines } = runServer([...hello, headersFrame(1, fields)]);
          assert.equal(
            lines.some((line) => line.includes("request")),
            false,
            JSON.stringify(fields),
          );
        }
      }
    }
  }
});

test("a body that is not what content-length said is reset", () => {
  const sized: Fields = [...post, ["content-length", "3"]];
  const cases = [
    [dataFrame(1, "four", false)],
    [dataFrame(1, "ab", true)],
    [dataFrame(1, "ab"), headersFrame(1, [["x", "y"]])],
    [dataFrame(1, "abc"), dataFrame(1, "d", true)],
  ];
  for (const frames of cases) {
    const { out, lines } = runServer([...hello, headersFrame(1, sized, false), ...frames]);
    assert.equal(out.at(-1), "1 RST_STREAM PROTOCOL_ERROR");
    assert.deepEqual(lines.slice(-2), ["1 reset PROTOCOL_ERROR self", "1 over"]);
  }
  const { lines } = runServer([...hello, headersFrame(1, sized, false), dataFrame(1, "abc", true)]);
  assert.equal(lines.at(-1), "1 data abc end");
});

const wideRequest = (fields: number): Fields => {
  return [...get, ...Array.from({ length: fields }, (_, i) => [`x-${i}`, "v".repeat(6_000)] as const)];
};
const splitBlock = (fields: Fields): Buffer[] => {
  const block = literals(fields);
  const frames = [frame(1, block.length > 16_000 ? 1 : 5, 1, block.subarray(0, 16_000))];
  for (let at = 16_000; at < block.length; at += 16_000) {
    frames.push(frame(9, at + 16_000 >= block.length ? 4 : 0, 1, block.subarray(at, at + 16_000)));
  }
  return frames;
};

test("a head of 60,500 bytes in CONTINUATION frames is taken", () => {
  const { lines } = runServer([...hello, ...splitBlock(wideRequest(10))]);
  assert.match(lines.at(-1) ?? "", /^1 request GET/);
});

test("a head beyond 60 KiB or 100 fields is answered 431 and the connection goes on", () => {
  const tooWide = [...wideRequest(10), ["x-more", "v".repeat(1_500)] as const];
  const tooMany: Fields = [...get, ...Array.from({ length: 97 }, (_, i) => [`x-${i}`, "v"] as const)];
  for (const fields of [tooWide, tooMany]) {
    const { out, lines } = runServer([...hello, ...splitBlock(fields.slice()), headersFrame(3, get)]);
    assert.deepEqual(out.slice(1), ["1 HEADERS :status=431 end"]);
    assert.deepEqual(lines.slice(1), ["1 refused: header fields too large", "3 request GET http://a.example/ [] end"]);
  }
});

test("a header block beyond 64 KiB encoded ends the connection", () => {
  const { out } = runServer([...hello, ...splitBlock(wideRequest(12))]);
  assert.equal(out.at(-1), "GOAWAY 0 ENHANCE_YOUR_CALM");
});

const runClient = (frames: readonly Buffer[], method = "GET"): { out: string[]; lines: string[] } => {
  const sink = new Recorder();
  const client = new Http2Connection({ role: "client", sink, nowMs: () => 0 });
  client.start();
  client.receive(settings);
  assert.equal(client.request(requestHead(method, "/"), method === "GET"), 1);
  const reader = new OutputReader();
  reader.read(client.takeOutput());
  for (const bytes of frames) client.receive(bytes);
  return { out: reader.read(client.takeOutput()), lines: sink.lines };
};

const ok: Fields = [[":status", "200"]];
const clientCases: readonly (readonly [what: string, frames: readonly Buffer[], answer: string])[] = [
  ["PUSH_PROMISE", [frame(5, 4, 1, "00000002")], "GOAWAY 0 PROTOCOL_ERROR"],
  ["a setting that allows push", [frame(4, 0, 0, "000200000001")], "GOAWAY 0 PROTOCOL_ERROR"],
  ["HEADERS on a stream it never opened", [headersFrame(3, ok)], "GOAWAY 0 PROTOCOL_ERROR"],
  ["HEADERS on an even stream", [headersFrame(2, ok)], "GOAWAY 0 PROTOCOL_ERROR"],
  ["DATA before the response's head", [dataFrame(1, "x")], "1 RST_STREAM PROTOCOL_ERROR"],
  ["a response without :status", [headersFrame(1, [["x", "y"]])], "1 RST_STREAM PROTOCOL_ERROR"],
  ["a response with :path", [headersFrame(1, [...ok, [":path", "/"]])], "1 RST_STREAM PROTOCOL_ERROR"],
  ["two :status", [headersFrame(1, [...ok, ...ok])], "1 RST_STREAM PROTOCOL_ERROR"],
  ["a status of two digits", [headersFrame(1, [[":status", "20"]])], "1 RST_STREAM PROTOCOL_ERROR"],
  ["a status of words", [headersFrame(1, [[":status", "200 OK"]])], "1 RST_STREAM PROTOCOL_ERROR"],
  ["status 101", [headersFrame(1, [[":status", "101"]], false)], "1 RST_STREAM PROTOCOL_ERROR"],
  ["an interim response that ends", [headersFrame(1, [[":status", "103"]])], "1 RST_STREAM PROTOCOL_ERROR"],
  ["transfer-encoding", [headersFrame(1, [...ok, ["transfer-encoding", "chunked"]])], "1 RST_STREAM PROTOCOL_ERROR"],
  ["a value with CR", [headersFrame(1, [...ok, ["x", "a\r"]])], "1 RST_STREAM PROTOCOL_ERROR"],
  [
    "a body longer than said",
    [headersFrame(1, [...ok, ["content-length", "1"]], false), dataFrame(1, "ab", true)],
    "1 RST_STREAM PROTOCOL_ERROR",
  ],
  [
    "a body in a 204",
    [headersFrame(1, [[":status", "204"]], false), dataFrame(1, "ab", true)],
    "1 RST_STREAM PROTOCOL_ERROR",
  ],
  [
    "101 fields",
    [headersFrame(1, [...ok, ...Array.from({ length: 100 }, (_, i) => [`x-${i}`, ""] as const)])],
    "1 RST_STREAM ENHANCE_YOUR_CALM",
  ],
];
for (const [what, frames, answer] of clientCases) {
  test(`a client answers ${answer} to ${what}`, () => {
    const { out, lines } = runClient(frames);
    assert.equal(out.at(-1), answer);
    assert.equal(lines.filter((line) => line === "1 over").length, 1);
    assert.equal(
      lines.some((line) => /^1 (response|data)/.test(line) && line.includes(" end")),
      false,
    );
  });
}

test("content-length of an answer to HEAD speaks of no body, and a body is refused", () => {
  const sized = headersFrame(1, [...ok, ["content-length", "5"]], true);
  assert.deepEqual(runClient([sized], "HEAD").lines.slice(1, 2), ["1 response 200 [content-length=5] end"]);
  const { out } = runClient([headersFrame(1, ok, false), dataFrame(1, "x", true)], "HEAD");
  assert.equal(out.at(-1), "1 RST_STREAM PROTOCOL_ERROR");
});
