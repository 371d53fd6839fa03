/** What a gRPC server is told of the time it has, try by try. */
import assert from "node:assert/strict";
import { connect, createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { cluster, hcm, http2Upstream, listener, openPlane, routes, toCluster } from "../runtime/testing/test-plane.ts";

/** Answers UNAVAILABLE until it was asked `tries` times; remembers each `grpc-timeout`. */
const openApp = async (tries: number) => {
  const told: (string | undefined)[] = [];
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    told.push(headers["grpc-timeout"] as string | undefined);
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": told.length < tries ? "14" : "0" },
      { endStream: true },
    );
  });
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    told,
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

const call = async (port: number, headers: Readonly<Record<string, string>>): Promise<IncomingHttpHeaders> => {
  const session = connect(`http://127.0.0.1:${port}`);
  const stream = session.request({
    ":method": "POST",
    ":path": "/a/B",
    "content-type": "application/grpc",
    ...headers,
  });
  stream.end();
  stream.resume();
  const answer = await new Promise<IncomingHttpHeaders>((resolve, reject) => {
    stream.on("response", resolve);
    stream.on("error", reject);
  });
  session.destroy();
  return answer;
};

const retryPolicy = { retryOn: "unavailable", numRetries: 2, retryBackOff: { baseInterval: "0.001s" } };
const millis = (told: string | undefined): number => Number(/^(\d+)m$/.exec(told ?? "")?.[1]);

const openAll = async (port: number, action: object) => {
  const all = openPlane();
  await all.put(
    cluster("app", [port], http2Upstream),
    routes([toCluster("app", { timeout: "0s", ...action })]),
    listener("in", [hcm()]),
  );
  return all;
};

test("each try is told what is left of the deadline, never more", async () => {
  await using app = await openApp(3);
  await using all = await openAll(app.port, { maxGrpcTimeout: "0s", retryPolicy });
  const answer = await call(all.portOf("in"), { "grpc-timeout": "5S" });
  assert.equal(answer["grpc-status"], "0");
  assert.equal(app.told.length, 3);
  const times = app.told.map(millis);
  assert.equal(times[0], 5000);
  assert.ok(
    times.every((ms, i) => ms > 0 && ms <= (times[i - 1] ?? 5000)),
    app.told.join(),
  );
});

test("a try with a timeout of its own is told that", async () => {
  await using app = await openApp(2);
  await using all = await openAll(app.port, {
    maxGrpcTimeout: "0s",
    retryPolicy: { ...retryPolicy, perTryTimeout: "0.7s" },
  });
  await call(all.portOf("in"), { "grpc-timeout": "5S" });
  assert.deepEqual(app.told, ["700m", "700m"]);
});

test("a cap of the route is told, and a route that leaves deadlines alone passes them on as they came", async () => {
  await using capped = await openApp(1);
  await using all = await openAll(capped.port, { maxGrpcTimeout: "2s" });
  await call(all.portOf("in"), { "grpc-timeout": "1H" });
  assert.deepEqual(capped.told, ["2000m"]);
  await using plain = await openApp(1);
  await using other = await openAll(plain.port, {});
  await call(other.portOf("in"), { "grpc-timeout": "1H" });
  assert.deepEqual(plain.told, ["1H"]);
});

test("a deadline that passes while the server sleeps is UNAVAILABLE or past, and the server is told to stop", async () => {
  const server = createServer();
  const stopped = Promise.withResolvers<number>();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    stream.on("close", () => stopped.resolve(stream.rstCode));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await using all = await openAll((server.address() as { port: number }).port, { maxGrpcTimeout: "0s" });
  const answer = await call(all.portOf("in"), { "grpc-timeout": "50m" });
  assert.equal(answer["grpc-status"], "14");
  assert.equal(await stopped.promise, 8);
  server.close();
});
