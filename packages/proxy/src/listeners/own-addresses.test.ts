import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { encodeProxyV1 } from "@weft/protocols/proxy-protocol/encode";
import { any } from "@weft/xds/resource";
import { cluster, listener, openPlane, openServer, tcpProxy } from "../runtime/testing/test-plane.ts";
import { isOwnAddress } from "./own-addresses.ts";

const at = (host: string, port: number, useOriginalDst = false) => ({
  bound: [{ host, port }],
  config: { useOriginalDst },
});
const machine = () => ["127.0.0.1", "10.1.2.3", "::1", "fd00::5"];

test("a listener is at its address however that is written, and at no other", () => {
  const own = (address: string, ...listeners: ReturnType<typeof at>[]) => isOwnAddress(address, listeners, machine);
  const cases: readonly (readonly [boolean, string, ReturnType<typeof at>])[] = [
    [true, "10.1.2.3:80", at("10.1.2.3", 80)],
    [true, "[::ffff:10.1.2.3]:80", at("10.1.2.3", 80)],
    [true, "[::ffff:a01:203]:80", at("10.1.2.3", 80)],
    [true, "[fd00:0::0005]:80", at("fd00::5", 80)],
    [false, "10.1.2.3:81", at("10.1.2.3", 80)],
    [false, "10.1.2.4:80", at("10.1.2.3", 80)],
    [true, "10.1.2.3:80", at("0.0.0.0", 80)],
    [true, "127.9.9.9:80", at("0.0.0.0", 80)],
    [true, "0.0.0.0:80", at("0.0.0.0", 80)],
    [true, "[::]:80", at("::", 80)],
    [true, "0.0.0.0:80", at("127.0.0.1", 80)],
    [true, "10.1.2.3:80", at("::", 80)],
    [true, "[fd00::5]:80", at("::", 80)],
    [false, "10.9.9.9:80", at("0.0.0.0", 80)],
    [true, "10.9.9.9:15001", at("0.0.0.0", 15001, true)],
    [false, "10.9.9.9:443", at("0.0.0.0", 15001, true)],
    [false, "nonsense", at("0.0.0.0", 80)],
    [false, "nonsense:80", at("0.0.0.0", 80)],
  ];
  for (const [expected, address, one] of cases)
    assert.equal(own(address, at("192.0.2.1", 1), one), expected, `${address} at ${JSON.stringify(one.bound)}`);
});

const readsHeaders = {
  listenerFilters: [
    {
      name: "envoy.filters.listener.proxy_protocol",
      typedConfig: any("envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", {}),
    },
  ],
};
const headerFor = (host: string, port: number): Buffer =>
  encodeProxyV1({ source: { host: "192.0.2.7", port: 4242 }, destination: { host, port } });
/** What comes back before the other side closes. */
const say = async (port: number, ...parts: readonly Buffer[]): Promise<string> => {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    text += chunk;
  });
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.write(Buffer.concat(parts));
  await once(socket, "close");
  return text;
};

test("a header that names the listener itself is not followed, others are", async () => {
  await using app = await openServer((socket) => socket.end("served"));
  await using all = openPlane();
  await all.put(
    { kind: "cluster", name: "there", json: { name: "there", type: "ORIGINAL_DST", lbPolicy: "CLUSTER_PROVIDED" } },
    listener("in", [tcpProxy({ cluster: "there" })], readsHeaders),
  );
  const port = all.portOf("in");
  const counters = () => all.plane.clusters()[0]?.counters;
  const own = headerFor("127.0.0.1", port);
  assert.equal(await say(port, own, own, own, headerFor("127.0.0.1", app.port)), "");
  assert.equal(counters()?.upstreamCxTotal, 0);
  assert.equal(await say(port, headerFor("127.0.0.1", app.port)), "served");
  assert.equal(counters()?.upstreamCxTotal, 1);
});

test("connections that were handed over count where they are served", async () => {
  await using app = await openServer((socket) => socket.on("end", () => socket.end()).resume());
  await using all = openPlane({ listenerConnectionsMax: 1 });
  await all.put(
    cluster("app", [app.port]),
    listener("virtual", [tcpProxy({ cluster: "app" })], { ...readsHeaders, useOriginalDst: true }),
    listener("shop", [tcpProxy({ cluster: "app" })], {
      address: { socketAddress: { address: "198.51.100.1", portValue: 443 } },
      bindToPort: false,
    }),
  );
  const port = all.portOf("virtual");
  const header = headerFor("198.51.100.1", 443);
  const first = connect(port, "127.0.0.1", () => first.write(header));
  first.on("error", () => {});
  const served = () => all.plane.listeners().find(({ name }) => name === "shop")?.connections;
  while (served() !== 1) await new Promise(setImmediate);
  assert.equal(await say(port, header), "");
  assert.equal(served(), 1);
  first.destroy();
  while (served() !== 0) await new Promise(setImmediate);
  const third = connect(port, "127.0.0.1", () => third.write(header));
  while (served() !== 1) await new Promise(setImmediate);
  third.destroy();
});
