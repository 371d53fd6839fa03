import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { realClock, setRealTimer } from "@weft/net/clock";
import { any } from "@weft/xds/resource";
import { listener, openPlane } from "../runtime/testing/test-plane.ts";
import { answeredLingerMs } from "./serve.ts";

const name = "envoy.extensions.filters.network.direct_response.v3.Config";
const answering = [{ name: "answer", typedConfig: any(name, { response: { inlineString: "hello" } }) }];

test("a client that was told everything and never ends its side is let go", async () => {
  let skewMs = 0;
  await using all = openPlane({
    clock: { ...realClock, nowMs: () => realClock.nowMs() + skewMs },
    setTimer: (run, delayMs) => setRealTimer(run, Math.min(delayMs, 5)),
  });
  await all.put(listener("in", answering));
  const socket = connect({ port: all.portOf("in"), host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {});
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
  });
  await new Promise((resolve) => socket.once("end", resolve));
  assert.equal(text, "hello");
  assert.equal(all.plane.listeners()[0]?.connections, 1, "it waits for the client");
  skewMs = answeredLingerMs + 1_000;
  while (all.plane.listeners()[0]?.connections !== 0) await new Promise((resolve) => setImmediate(resolve));
  socket.destroy();
});
