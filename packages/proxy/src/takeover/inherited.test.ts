import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { listenTcp } from "@weft/net/tcp/accept";
import type { Connection } from "@weft/net/tcp/connection";
import { closeDescriptors } from "@weft/net/tcp/hold";
import type { PassedSocket } from "@weft/net/tcp/pass-sockets";
import { SocketLoop } from "@weft/net/tcp/socket-loop";
import { createInherited, inheritingListen } from "./inherited.ts";
import { createOpenSockets } from "./open-sockets.ts";
import { fittingAddress, type SocketClaim, socketName } from "./socket-name.ts";

const claimOf = (listener: string, host: string, port: number, ipv6Only = false): SocketClaim => ({
  listener,
  address: { host, port },
  ipv6Only,
});

test("a socket fits whoever asks for its address, and any port fits only the listener that had it", () => {
  const name = socketName(claimOf("web", "10.0.0.1", 80), 80);
  assert.deepEqual(fittingAddress(name, claimOf("renamed", "10.0.0.1", 80)), { host: "10.0.0.1", port: 80 });
  const any = socketName(claimOf("web", "::1", 0, true), 40_000);
  assert.deepEqual(fittingAddress(any, claimOf("web", "::1", 0, true)), { host: "::1", port: 40_000 });
  const misfits: readonly (readonly [name: string, claim: SocketClaim])[] = [
    [name, claimOf("web", "10.0.0.1", 81)],
    [name, claimOf("web", "0.0.0.0", 80)],
    [any, claimOf("other", "::1", 0, true)],
    [any, claimOf("web", "::1", 0, false)],
    ["nonsense", claimOf("web", "::1", 0, true)],
    ["", claimOf("", "", 0)],
  ];
  for (const [each, claim] of misfits) assert.equal(fittingAddress(each, claim), undefined, JSON.stringify(claim));
});

test("a name stays within what can be passed on, however long a listener's is", () => {
  const long = claimOf("é".repeat(5000), "::1", 0);
  const name = socketName(long, 1);
  assert.ok(Buffer.byteLength(name) < 512);
  assert.ok(fittingAddress(name, long));
});

/** Sockets as they would have come from another process. */
const takenOf = (sockets: readonly PassedSocket[]) => {
  const held = [...sockets];
  return {
    names: () => held.map(({ name }) => name),
    claim: (name: string) => {
      const at = held.findIndex((socket) => socket.name === name);
      return at < 0 ? undefined : held.splice(at, 1)[0]?.descriptor;
    },
  };
};

test("what is inherited is bound at once and accepts when it may; what connects before waits", async () => {
  const loop = new SocketLoop();
  const options = { name: "in", loop, address: { host: "127.0.0.1", port: 0 }, reusePort: true };
  const never = (): void => assert.fail("accepted by the one before");
  const first = createOpenSockets(listenTcp);
  const one = first.listen(options, never);
  const address = await one.bound;
  const two = first.listen({ ...options, address }, never);
  await two.bound;
  const sockets = first.duplicates();
  assert.equal(sockets.length, 2);
  one.close();
  two.close();
  assert.deepEqual(first.duplicates(), []);

  const accepting = Promise.withResolvers<void>();
  const inherited = createInherited(takenOf(sockets), accepting.promise);
  const accepted: Connection[] = [];
  const listen = createOpenSockets(inheritingListen(inherited, (error) => assert.fail(error)));
  const next = listen.listen({ ...options, address }, (connection) => {
    connection.handler = { onRead() {}, onPeerEnd() {}, onDrain() {}, onClose() {} };
    accepted.push(connection);
  });
  assert.deepEqual(await next.bound, address);
  // Enough of them that both sockets get some.
  const clients = Array.from({ length: 32 }, () => connect(address.port, "127.0.0.1"));
  await Promise.all(clients.map((client) => new Promise((resolve) => client.once("connect", resolve))));
  assert.equal(accepted.length, 0);
  // It can be passed on as it is.
  const copies = listen.duplicates();
  assert.equal(copies.length, 2);
  closeDescriptors(copies.map(({ descriptor }) => descriptor));
  accepting.resolve();
  while (accepted.length < clients.length) await new Promise(setImmediate);
  assert.equal(next.descriptors.length, 2);
  for (const client of clients) client.destroy();
  for (const connection of accepted) connection.destroy();
  next.close();
  assert.equal(inherited.take(claimOf("in", "127.0.0.1", address.port)), undefined, "each is given once");
});

test("what is let go before it may accept is closed, and others are bound as ever", async () => {
  const loop = new SocketLoop();
  const options = { name: "in", loop, address: { host: "127.0.0.1", port: 0 } };
  const first = createOpenSockets(listenTcp);
  const old = first.listen(options, () => undefined);
  const address = await old.bound;
  const accepting = Promise.withResolvers<void>();
  const inherited = createInherited(takenOf(first.duplicates()), accepting.promise);
  const listen = inheritingListen(inherited, (error) => assert.fail(error));
  listen(options, () => assert.fail("accepted")).close();
  accepting.resolve();
  old.close();
  await new Promise(setImmediate);
  const refused = connect(address.port, "127.0.0.1");
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => refused.once("error", resolve));
  assert.equal(error.code, "ECONNREFUSED");
  const other = listen({ ...options, name: "other" }, () => undefined);
  assert.notEqual((await other.bound).port, 0);
  other.close();
});
