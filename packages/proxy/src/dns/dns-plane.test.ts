import assert from "node:assert/strict";
import { test } from "node:test";
import { type SetTimer, silentLogger } from "@weft/core/world";
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

const setUp = (
  stack: AsyncDisposableStack,
  sharing: { readonly reusePort?: boolean; readonly takesOver?: boolean; readonly setTimer?: SetTimer } = {},
) => {
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
  stack.defer(() => dns.close());
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
  await using stack = new AsyncDisposableStack();
  const { dns, applied, portOf, ask } = setUp(stack);
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
});

test("a refused table leaves the one in force as it is", async () => {
  await using stack = new AsyncDisposableStack();
  const { dns, portOf, ask } = setUp(stack);
  dns.apply([put(udpListener("10.0.0.1"))]);
  await dns.settled();
  assert.match(dns.check(put(udpListener("nonsense")))?.reason ?? "", /is not an IP address/);
  const [rejection] = dns.apply([put(udpListener("10.0.0.1", 53, "0.0.0.0"))]);
  assert.match(rejection?.reason ?? "", /^address\.socketAddress\.address: .*WF3112/);
  assert.equal(await ask(portOf()), "10.0.0.1");
});

test("a listener that changes its protocol leaves nothing of the former behind", async () => {
  await using stack = new AsyncDisposableStack();
  const { dns, applied, portOf, ask } = setUp(stack);
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
});

test("a port that is taken is a failed listener, which another port mends", async () => {
  await using stack = new AsyncDisposableStack();
  const first = setUp(stack);
  first.dns.apply([put(udpListener("10.0.0.1"))]);
  await first.dns.settled();
  const second = setUp(stack);
  second.dns.apply([put(udpListener("10.0.0.2", first.portOf()))]);
  await second.dns.settled();
  const [failed] = second.dns.listeners();
  assert.equal(failed?.state, "failed");
  assert.match(failed?.error ?? "", /WF5001/);
  second.dns.apply([put(udpListener("10.0.0.2"))]);
  await second.dns.settled();
  assert.equal(await second.ask(second.portOf()), "10.0.0.2");
  assert.equal(await first.ask(first.portOf()), "10.0.0.1");
});

test("who takes over has the address beside its former owner, who then lets go; anybody else is refused it", async () => {
  await using stack = new AsyncDisposableStack();
  const former = setUp(stack, { reusePort: true });
  former.dns.apply([put(udpListener("10.0.0.1"))]);
  await former.dns.settled();
  const port = former.portOf();
  const stranger = setUp(stack, { reusePort: true });
  stranger.dns.apply([put(udpListener("10.0.0.3", port))]);
  await stranger.dns.settled();
  assert.equal(stranger.dns.listeners()[0]?.state, "failed");
  const next = setUp(stack, { reusePort: true, takesOver: true });
  next.dns.apply([put(udpListener("10.0.0.2", port))]);
  await next.dns.settled();
  assert.equal(next.portOf(), port);
  await former.dns.drain(0);
  assert.deepEqual([await next.ask(port), await next.ask(port, true)], ["10.0.0.2", "10.0.0.2"]);
});

/** Timers that only tests let go off. */
const manualTimers = (): { readonly setTimer: SetTimer; readonly fire: () => void } => {
  const armed = new Set<() => void>();
  return {
    setTimer: (callback) => {
      armed.add(callback);
      return { [Symbol.dispose]: () => void armed.delete(callback) };
    },
    fire: () => {
      for (const callback of [...armed]) {
        armed.delete(callback);
        callback();
      }
    },
  };
};
const freePort = async (stack: AsyncDisposableStack): Promise<number> => {
  const { dns, portOf } = setUp(stack);
  dns.apply([put(udpListener("10.0.0.1"))]);
  await dns.settled();
  const port = portOf();
  dns.apply([gone]);
  return port;
};

test("a listener that goes before its sockets are there leaves none of them behind", async () => {
  await using stack = new AsyncDisposableStack();
  const port = await freePort(stack);
  const { dns, ask } = setUp(stack);
  dns.apply([put(udpListener("10.0.0.1", port))]);
  const opening = dns.settled();
  dns.apply([gone]);
  await opening;
  const next = setUp(stack);
  next.dns.apply([put(udpListener("10.0.0.2", port))]);
  await next.dns.settled();
  assert.equal(next.dns.listeners()[0]?.error, undefined);
  assert.equal(await ask(port), "10.0.0.2");
});

test("a listener of which one address is taken has all of them once that one is free", async () => {
  await using stack = new AsyncDisposableStack();
  const port = await freePort(stack);
  const holder = setUp(stack);
  holder.dns.apply([put(udpListener("10.0.0.1", port, "127.0.0.2"))]);
  await holder.dns.settled();
  const timers = manualTimers();
  const { dns, ask } = setUp(stack, { setTimer: timers.setTimer });
  const socketAddress = { protocol: "UDP" as const, address: "127.0.0.2", portValue: port };
  dns.apply([put({ ...udpListener("10.0.0.2", port), additionalAddresses: [{ address: { socketAddress } }] })]);
  await dns.settled();
  assert.equal(dns.listeners()[0]?.state, "failed");
  holder.dns.apply([gone]);
  timers.fire();
  await dns.settled();
  assert.equal(dns.listeners()[0]?.error, undefined);
  assert.equal(await ask(port), "10.0.0.2");
});
