/** SIGTERM under load: every protocol finishes what it began and no request is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startApp } from "./data-path/app.ts";
import { startProxy } from "./data-path/bootstrap.ts";
import {
  createHttp1Client,
  createHttp2Client,
  gone,
  type Outcome,
  openEcho,
  openGrpcStream,
} from "./data-path/clients.ts";

const drainSeconds = 20;

test("SIGTERM under load of every protocol fails no request and cuts no stream", async () => {
  await using app = await startApp();
  await using proxy = await startProxy(app, { args: ["--drain-time", String(drainSeconds)] });
  const { ports, program } = proxy;
  const failures: string[] = [];
  let answered = 0;
  let left = 0;
  const note = (who: string, outcome: Outcome): boolean => {
    if (outcome === gone) {
      left++;
      return false;
    }
    if (outcome === undefined) answered++;
    else failures.push(`${who}: ${outcome}`);
    return outcome === undefined;
  };
  const loop = async (who: string, call: () => Promise<Outcome>): Promise<void> => {
    while (note(who, await call()));
  };
  const clients = [
    ...Array.from({ length: 4 }, () => ({ who: "http1", ...createHttp1Client(ports.http1) })),
    ...Array.from({ length: 4 }, () => ({ who: "http2", ...createHttp2Client(ports.http2) })),
  ];
  const loops = clients.map(({ who, call }) => loop(who, () => call()));
  const grpc = openGrpcStream(ports.http2);
  const websocket = await openEcho(ports.http1, true);
  const tcp = await openEcho(ports.tcp, false);
  assert.equal(websocket.opening, undefined);
  const streams = [
    { who: "grpc", say: grpc.say },
    { who: "websocket", say: websocket.say },
    { who: "tcp", say: tcp.say },
  ];
  for (const { who, say } of streams) note(who, await say());
  while (answered < 200 && failures.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  program.kill("SIGTERM");
  await program.waitFor(/stopping/);
  await Promise.all(loops);
  assert.equal(left, clients.length, "every client was told to go, and went");
  // Streams go on while the proxy drains, until their clients are done with them.
  for (let i = 0; i < 5; i++) for (const { who, say } of streams) note(who, await say());
  note("grpc", await grpc.finish());
  await websocket.close();
  await tcp.close();
  for (const { close } of clients) close();
  assert.equal(await program.exited, 0, "it leaves as soon as nothing is open");
  assert.deepEqual(failures, []);
});
