/** gRPC-Web through a proxy, from HTTP/1.1 and from HTTP/2, to a real gRPC server. */
import assert from "node:assert/strict";
import { connect } from "node:http2";
import { test } from "node:test";
import { Metadata, Server, ServerCredentials, type ServerUnaryCall, type UntypedHandleCall } from "@grpc/grpc-js";
import { any } from "@weft/xds/resource";
import { cluster, hcm, http2Upstream, listener, openPlane, routes, toCluster } from "../runtime/testing/test-plane.ts";

const bytes = (message: Buffer): Buffer => message;
const raw = {
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
};
const methods = {
  echo: { path: "/test.Echo/Unary", requestStream: false, responseStream: false, ...raw },
  fail: { path: "/test.Echo/Fail", requestStream: false, responseStream: false, ...raw },
};

const openApp = async () => {
  const server = new Server();
  server.addService(methods, {
    echo: ((call: ServerUnaryCall<Buffer, Buffer>, reply: (e: null, m: Buffer, t: Metadata) => void) => {
      const trailers = new Metadata();
      trailers.set("x-caller", String(call.metadata.get("x-caller")[0] ?? ""));
      reply(null, call.request, trailers);
    }) as UntypedHandleCall,
    fail: ((_call: unknown, reply: (e: object) => void) => reply({ code: 5, details: "gone" })) as UntypedHandleCall,
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    );
  });
  return { port, [Symbol.dispose]: () => server.forceShutdown() };
};

const openAll = async (port: number) => {
  const all = openPlane();
  const filter = (name: string, message: string) => ({
    name: `envoy.filters.http.${name}`,
    typedConfig: any(`envoy.extensions.filters.http.${name}.v3.${message}`, {}),
  });
  const httpFilters = [filter("grpc_web", "GrpcWeb"), filter("grpc_stats", "FilterConfig"), filter("router", "Router")];
  await all.put(
    cluster("app", [port], http2Upstream),
    routes([toCluster("app")]),
    listener("in", [hcm({ httpFilters })]),
  );
  return all;
};

const frame = (message: string): Buffer =>
  Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), Buffer.from(message)]);

/** The messages and the trailers of a gRPC-Web body. */
const read = (body: Buffer): { messages: string[]; trailers: string } => {
  const messages: string[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    const text = body.toString("latin1", at + 5, end);
    if (body[at] === 0x80) return { messages, trailers: text };
    messages.push(text);
    at = end;
  }
  return { messages, trailers: "" };
};
/** Parts that were padded each alone. */
const fromText = (text: string): Buffer =>
  Buffer.concat((text.match(/[^=]+={0,2}/g) ?? []).map((part) => Buffer.from(part, "base64")));

const post = (port: number, path: string, type: string, body: Buffer | string, headers: object = {}) =>
  fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", body, headers: { "content-type": type, ...headers } });

test("a binary call from HTTP/1.1 has its message, its trailers and its metadata", async () => {
  using app = await openApp();
  await using all = await openAll(app.port);
  const answer = await post(all.portOf("in"), methods.echo.path, "application/grpc-web+proto", frame("hello"), {
    "x-caller": "browser",
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "application/grpc-web+proto");
  const { messages, trailers } = read(Buffer.from(await answer.arrayBuffer()));
  assert.deepEqual(messages, ["hello"]);
  assert.match(trailers, /grpc-status:0\r\n/);
  assert.match(trailers, /x-caller:browser\r\n/);
  const counted = (name: string): number => all.stats.counter(`cluster.app.grpc.${name}`).value;
  assert.deepEqual(
    [counted("success"), counted("request_message_count"), counted("response_message_count")],
    [1, 1, 1],
  );
});

test("a text call is base64 both ways", async () => {
  using app = await openApp();
  await using all = await openAll(app.port);
  const body = frame("hello").toString("base64");
  const answer = await post(all.portOf("in"), methods.echo.path, "application/grpc-web-text", body);
  assert.equal(answer.headers.get("content-type"), "application/grpc-web-text+proto");
  const { messages, trailers } = read(fromText(await answer.text()));
  assert.deepEqual(messages, ["hello"]);
  assert.match(trailers, /grpc-status:0\r\n/);
});

test("binary may ask for text, by HTTP/2 too", async () => {
  using app = await openApp();
  await using all = await openAll(app.port);
  const session = connect(`http://127.0.0.1:${all.portOf("in")}`);
  const stream = session.request({
    ":method": "POST",
    ":path": methods.echo.path,
    "content-type": "application/grpc-web",
    accept: "application/grpc-web-text",
  });
  stream.end(frame("hi"));
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  session.destroy();
  assert.deepEqual(read(fromText(Buffer.concat(parts).toString("latin1"))).messages, ["hi"]);
});

test("an error of the application is in the trailers frame or the head, and a missing server is UNAVAILABLE", async () => {
  const app = await openApp();
  await using all = await openAll(app.port);
  const answer = await post(all.portOf("in"), methods.fail.path, "application/grpc-web", frame(""));
  const { trailers } = read(Buffer.from(await answer.arrayBuffer()));
  assert.match(`${trailers}grpc-status:${answer.headers.get("grpc-status")}`, /grpc-status:5/);
  app[Symbol.dispose]();
  const none = await post(all.portOf("in"), methods.echo.path, "application/grpc-web", frame("x"));
  assert.equal(none.status, 200);
  assert.equal(none.headers.get("grpc-status"), "14");
  assert.equal(none.headers.get("content-type"), "application/grpc-web+proto");
});

for (const [what, body] of [
  ["is not base64", "!!!!"],
  ["ends in the middle", `${frame("hello").toString("base64")}YW`],
] as const) {
  test(`a text call whose body ${what} is refused`, async () => {
    using app = await openApp();
    await using all = await openAll(app.port);
    const answer = await post(all.portOf("in"), methods.echo.path, "application/grpc-web-text", body);
    assert.equal(answer.headers.get("grpc-status"), "13");
    assert.match(answer.headers.get("grpc-message") ?? "", /invalid base64/);
  });
}

test("other requests pass the filter untouched", async () => {
  using app = await openApp();
  await using all = await openAll(app.port);
  const answer = await post(all.portOf("in"), "/x", "application/json", "{}");
  assert.notEqual(answer.status, 400);
  assert.equal(answer.headers.get("content-type")?.includes("grpc-web") ?? false, false);
});
