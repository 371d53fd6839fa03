import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { issueIntermediate, issueLeaf, issueRoot, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { encodePem } from "@weft/protocols/x509/pem";
import { fetchChain, rootServerName } from "../tls/fetch-chain.ts";
import { createGrpcChannel } from "./client.ts";
import { openGrpcServer } from "./server.ts";

const dates = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 };
const newKey = (): string =>
  generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "pem", type: "pkcs8" }).toString();
const privateKeys = { root: newKey(), between: newKey(), leaf: newKey() };
const keyOf = (name: keyof typeof privateKeys) => createPrivateKey(privateKeys[name]);
const named = (commonName: string) => ({ organization: "o", commonName, ...dates });
const root = issueRoot({ key: keyOf("root"), serial: Buffer.alloc(16, 1), ...named("root") });
const between = issueIntermediate(issuerOf(root, keyOf("root")), {
  publicKey: publicKeyDer(createPublicKey(privateKeys.between)),
  serial: Buffer.alloc(16, 2),
  ...named("between"),
});
const leafOf = (dnsName: string): Buffer =>
  issueLeaf(issuerOf(between, keyOf("between")), {
    publicKey: publicKeyDer(createPublicKey(privateKeys.leaf)),
    altNames: { ...noAltNames, dnsNames: [dnsName] },
    serial: Buffer.alloc(16, 3),
    ...dates,
  });
const tlsOf = (leaf: Buffer) => ({
  key: privateKeys.leaf,
  cert: [leaf, between].map((der) => encodePem("CERTIFICATE", der)).join(""),
  ca: encodePem("CERTIFICATE", root),
});
const leaf = leafOf("shop");
const address = { host: "127.0.0.1", port: 0 };
const options = { address, log: silentLogger, random: () => 0.5, tls: tlsOf(leaf) };

test("the root is not on the wire, except for who asks for it by name, and who has it verifies the chain", async () => {
  const handlers = new Map([["/t.T/Whose", { kind: "unary", handle: async () => Buffer.from("ours") } as const]]);
  await using stack = new AsyncDisposableStack();
  const server = await openGrpcServer({ ...options, handlers });
  stack.defer(() => server.close());
  const shownFor = (serverName: string) => fetchChain({ address: server.address, serverName, timeoutMs: 10_000 });
  assert.deepEqual(await shownFor("shop"), [leaf, between]);
  assert.deepEqual(await shownFor(rootServerName), [leaf, between, root]);

  using channel = createGrpcChannel({
    target: { kind: "tcp", ...server.address },
    tls: () => ({ roots: options.tls.ca, serverName: "shop", certificate: options.tls.cert, key: options.tls.key }),
  });
  const answer = await channel.unary({ path: "/t.T/Whose" }, Buffer.alloc(0));
  assert.equal(Buffer.from(answer).toString(), "ours");

  const renewed = leafOf("renewed");
  server.setTls(tlsOf(renewed));
  assert.deepEqual(await shownFor("renewed"), [renewed, between]);
  const [first] = await shownFor(rootServerName);
  assert.equal(new X509Certificate(first as Buffer).subjectAltName, "DNS:renewed");
});
