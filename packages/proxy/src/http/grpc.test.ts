import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import {
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  status,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { meshTls, openMesh, type TestMesh, webUri } from "../runtime/testing/test-mesh.ts";
import { hcm, http2Upstream, openServer } from "../runtime/testing/test-plane.ts";

const bytes = (message: Buffer): Buffer => message;
const method = (name: string, requestStream: boolean, responseStream: boolean): MethodDefinition<Buffer, Buffer> => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});
const methods = {
  unary: method("Unary", false, false),
  fail: method("Fail", false, false),
  never: method("Never", false, false),
  many: method("Many", false, true),
  join: method("Join", true, false),
  chat: method("Chat", true, true),
};

const megabytes = 1024 * 1024;
const noLimit = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

/** The application; `never` tells when it was called and when that call was cancelled. */
const openApp = async () => {
  const cancelled = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const server = new Server(noLimit);
  const handlers: Record<keyof typeof methods, UntypedHandleCall> = {
    unary: ((call: ServerUnaryCall<Buffer, Buffer>, reply: (e: null, m: Buffer, t: Metadata) => void) => {
      const trailers = new Metadata();
      trailers.set("x-caller", String(call.metadata.get("x-caller")[0] ?? ""));
      reply(null, call.request, trailers);
    }) as UntypedHandleCall,
    fail: ((_call: unknown, reply: (e: object) => void) => {
      const metadata = new Metadata();
      metadata.set("x-why-bin", Buffer.from([0, 255]));
      reply({ code: status.NOT_FOUND, details: "nichts da: ü", metadata });
    }) as UntypedHandleCall,
    never: ((call: ServerUnaryCall<Buffer, Buffer>) => {
      call.on("cancelled", () => cancelled.resolve());
      started.resolve();
    }) as UntypedHandleCall,
    many: ((call: ServerWritableStream<Buffer, Buffer>) => {
      for (let i = 0; i < Number(call.request); i++) call.write(Buffer.from(String(i)));
      call.end();
    }) as UntypedHandleCall,
    join: ((call: ServerReadableStream<Buffer, Buffer>, reply: (e: null, m: Buffer) => void) => {
      const parts: Buffer[] = [];
      call.on("data", (part: Buffer) => parts.push(part));
      call.on("end", () => reply(null, Buffer.concat(parts)));
    }) as UntypedHandleCall,
    chat: ((call: ServerDuplexStream<Buffer, Buffer>) => {
      call.on("data", (part: Buffer) => call.write(Buffer.from(part).reverse()));
      call.on("end", () => call.end());
    }) as UntypedHandleCall,
  };
  server.addService(methods, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    );
  });
  return {
    port,
    cancelled: cancelled.promise,
    started: started.promise,
    [Symbol.dispose]: () => server.forceShutdown(),
  };
};

/** The real server behind two real sidecars, and a real client before them. */
const openAll = async (appPort: number, outbound: Partial<ClusterJson> = {}) => {
  const mesh = await openMesh({ appPort, outFilters: [hcm()], inFilters: [hcm()], upstream: http2Upstream, outbound });
  return Object.assign(mesh, { grpc: clientOf(mesh) });
};
const clientOf = ({ port }: TestMesh) =>
  new Client(`127.0.0.1:${port}`, credentials.createInsecure(), { ...noLimit, "grpc.enable_retries": 0 });

interface Answer {
  readonly message: Buffer | undefined;
  readonly error: ServiceError | undefined;
  readonly trailers: Metadata;
}

const ask = (
  grpc: Client,
  { path }: MethodDefinition<Buffer, Buffer>,
  message: Buffer,
  { metadata = new Metadata(), deadlineMs }: { readonly metadata?: Metadata; readonly deadlineMs?: number } = {},
) => {
  const done = Promise.withResolvers<Answer>();
  let answer: { message: Buffer | undefined; error: ServiceError | undefined } | undefined;
  const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
  const call = grpc.makeUnaryRequest(path, bytes, bytes, message, metadata, options, (error, reply) => {
    answer = { message: reply, error: error ?? undefined };
  });
  call.on("status", ({ metadata: trailers }) =>
    setImmediate(() => done.resolve({ message: answer?.message, error: answer?.error, trailers })),
  );
  return { call, answer: done.promise };
};

type All = Awaited<ReturnType<typeof openAll>> & Pick<Awaited<ReturnType<typeof openApp>>, "cancelled" | "started">;

const withMesh = async (use: (all: All) => Promise<void>) => {
  using app = await openApp();
  await using all = await openAll(app.port);
  try {
    await use(Object.assign(all, { cancelled: app.cancelled, started: app.started }));
  } finally {
    all.grpc.close();
  }
};

