import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { setRealTimer } from "@weft/net/clock";
import { createTcpAsk, createUdpAsk } from "@weft/net/dns/exchange";
import { decodeDns } from "@weft/protocols/dns/decode";
import { encodeDns } from "@weft/protocols/dns/encode";
import { createQuery, recordType } from "@weft/protocols/dns/message";
import { createStats } from "../observe/create-stats.ts";
import type { DataPlane, ListenerState, ResourceChange } from "../runtime/data-plane.ts";
import { withDns } from "./dns-plane.ts";

const udpListener = (address: string, port = 0, host = "127.0.0.1") => ({
  name: "dns",
  address: { socketAddress: { protocol: "UDP" as const, address: host, portValue: port } },
  listenerFilters: [
    {
      name: "envoy.filters.udp.dns_filter",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig",
        serverConfig: {
          inlineDnsTable: {
            virtualDomains: [{ name: "a.example", endpoint: { addressList: { address: [address] } } }],
          },
        },
      },
    },
  ],
});
const put = (json: object): ResourceChange => ({ kind: "listener", name: "dns", json: json as never });
const gone: ResourceChange = { kind: "listener", name: "dns", json: undefined };
const tcpJson = { name: "dns", address: { socketAddress: { address: "127.0.0.1", portValue: 0 } } };

const setUp = (sharing: { readonly reusePort?: boolean; readonly takesOver?: boolean } = {}) => {
  const applied: ResourceChange[] = [];
  const held = new Map<string, ListenerState>();
  const plane = {
    apply: (changes: readonly ResourceChange[]) => {
      applied.push(...changes);
      for (const { name, json } of changes) {
        if (json === undefined) held.delete(name);
        else held.set(name, { name, address: undefined, state: "active", error: undefined, connections: 0 });
      }
      return [];
    },
    check: () => undefined,
    listeners: () => [...held.values()],
    clusters: () => [],
    reopenLogs: () => {},
    inForce: () => undefined,
    settled: async () => {},
    drain: async () => {},
    discourage: () => {},
    close: async () => {},
  } satisfies DataPlane;
  const stats = createStats();
  const dns = withDns(plane, {
    clock: { nowMs: () => 0, wallMs: () => 0 },
    setTimer: setRealTimer,
    stats,
    log: silentLogger,
    readText: () => "",
    ...{ reusePort: false, takesOver: false, ...sharing },
  });
  const portOf = (): number => dns.listeners().find(({ name }) => name === "dns")?.address?.port ?? 0;
  const ask = async (port: number, tcp = false): Promise<string | undefined> => {
    const message = encodeDns(createQuery(3, { name: "a.example", type: recordType.a, class: 1 }));
    const exchange = { server: { host: "127.0.0.1", port }, message, timeoutMs: 5_000, accept: () => true };
    const [record] = decodeDns(await (tcp ? createTcpAsk : createUdpAsk)(setRealTimer)(exchange)).answers;
    return record?.data.kind === "address" ? record.data.address : undefined;
  };
  return { dns, applied, portOf, ask };
};

test("a table is exchanged under sockets that stay, over UDP and TCP", async () => {
  const { dns, applied, portOf, ask } = setUp();
  assert.deepEqual(dns.apply([put(udpListener("10.0.0.1"))]), []);
  await dns.settled();
  const port = portOf();
  assert.deepEqual([await ask(port), await ask(port, true)], ["10.0.0.1", "10.0.0.1"]);
  dns.apply([put(udpListener("10.0.0.2"))]);
  assert.equal(portOf(), port);
  assert.equal(await ask(port), "10.0.0.2");
  assert.deepEqual(applied, [], "the plane behind never hears of it");
  dns.apply([gone]);
  assert.equal(portOf(), 0);
  await assert.rejects(ask(port));
  await dns.close();
});

test("a refused table leaves the one in force as it is", async () => {
  const { dns, portOf, ask } = setUp();
  dns.apply([put(udpListener("10.0.0.1"))]);
  await dns.settled();
  assert.match(dns.check(put(udpListener("nonsense")))?.reason ?? "", /is not an IP address/);
  const [rejection] = dns.apply([put(udpListener("10.0.0.1", 53, "0.0.0.0"))]);
  assert.match(rejection?.reason ?? "", /^address\.socketAddress\.address: .*WF3112/);
  assert.equal(await ask(portOf()), "10.0.0.1");
  await dns.close();
});

test("a listener that changes its protocol leaves nothing of the former behind", async () => {
  const { dns, applied, portOf, ask } = setUp();
  dns.apply([put(udpListener("10.0.0.1"))]);
  await dns.settled();
  const port = portOf();
  dns.apply([put(tcpJson)]);
  await assert.rejects(ask(port));
  assert.equal(dns.listeners().length, 1);
  dns.apply([put(udpListener("10.0.0.1"))]);
  await dns.settled();
  assert.deepEqual(applied.at(-1), gone);
  assert.equal(dns.listeners().length, 1);
  await dns.close();
});

test("a port that is taken is a failed listener, which another port mends", async () => {
  const first = setUp();
  first.dns.apply([put(udpListener("10.0.0.1"))]);
  await first.dns.settled();
  const second = setUp();
  second.dns.apply([put(udpListener("10.0.0.2", first.portOf()))]);
  await second.dns.settled();
  const [failed] = second.dns.listeners();
  assert.equal(failed?.state, "failed");
  assert.match(failed?.error ?? "", /WF5001/);
  second.dns.apply([put(udpListener("10.0.0.2"))]);
  await second.dns.settled();
  assert.equal(await second.ask(second.portOf()), "10.0.0.2");
  assert.equal(await first.ask(first.portOf()), "10.0.0.1");
  await first.dns.close();
  await second.dns.close();
});

test("who takes over has the address beside its former owner, who then lets go; anybody else is refused it", async () => {
  const former = setUp({ reusePort: true });
  former.dns.apply([put(udpListener("10.0.0.1"))]);
  await former.dns.settled();
  const port = former.portOf();
  const stranger = setUp({ reusePort: true });
  stranger.dns.apply([put(udpListener("10.0.0.3", port))]);
  await stranger.dns.settled();
  assert.equal(stranger.dns.listeners()[0]?.state, "failed");
  await stranger.dns.close();
  const next = setUp({ reusePort: true, takesOver: true });
  next.dns.apply([put(udpListener("10.0.0.2", port))]);
  await next.dns.settled();
  assert.equal(next.portOf(), port);
  await former.dns.drain(0);
  assert.deepEqual([await next.ask(port), await next.ask(port, true)], ["10.0.0.2", "10.0.0.2"]);
  await next.dns.close();
  await former.dns.close();
});
