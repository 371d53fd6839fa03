import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { TLSSocket } from "node:tls";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { issueLeaf, issueRoot, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { encodePem } from "@weft/protocols/x509/pem";
import { listenTcp } from "../tcp/accept.ts";
import type { Connection, ConnectionHandler } from "../tcp/connection.ts";
import { SocketLoop } from "../tcp/socket-loop.ts";
import { connectTls } from "./client-tls.ts";
import { readInto } from "./read-into.ts";
import { upgradeServer } from "./server-tls.ts";
import { createTlsContext } from "./tls-material.ts";

const now = Date.now();
const dates = { notBeforeMs: now - 60_000, notAfterMs: now + 3_600_000 };
const newKey = (): string =>
  generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "pem", type: "pkcs8" }).toString();
const rootKey = createPrivateKey(newKey());
const root = issueRoot({ key: rootKey, organization: "o", commonName: "c", serial: Buffer.alloc(16, 1), ...dates });
const keyPem = newKey();
const leaf = issueLeaf(issuerOf(root, rootKey), {
  publicKey: publicKeyDer(createPrivateKey(keyPem)),
  altNames: { ...noAltNames, dnsNames: ["shop"] },
  serial: Buffer.alloc(16, 2),
  ...dates,
});
const context = createTlsContext({
  keyPem,
  certificatePem: encodePem("CERTIFICATE", leaf),
  rootsPem: encodePem("CERTIFICATE", root),
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  ciphers: [],
});
const handler = (part: Partial<ConnectionHandler>): ConnectionHandler => ({
  onRead() {},
  onPeerEnd() {},
  onDrain() {},
  onClose() {},
  ...part,
});

/** A TLS server that hands each connection over once its handshake is done. */
const openServer = async (loop: SocketLoop, onSecure: (connection: Connection) => void) => {
  const listener = listenTcp({ loop, address: { host: "127.0.0.1", port: 0 } }, (connection) => {
    connection.handler = handler({
      onRead: (bytes) => {
        connection.handler = handler({ onPeerEnd: () => connection.destroy() });
        const firstBytes = Buffer.from(bytes);
        upgradeServer(connection, { context, alpn: undefined, requestCertificate: false, sni: "", firstBytes }, () =>
          onSecure(connection),
        );
      },
    });
  });
  return { listener, at: await listener.bound };
};
const clientOptions = { context, sni: "shop", alpn: [], refuse: () => undefined };

for (const useReadBuffer of [true, false]) {
  const how = useReadBuffer ? "one read buffer" : "'data' events";

  test(`many bytes come back through a TLS echo that pauses, also after the client ended, with ${how}`, async () => {
    const loop = new SocketLoop({ useReadBuffer });
    let paused = 0;
    const { listener, at } = await openServer(loop, (connection) => {
      connection.handler = handler({
        onRead: (bytes) => {
          connection.write(bytes);
          if (!connection.congested) return;
          paused++;
          connection.pause();
        },
        onDrain: () => connection.resume(),
        onPeerEnd: () => connection.end(),
      });
    });
    const total = 8 * 1024 * 1024;
    let received = 0;
    let wrong = 0;
    await new Promise<void>((resolve) => {
      const client = connectTls(loop, { kind: "ip", ...at }, clientOptions, () => {
        client.write(Buffer.alloc(total, 7));
        client.end();
      });
      client.handler = handler({
        onRead: (bytes) => {
          for (let i = 0; i < bytes.length; i += 512) if (bytes[i] !== 7) wrong++;
          received += bytes.length;
        },
        onPeerEnd: () => client.end(),
        onClose: () => resolve(),
      });
    });
    assert.deepEqual([received, wrong], [total, 0]);
    assert.ok(paused > 0);
    listener.close();
  });

  test(`connections read in turn do not see each other's bytes, with ${how}`, async () => {
    const loop = new SocketLoop({ useReadBuffer });
    const { listener, at } = await openServer(loop, (connection) => {
      connection.handler = handler({
        onRead: (bytes) => connection.write(bytes),
        onPeerEnd: () => connection.end(),
      });
    });
    const talk = (fill: number): Promise<void> =>
      new Promise((resolve, reject) => {
        let left = 64 * 1024;
        const client = connectTls(loop, { kind: "ip", ...at }, clientOptions, () =>
          client.write(Buffer.alloc(left, fill)),
        );
        client.handler = handler({
          onRead: (bytes) => {
            if (bytes.some((byte) => byte !== fill)) reject(new Error(`${fill} got ${bytes.toString("hex", 0, 8)}`));
            left -= bytes.length;
            if (left === 0) client.end();
          },
          onPeerEnd: () => client.end(),
          onClose: () => resolve(),
        });
      });
    await Promise.all(Array.from({ length: 20 }, (_, index) => talk(index + 1)));
    listener.close();
  });
}

test("buffers of a codec are its own again when a little is written at once, of more when it is out, and no byte changes", async () => {
  const loop = new SocketLoop();
  const heard = Promise.withResolvers<Buffer>();
  const parts = [Buffer.alloc(100, 1), Buffer.alloc(3_000, 2), Buffer.alloc(40_000, 3), Buffer.alloc(7, 4)];
  const whole = Buffer.concat(parts);
  const { listener, at } = await openServer(loop, (connection) => {
    const read: Buffer[] = [Buffer.alloc(0)];
    connection.handler = handler({
      onRead: (bytes) => {
        read.push(Buffer.from(bytes));
        const sofar = Buffer.concat(read);
        if (sofar.length >= whole.length) heard.resolve(sofar);
      },
      onPeerEnd: () => connection.end(),
    });
  });
  const turns = [parts.slice(0, 2), parts.slice(2, 3), parts.slice(3)];
  const freeAtOnce: boolean[] = [];
  const client = connectTls(loop, { kind: "ip", ...at }, clientOptions, () => {
    let taken: readonly Buffer[] | undefined;
    client.source = {
      takeOutput: () => {
        taken = turns.shift();
        return taken ?? [];
      },
      // What a codec does with buffers that are its own again.
      outputWritten: () => {
        for (const buffer of taken ?? []) buffer.fill(0);
        taken = undefined;
      },
    };
    const writeNext = (): void => {
      const left = turns.length;
      client.flush();
      if (turns.length < left) freeAtOnce.push(taken === undefined);
      if (turns.length > 0) setImmediate(writeNext);
    };
    writeNext();
  });
  assert.deepEqual(await heard.promise, whole);
  assert.equal(freeAtOnce[0], true);
  assert.ok(freeAtOnce.slice(1, 2).every((free) => !free));
  client.destroy();
  listener.close();
});

test("a socket without the handle that one buffer needs says so, and is left as it was", () => {
  const socket = new TLSSocket(undefined as never);
  (socket as unknown as { _handle: unknown })._handle = {};
  assert.equal(
    readInto(socket, Buffer.alloc(1), () => true),
    false,
  );
  (socket as unknown as { _handle: unknown })._handle = null;
  assert.equal(
    readInto(socket, Buffer.alloc(1), () => true),
    false,
  );
});