test("a unary call passes two sidecars with its metadata and trailers, and calls share connections", () =>
  withMesh(async ({ grpc, client, server }) => {
    const metadata = new Metadata();
    metadata.set("x-caller", "me");
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => ask(grpc, methods.unary, Buffer.from(`m${i}`), { metadata }).answer),
    );
    answers.forEach(({ message, trailers, error }, i) => {
      assert.equal(error, undefined);
      assert.equal(String(message), `m${i}`);
      assert.deepEqual(trailers.get("x-caller"), ["me"]);
    });
    for (const { plane } of [client, server]) assert.equal(plane.clusters()[0]?.counters.upstreamCxTotal, 1);
  }));

test("an application's error arrives with its code, its message and its binary metadata", () =>
  withMesh(async ({ grpc }) => {
    const { error } = await ask(grpc, methods.fail, Buffer.alloc(0)).answer;
    assert.deepEqual([error?.code, error?.details], [status.NOT_FOUND, "nichts da: ü"]);
    assert.deepEqual(error?.metadata.get("x-why-bin"), [Buffer.from([0, 255])]);
    const missing = { ...methods.unary, path: "/test.Echo/Nothing" };
    assert.equal((await ask(grpc, missing, Buffer.alloc(0)).answer).error?.code, status.UNIMPLEMENTED);
  }));

test("streams of the server, of the client and of both pass in order", () =>
  withMesh(async ({ grpc }) => {
    const many = grpc.makeServerStreamRequest(methods.many.path, bytes, bytes, Buffer.from("500"));
    const got: string[] = [];
    for await (const part of many) got.push(String(part));
    assert.deepEqual(
      got,
      Array.from({ length: 500 }, (_, i) => String(i)),
    );

    const joined = Promise.withResolvers<Buffer | undefined>();
    const join = grpc.makeClientStreamRequest(methods.join.path, bytes, bytes, (error, reply) =>
      error ? joined.reject(error) : joined.resolve(reply),
    );
    for (let i = 0; i < 100; i++) join.write(Buffer.from(`${i},`));
    join.end();
    assert.equal(String(await joined.promise), Array.from({ length: 100 }, (_, i) => `${i},`).join(""));

    const chat = grpc.makeBidiStreamRequest(methods.chat.path, bytes, bytes);
    for (const word of ["abc", "def", "ghi"]) {
      chat.write(Buffer.from(word));
      const [part] = (await once(chat, "data")) as [Buffer];
      assert.equal(String(part), [...word].reverse().join(""));
    }
    chat.end();
    const [end] = (await once(chat, "status")) as [{ code: number }];
    assert.equal(end.code, status.OK);
  }));

test("large messages pass both ways", () =>
  withMesh(async ({ grpc }) => {
    const large = Buffer.alloc(12 * megabytes, "0123456789abcdef");
    const { message, error } = await ask(grpc, methods.unary, large).answer;
    assert.equal(error, undefined);
    assert.ok(message?.equals(large));
  }));

test("a deadline ends the call at the client and at the server", () =>
  withMesh(async ({ grpc, cancelled, client, server }) => {
    const { error } = await ask(grpc, methods.never, Buffer.alloc(0), { deadlineMs: 1000 }).answer;
    assert.equal(error?.code, status.DEADLINE_EXCEEDED);
    await cancelled;
    await settled(client.plane.clusters()[0]);
    await settled(server.plane.clusters()[0]);
  }));

test("a cancelled call is cancelled at the server, and the next one is served", () =>
  withMesh(async ({ grpc, cancelled, started, client }) => {
    const { call, answer } = ask(grpc, methods.never, Buffer.alloc(0));
    await started;
    call.cancel();
    assert.equal((await answer).error?.code, status.CANCELLED);
    await cancelled;
    assert.equal(String((await ask(grpc, methods.unary, Buffer.from("again")).answer).message), "again");
    await settled(client.plane.clusters()[0]);
    assert.equal(client.plane.clusters()[0]?.counters.upstreamCxTotal, 1);
  }));

test("an application that cannot be reached is UNAVAILABLE", async () => {
  const gone = await openServer(() => {});
  await gone[Symbol.asyncDispose]();
  await using all = await openAll(gone.port);
  const { error } = await ask(all.grpc, methods.unary, Buffer.alloc(0)).answer;
  all.grpc.close();
  assert.equal(error?.code, status.UNAVAILABLE);
  assert.match(error?.details ?? "", /connect error/);
});

test("a sidecar that cannot be reached is UNAVAILABLE, and so is one that is not who was asked for", async () => {
  using app = await openApp();
  await using gone = await openAll(app.port);
  await gone.server.plane.close();
  await using other = await openAll(app.port, meshTls(webUri));
  for (const { grpc } of [gone, other]) {
    const { error } = await ask(grpc, methods.unary, Buffer.alloc(0)).answer;
    grpc.close();
    assert.equal(error?.code, status.UNAVAILABLE);
  }
});

/** Nothing of the cluster is in use any more. */
const settled = async (cluster: { readonly load: { readonly requests: number } } | undefined): Promise<void> => {
  while (cluster !== undefined && cluster.load.requests > 0) await new Promise(setImmediate);
};
