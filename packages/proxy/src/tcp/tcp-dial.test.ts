import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock, setRealTimer } from "@weft/net/clock";
import { SocketLoop } from "@weft/net/tcp/socket-loop";
import type { DownstreamInfo } from "../http/exchange.ts";
import type { PoolTools } from "../pool/pool-tools.ts";
import { reserveConnection } from "../pool/upstream-slots.ts";
import { cluster as clusterOf, openPlane, openServer } from "../runtime/testing/test-plane.ts";
import { TimerWheel } from "../timers/timer-wheel.ts";
import { TcpDial } from "./tcp-dial.ts";
import type { LinkOwner } from "./upstream-link.ts";

test("a server that ended and reads no more is left with what waits for it only so long", async () => {
  await using server = await openServer((socket) => socket.pause().end());
  await using all = openPlane();
  await all.put(clusterOf("app", [server.port]));
  const cluster = all.plane.clusters()[0] ?? assert.fail();
  const host = cluster.hosts()[0] ?? assert.fail();
  const wheel = new TimerWheel(realClock, setRealTimer);
  const pools: Partial<PoolTools> = { loop: new SocketLoop(), wheel };
  const [dialed, ended, closed] = [0, 1, 2].map(() => Promise.withResolvers<void>());
  const owner: LinkOwner = {
    onDialed: () => dialed?.resolve(),
    onNotDialed: () => dialed?.reject(new Error("not dialled")),
    onServerRead() {},
    onServerEnd: () => ended?.resolve(),
    onServerDrain() {},
    onServerClose: () => closed?.resolve(),
  };
  const tools = { wheel, pools: pools as PoolTools };
  const dial = new TcpDial(tools, { cluster, host, downstream: {} as DownstreamInfo }, owner);
  assert.ok(reserveConnection(cluster, host));
  assert.equal(dial.start(), undefined);
  await dialed?.promise;
  await ended?.promise;
  dial.write(Buffer.alloc(16 * 1024 * 1024));
  dial.endWithin(20);
  await closed?.promise;
  assert.deepEqual([cluster.load.connections, cluster.counters.upstreamCxActive], [0, 0]);
});
