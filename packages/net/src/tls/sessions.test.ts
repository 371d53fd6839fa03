import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { connect as connectPlain } from "node:net";
import { test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { issueLeaf, issueRoot, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { encodePem } from "@weft/protocols/x509/pem";
import { listenTcp } from "../tcp/accept.ts";
import type { ConnectionHandler } from "../tcp/connection.ts";
import { SocketLoop } from "../tcp/socket-loop.ts";
import { upgradeServer } from "./server-tls.ts";
import { createTlsContext, refuseParameters, type TlsContext } from "./tls-material.ts";

const now = Date.now();
const dates = { notBeforeMs: now - 60_000, notAfterMs: now + 3_600_000 };
const newKey = (): string =>
  generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "pem", type: "pkcs8" }).toString();

/** A trust bundle of its own, and leaves under it. */
const createCa = () => {
  const key = createPrivateKey(newKey());
  const root = issueRoot({ key, organization: "o", commonName: "c", serial: Buffer.alloc(16, 1), ...dates });
  return {
    rootPem: encodePem("CERTIFICATE", root),
    leaf: () => {
      const keyPem = newKey();
      const der = issueLeaf(issuerOf(root, key), {
        publicKey: publicKeyDer(createPrivateKey(keyPem)),
        altNames: { ...noAltNames, uris: ["spiffe://cluster.local/ns/a/sa/b"] },
        serial: Buffer.alloc(16, 2),
        ...dates,
      });
      return { keyPem, certificatePem: encodePem("CERTIFICATE", der) };
    },
  };
};
type Ca = ReturnType<typeof createCa>;
type Version = "TLSv1.2" | "TLSv1.3";

const contextOf = (ca: Ca, version: Version): TlsContext =>
  createTlsContext({ ...ca.leaf(), rootsPem: ca.rootPem, minVersion: version, maxVersion: version, ciphers: [] });

const quiet: ConnectionHandler = { onRead() {}, onPeerEnd() {}, onDrain() {}, onClose() {} };

/** A server that takes TLS by the context of the moment, and echoes. */
const openServer = async (initial: TlsContext) => {
  const current = { context: initial, verified: [] as boolean[], closed: 0 };
  const listener = listenTcp({ loop: new SocketLoop(), address: { host: "127.0.0.1", port: 0 } }, (connection) => {
    const onClose = (): void => void current.closed++;
    connection.handler = {
      ...quiet,
      onClose,
      onRead: (bytes) => {
        connection.handler = { ...quiet, onClose, onPeerEnd: () => connection.destroy() };
        const { context } = current;
        const firstBytes = Buffer.from(bytes);
        upgradeServer(
          connection,
          { context, alpn: undefined, requestCertificate: true, sni: "", firstBytes },
          (peer) => {
            current.verified.push(peer.verified);
            connection.handler = { ...quiet, onClose, onRead: (data) => connection.write(data) };
          },
        );
      },
    };
  });
  const { port } = await listener.bound;
  return { ...listener, current, port };
};

const open = (port: number, ca: Ca, session?: Buffer): TLSSocket => {
  const { keyPem, certificatePem } = ca.leaf();
  return connect({
    host: "127.0.0.1",
    port,
    rejectUnauthorized: false,
    key: keyPem,
    cert: certificatePem,
    ...(session ? { session } : {}),
  });
};

/** The newest session the server gave, after an echo; and whether this connection was a resumed one. */
const talk = async (socket: TLSSocket): Promise<{ readonly session: Buffer | undefined; readonly reused: boolean }> => {
  let session: Buffer | undefined;
  socket.on("session", (given: Buffer) => {
    session = given;
  });
  socket.write("x");
  await once(socket, "data");
  const reused = socket.isSessionReused();
  session ??= socket.getSession();
  socket.destroy();
  return { session, reused };
};

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`${version}: a session is never resumed, neither under the same roots nor after they were rotated`, async () => {
    const ca = createCa();
    const server = await openServer(contextOf(ca, version));
    const first = await talk(open(server.port, ca));
    const again = await talk(open(server.port, ca, first.session));
    assert.deepEqual([first.reused, again.reused], [false, false]);
    const next = createCa();
    server.current.context = contextOf(next, version);
    const late = await talk(open(server.port, ca, again.session));
    assert.equal(late.reused, false);
    assert.deepEqual(server.current.verified, [true, true, false], "the old root's client proves nothing any more");
    server.close();
  });
}

test("a change of certificates leaves connections that stand alone", async () => {
  const ca = createCa();
  const server = await openServer(contextOf(ca, "TLSv1.3"));
  const socket = open(server.port, ca);
  await once(socket, "secureConnect");
  server.current.context = contextOf(createCa(), "TLSv1.3");
  socket.write("still here");
  const [bytes] = (await once(socket, "data")) as [Buffer];
  assert.equal(bytes.toString(), "still here");
  socket.destroy();
  server.close();
});

test("parameters that OpenSSL cannot have are refused before they are used, each by its name", () => {
  const rules = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: [] } as const;
  assert.equal(refuseParameters({ ...rules, curves: ["X25519", "P-256"] }), undefined);
  assert.equal(refuseParameters({ ...rules, signatures: ["ecdsa_secp256r1_sha256"] }), undefined);
  assert.equal(refuseParameters({ ...rules, ciphers: ["ECDHE-ECDSA-AES128-GCM-SHA256"] }), undefined);
  assert.match(
    refuseParameters({ ...rules, ciphers: ["ECDHE-RSA-AES128-GCM-SHA256", "NONE-SUCH"] }) ?? "",
    /NONE-SUCH/,
  );
  assert.ok(refuseParameters({ ...rules, curves: ["P-257"] }));
  assert.ok(refuseParameters({ ...rules, signatures: ["rsa_md17"] }));
});

/** A linear congruential generator: the same hellos in every run. */
const seeded = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};

test("first bytes that are nearly a ClientHello end their own connection and nothing else", async () => {
  const ca = createCa();
  const server = await openServer(contextOf(ca, "TLSv1.3"));
  const hello = await new Promise<Buffer>((resolve) => {
    const probe = listenTcp({ loop: new SocketLoop(), address: { host: "127.0.0.1", port: 0 } }, (connection) => {
      connection.handler = {
        ...quiet,
        onRead: (bytes) => {
          resolve(Buffer.from(bytes));
          connection.destroy();
          probe.close();
        },
      };
    });
    void probe.bound.then(({ port }) => connect({ port, host: "127.0.0.1", servername: "a.b" }).on("error", () => {}));
  });
  const random = seeded(7);
  const rounds = 300;
  for (let done = 0; done < rounds; done += 20) {
    const batch = Array.from({ length: 20 }, () => {
      const bytes = Buffer.from(hello);
      for (let edits = 1 + random(8); edits > 0; edits--) bytes[random(bytes.length)] = random(256);
      const socket = connectPlain({ host: "127.0.0.1", port: server.port });
      socket.on("error", () => {});
      socket.end(bytes.subarray(0, 1 + random(bytes.length)));
      socket.resume();
      return new Promise((resolve) => socket.once("close", resolve));
    });
    await Promise.all(batch);
  }
  assert.equal((await talk(open(server.port, ca))).reused, false);
  server.close();
});
