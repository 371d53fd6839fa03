/** A listener that changes again and again under connections that stand. */
import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { test } from "node:test";
import { any } from "@weft/xds/resource";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

const rounds = 20;
const clients = 3;

const routerName = "envoy.extensions.filters.http.router.v3.Router";
const router = { name: "envoy.filters.http.router", typedConfig: any(routerName, {}) };
const corsName = "envoy.extensions.filters.http.cors.v3.Cors";
const cors = { name: "envoy.filters.http.cors", typedConfig: any(corsName, {}) };
const logAs = (word: string) => [
  {
    name: "envoy.access_loggers.stdout",
    typedConfig: any("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", {
      logFormat: { textFormatSource: { inlineString: `${word} %RESPONSE_CODE%` } },
    }),
  },
];
/** Every other time with another filter, another log format and another limit. */
const changed = (round: number) => {
  const odd = round % 2 === 1;
  return listener("in", [
    hcm({
      accessLog: logAs(odd ? "odd" : "even"),
      httpFilters: odd ? [cors, router] : [router],
      maxRequestHeadersKb: odd ? 60 : 50,
    }),
  ]);
};

test("filters, log format and limits change under load, and no request fails and no connection closes", async () => {
  await using app = await openServer((socket) =>
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")),
  );
  await using all = openPlane();
  await all.put(cluster("app", [app.port]), routes([toCluster("app")]), changed(0));
  const port = all.portOf("in");
  let answered = 0;
  let running = true;
  const failures: string[] = [];
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  let goaways = 0;
  session.on("goaway", () => goaways++);
  const ask1 = (): Promise<number> =>
    new Promise((resolve) => {
      const asked = request({ port, agent }, (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
      });
      asked.on("error", (error) => {
        failures.push(error.message);
        resolve(0);
      });
      asked.end();
    });
  const ask2 = (): Promise<number> =>
    new Promise((resolve) => {
      const stream = session.request({ ":path": "/" });
      let status = 0;
      stream.on("response", (headers) => {
        status = Number(headers[":status"]);
      });
      stream.on("error", (error) => failures.push(error.message));
      stream.resume();
      stream.on("close", () => resolve(status));
    });
  const loop = async (ask: () => Promise<number>): Promise<void> => {
    while (running) {
      const status = await ask();
      answered++;
      if (status !== 200) failures.push(String(status));
    }
  };
  const loops = [ask1, ask2].flatMap((ask) => Array.from({ length: clients }, () => loop(ask)));
  for (let round = 1; round <= rounds; round++) {
    const at = answered;
    await all.put(changed(round));
    while (answered < at + 20 && failures.length === 0) await new Promise(setImmediate);
  }
  running = false;
  await Promise.all(loops);
  assert.deepEqual(failures, []);
  assert.equal(goaways, 0);
  assert.equal(all.stats.counter("http.test.downstream_cx_total").value, clients + 1);
  const words = new Set(all.logLines);
  assert.deepEqual([...words].sort(), ["even 200", "odd 200"]);
  assert.equal(all.logLines.length, answered, "each request has its line, in one format or the other");
  agent.destroy();
  session.destroy();
});
