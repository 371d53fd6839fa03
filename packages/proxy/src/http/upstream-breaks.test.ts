/** An upstream that breaks at every point of its answer: what the client sees, and when it is tried again. */
import assert from "node:assert/strict";
import { connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

const chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n";
const sized = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";

/** What an upstream says before it breaks, and whether the client has seen a response by then. */
const points: readonly (readonly [where: string, said: string, begun: boolean])[] = [
  ["before the head", "", false],
  ["in the status line", "HTTP/1.1 20", false],
  ["in the head", "HTTP/1.1 200 OK\r\ncontent-le", false],
  ["after an interim response", "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", false],
  ["after the head", sized, true],
  ["in a body of known length", `${sized}12345`, true],
  ["one byte before the end", `${sized}123456789`, true],
  ["in a chunk's size", `${chunked}1`, true],
  ["in a chunk", `${chunked}a\r\n12345`, true],
  ["between chunks", `${chunked}5\r\n12345\r\n`, true],
  ["in the trailers", `${chunked}5\r\n12345\r\n0\r\nx-en`, true],
];

const ends: readonly (readonly [how: string, end: (socket: Socket) => void])[] = [
  ["resets", (socket) => void socket.resetAndDestroy()],
  ["ends", (socket) => void socket.end()],
];

const open = async (said: string, end: (socket: Socket) => void, action: object) => {
  let attempts = 0;
  const app = await openServer((socket) =>
    socket.on("data", () => {
      attempts++;
      if (said === "") end(socket);
      else socket.write(said, () => end(socket));
    }),
  );
  const all = openPlane();
  await all.put(cluster("app", [app.port]), routes([toCluster("app", action)]), listener("in", [hcm()]));
  return {
    port: all.portOf("in"),
    attempts: () => attempts,
    load: () => all.plane.clusters()[0]?.load,
    [Symbol.asyncDispose]: async () => {
      await all.plane.close();
      await app[Symbol.asyncDispose]();
    },
  };
};

const ask1 = (port: number): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n"));
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (/HTTP\/1\.1 50\d.*\r\n\r\n./s.test(text)) socket.end();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });

/** The status and how the stream ended: `whole`, or the code it was reset with. */
const ask2 = (port: number): Promise<{ status: number; end: string }> =>
  new Promise((resolve) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const stream = session.request({ ":path": "/" });
    let status = 0;
    stream.on("response", (headers) => {
      status = Number(headers[":status"]);
    });
    stream.resume();
    stream.on("error", () => {});
    stream.on("close", () => {
      const end = stream.rstCode === constants.NGHTTP2_NO_ERROR ? "whole" : String(stream.rstCode);
      session.destroy();
      resolve({ status, end });
    });
  });

const isWhole = (answer: string): boolean => {
  const [head = "", body = ""] = answer.split(/\r\n\r\n(.*)/s);
  const length = /content-length: (\d+)/.exec(head)?.[1];
  return length === undefined ? /(^|\r\n)0\r\n(.*\r\n)?\r\n$/s.test(body) : body.length === Number(length);
};

for (const [how, end] of ends) {
  for (const [where, said, begun] of points) {
    test(`an upstream that ${how} ${where} is never taken for a whole answer`, async () => {
      await using all = await open(said, end, { retryPolicy: { retryOn: "5xx,reset", numRetries: 1 } });
      const answer = await ask1(all.port);
      const final = answer.slice(answer.lastIndexOf("HTTP/1.1 "));
      if (begun) {
        assert.match(final, /^HTTP\/1\.1 200 /);
        assert.equal(isWhole(final), false, JSON.stringify(final));
        assert.equal(all.attempts(), 1, "nothing is tried again after the first byte");
      } else {
        assert.match(final, /^HTTP\/1\.1 50[23] /);
        assert.equal(all.attempts(), 2, "it was tried once more");
      }
      const before = all.attempts();
      const over2 = await ask2(all.port);
      if (begun) {
        assert.equal(over2.status, 200);
        assert.notEqual(over2.end, "whole");
        assert.equal(all.attempts(), before + 1);
      } else assert.ok(over2.status >= 502 && over2.end === "whole", JSON.stringify(over2));
      assert.deepEqual([all.load()?.requests, all.load()?.pendingRequests, all.load()?.retries], [0, 0, 0]);
    });
  }
}

test("an upstream that refuses everything is asked a fifth more, not many times more", async () => {
  const requests = 50;
  const asked: Socket[] = [];
  let attempts = 0;
  await using app = await openServer((socket) =>
    socket.on("data", () => {
      attempts++;
      const refuse = (each: Socket): void => {
        each.write("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
      };
      // All of them are in flight before the first is refused.
      if (attempts > requests) refuse(socket);
      else if (asked.push(socket) === requests) for (const each of asked) refuse(each);
    }),
  );
  await using all = openPlane();
  await all.put(
    cluster("app", [app.port], {
      circuitBreakers: {
        thresholds: [{ retryBudget: { budgetPercent: { value: 20 }, minRetryConcurrency: 1 } }],
      },
    }),
    routes([toCluster("app", { retryPolicy: { retryOn: "5xx", numRetries: 5 } })]),
    listener("in", [hcm()]),
  );
  const answers = await Promise.all(Array.from({ length: requests }, () => ask1Closing(all.portOf("in"))));
  assert.ok(answers.every((answer) => /^HTTP\/1\.1 503 /.test(answer)));
  const { counters, load } = all.plane.clusters()[0] ?? assert.fail();
  assert.ok(attempts <= requests * 1.2 + 5, `${attempts} attempts for ${requests} requests`);
  assert.ok(counters.upstreamRqRetryOverflow >= requests - 10);
  assert.equal(load.retries, 0);
});

const ask1Closing = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () =>
      socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
    );
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("error", reject);
    socket.on("end", () => resolve(text));
  });

test("an answer that comes as the try's time is over is given once, by one of the tries", async () => {
  const held: Socket[] = [];
  await using app = await openServer((socket) => socket.on("data", () => held.push(socket)));
  await using all = openPlane();
  await all.put(
    cluster("app", [app.port]),
    routes([toCluster("app", { retryPolicy: { retryOn: "5xx", numRetries: 1, perTryTimeout: "0.05s" } })]),
    listener("in", [hcm()]),
  );
  const answer = ask1Closing(all.portOf("in"));
  while (held.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
  // The first try was given up: what it still says belongs to nobody.
  held[0]?.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst");
  held[1]?.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond");
  assert.match(await answer, /second$/);
  const { counters, load } = all.plane.clusters()[0] ?? assert.fail();
  assert.equal(counters.upstreamRqPerTryTimeout, 1);
  assert.deepEqual([load.requests, load.retries], [0, 0]);
});
