/**
 * Load of every protocol at once, a hundredth of it made to fail by the application, for WEFT_SOAK_SECONDS: no other
 * request fails, and what the proxy holds goes back to what it held.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startApp } from "./data-path/app.ts";
import { startProxy } from "./data-path/bootstrap.ts";
import {
  createHttp1Client,
  createHttp2Client,
  type Fault,
  gone,
  type Outcome,
  openEcho,
  openGrpcStream,
} from "./data-path/clients.ts";
import { heldBytes, residentBytes, residentSlackBytes, watched } from "./hostile.ts";

const seconds = Number(process.env.WEFT_SOAK_SECONDS ?? "20");
const faults: readonly Fault[] = ["reset", "503", "slow"];
const oneIn = 100;
/** Requests at a time over each HTTP/2 connection. */
const streams = 4;
const heldGrowthMax = 4 * 1024 * 1024;

const openFilesOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

test(`mixed load with faults for ${seconds} s: no error of ours, and nothing is kept`, async (t) => {
  await using app = await startApp();
  await using proxy = await startProxy(app, { program: watched });
  const { admin, ports, program } = proxy;
  const failures: string[] = [];
  const counts = new Map<string, number>();
  let faulted = 0;
  let untilMs = 0;
  const running = (): boolean => performance.now() < untilMs && failures.length < 20;
  const note = (who: string, outcome: Outcome): void => {
    counts.set(who, (counts.get(who) ?? 0) + 1);
    if (outcome !== undefined) failures.push(`${who}: ${outcome}`);
  };
  let drawn = 0;
  const draw = (): Fault => {
    if (++drawn % oneIn !== 0) return "";
    faulted++;
    return faults[(drawn / oneIn) % faults.length] ?? "";
  };
  const http1 = async (): Promise<void> => {
    const client = createHttp1Client(ports.http1);
    while (running()) note("http1", await client.call(draw()));
    client.close();
  };
  const http2 = async (): Promise<void> => {
    const client = createHttp2Client(ports.http2);
    const one = async (): Promise<void> => {
      while (running()) {
        const outcome = await client.call(draw());
        note("http2", outcome === gone ? "the proxy said GOAWAY" : outcome);
      }
    };
    await Promise.all(Array.from({ length: streams }, one));
    client.close();
  };
  const grpc = async (): Promise<void> => {
    while (running()) {
      const stream = openGrpcStream(ports.http2);
      for (let i = 0; i < 20; i++) note("grpc", await stream.say());
      note("grpc", await stream.finish());
      stream.destroy();
    }
  };
  const echo = (who: string, port: number, websocket: boolean) => async (): Promise<void> => {
    while (running()) {
      const stream = await openEcho(port, websocket);
      note(who, stream.opening);
      for (let i = 0; i < 10; i++) note(who, await stream.say());
      await stream.close();
    }
  };
  const kinds = [http1, http1, http2, grpc, echo("websocket", ports.http1, true), echo("tcp", ports.tcp, false)];
  const load = async (forSeconds: number): Promise<void> => {
    untilMs = performance.now() + forSeconds * 1000;
    await Promise.all(kinds.map((run) => run()));
  };
  /** Waits until no connection of any client or to any application stands. */
  const rest = (): Promise<number> => {
    app.dropAll();
    return eventually("connections end", async () => {
      const { body } = await callHttp(admin, { path: "/stats?filter=cx_active$" });
      const sum = [...body.matchAll(/^(?:cluster|http|tcp)\..*: (\d+)$/gm)].reduce((all, [, n]) => all + Number(n), 0);
      return sum === 0 ? openFilesOf(program.pid) : undefined;
    });
  };

  // A part of it first: pools, compiled code and caches are part of a proxy at work.
  await load(Math.min(5, seconds / 4));
  const filesBefore = await rest();
  const heldBefore = await heldBytes(program);
  const residentBefore = residentBytes(program);
  await load(seconds);
  const filesAfter = await rest();
  const held = (await heldBytes(program)) - heldBefore;
  const resident = residentBytes(program) - residentBefore;
  const total = [...counts].map(([who, count]) => `${count} ${who}`).join(", ");
  const [heldText, residentText] = [held, resident].map((bytes) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`);
  t.diagnostic(`${total}; ${faulted} made to fail; ${heldText} more are held, ${residentText} more are resident`);
  assert.ok(held <= heldGrowthMax && resident <= residentSlackBytes, `${heldText} held, ${residentText} resident`);
  assert.deepEqual(failures, []);
  assert.ok(faulted > 0 && ["http1", "http2", "grpc", "websocket", "tcp"].every((who) => (counts.get(who) ?? 0) > 0));
  assert.ok(filesAfter <= filesBefore + 2, `${filesBefore} open files became ${filesAfter}`);
});
