import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import {
  originalDestination,
  parseSocketAddress,
  sameAddress,
  transparentDestination,
} from "./original-destination.ts";

test("socket addresses are read as they are written elsewhere", () => {
  const four = Buffer.alloc(28);
  four.writeUInt16LE(2, 0);
  four.writeUInt16BE(8080, 2);
  four.set([10, 0, 0, 1], 4);
  assert.deepEqual(parseSocketAddress(four), { host: "10.0.0.1", port: 8080 });
  const six = Buffer.alloc(28);
  six.writeUInt16LE(10, 0);
  six.writeUInt16BE(443, 2);
  six.set([0xfd, 0x77], 8);
  six[23] = 2;
  assert.deepEqual(parseSocketAddress(six), { host: "fd77::2", port: 443 });
  six.writeUInt16LE(1, 0);
  assert.equal(parseSocketAddress(six), undefined);
});

test("the same address is known in each of its spellings", () => {
  const same = (a: string, b: string): boolean => sameAddress({ host: a, port: 1 }, { host: b, port: 1 });
  assert.ok(same("fd77::2", "fd77:0:0:0:0:0:0:2"));
  assert.ok(same("::ffff:10.0.0.1", "10.0.0.1"));
  assert.ok(same("fe80::1%eth0", "fe80::1"));
  assert.ok(!same("fd77::2", "fd77::3"));
  assert.ok(!same("::1", "0.0.0.1"));
  assert.ok(!sameAddress({ host: "::1", port: 1 }, { host: "::1", port: 2 }));
});

for (const host of ["127.0.0.1", "::1"]) {
  test(`a connection to ${host} that nothing redirected has no original destination`, async () => {
    const server = createServer();
    server.listen(0, host);
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const accepted = once(server, "connection");
    const client = connect({ host, port });
    const [socket] = (await accepted) as [Socket];
    assert.equal(originalDestination(socket), undefined);
    assert.equal(transparentDestination(socket, port), undefined);
    assert.deepEqual(transparentDestination(socket, 1), { host, port });
    client.destroy();
    socket.destroy();
    server.close();
  });
}
