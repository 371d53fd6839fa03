/** What can be wrong around a process: ports taken, a control plane absent, certificates past their end. */
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { findFreePort } from "@weft/net/process/free-port";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { issueLeaf, issuerOf } from "@weft/protocols/x509/issue";
import { decodePem, encodePem } from "@weft/protocols/x509/pem";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { runWeft, startWeft } from "@weft/testkit/processes";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let catalog: TestSidecar;
let web: TestSidecar;
let folder: string;

const askCatalog = async (): Promise<number> => (await callHttp(web.outbound, { host: "catalog" })).status;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "weft-bad-start-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  cp = stack.use(await startControlPlane({ yaml: strict }));
  const app = stack.use(await startEchoServer("catalog"));
  catalog = stack.use(await startSidecar(cp, { name: "catalog", appPort: app.port }));
  web = stack.use(await startSidecar(cp, { name: "web" }));
  await eventually("catalog answers", async () => ((await askCatalog()) === 200 ? true : undefined));
});
after(() => stack.disposeAsync());

const takePort = async (): Promise<{ port: number } & Disposable> => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as { port: number }).port, [Symbol.dispose]: () => void server.close() };
};

for (const [flag, others] of [
  ["--xds-address", ["--secure-address", "--http-address", "--monitoring-address"]],
  ["--secure-address", ["--xds-address", "--http-address", "--monitoring-address"]],
  ["--http-address", ["--xds-address", "--secure-address", "--monitoring-address"]],
] as const) {
  test(`cp ${flag} with a port that is taken: exit 1 and why`, async () => {
    using taken = await takePort();
    const { code, stderr } = await runWeft(
      [
        ...["cp", "--data", join(folder, "cp"), flag, `127.0.0.1:${taken.port}`],
        ...others.flatMap((other) => [other, "127.0.0.1:0"]),
      ],
      { env: { WEFT_STATE_DIR: folder } },
    );
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^WF2010 cannot listen on 127\\.0\\.0\\.1:${taken.port}: .*${flag}`, "m"));
  });
}

test("a sidecar whose listener's port is taken: exit 1 and why; the same for its admin interface", async () => {
  using taken = await takePort();
  const free = await findFreePort("127.0.0.1", 0);
  const bootstrap = (listener: number, admin: number): object => ({
    node: { id: "x", cluster: "x" },
    admin: { address: { socketAddress: { address: "127.0.0.1", portValue: admin } } },
    staticResources: {
      listeners: [
        {
          name: "in",
          address: { socketAddress: { address: "127.0.0.1", portValue: listener } },
          filterChains: [
            {
              filters: [
                {
                  name: "tcp",
                  typedConfig: {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    statPrefix: "tcp",
                    cluster: "none",
                  },
                },
              ],
            },
          ],
        },
      ],
    },
  });
  for (const [listener, admin] of [
    [taken.port, free],
    [free, taken.port],
  ] as const) {
    const file = join(folder, "taken.json");
    writeFileSync(file, JSON.stringify(bootstrap(listener, admin)));
    const { code, stderr } = await runWeft(["sidecar", "--bootstrap", file]);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^WF\\d{4} .*127\\.0\\.0\\.1:${taken.port}`, "m"));
    assert.match(stderr, /in use|another process has it/);
  }
});

for (const [name, text, says] of [
  ["not YAML", "{ [", /^WF\d{4} /m],
  ["not a bootstrap", "just text", /^WF\d{4} /m],
  ["an unknown field", '{"node": {"id": "x"}, "staticResorces": {}}', /^WF\d{4} .*staticResorces/m],
] as const) {
  test(`a bootstrap that is ${name}: exit 1 and why`, async () => {
    const file = join(folder, "bad-bootstrap.yaml");
    writeFileSync(file, text);
    const { code, stderr } = await runWeft(["sidecar", "--bootstrap", file]);
    assert.equal(code, 1);
    assert.match(stderr, says);
    assert.match(stderr, /bad-bootstrap\.yaml/);
  });
}

test("a control plane absent: the sidecar says so, waits, and is ready once it is there", {
  timeout: 60_000,
}, async () => {
  const secure = `127.0.0.1:${await findFreePort("127.0.0.1", 0)}`;
  await using sidecar = startWeft([
    ...["sidecar", "--cp", secure, "--root-cert", cp.rootCertFile, "--token-file", cp.joinTokenFile],
    ...["--name", "early", "--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", join(folder, "early")],
  ]);
  await sidecar.waitFor(/WF\d{4}.*(ECONNREFUSED|refused)/);
  assert.ok(!sidecar.lines.some((line) => /\bready admin/.test(line)));
  // The same control plane, at another address: its CA and tokens are those the sidecar was given.
  await cp.program[Symbol.asyncDispose]();
  const { xds, http, folder: cpFolder } = cp;
  const again = await startControlPlane({ folder: cpFolder, addresses: { xds, http, secure } });
  await sidecar.waitFor(/\bready\b.*admin=/, 40_000);
  assert.equal(await askCatalog(), 200);
  await again.program[Symbol.asyncDispose]();
  cp = stack.use(await startControlPlane({ folder: cpFolder, addresses: { xds, http, secure: cp.secure } }));
});

/** A certificate of the mesh's own CA, for a key of its own. */
const issue = (name: string, fromMs: number, toMs: number): { keyPem: string; leaf: string; root: string } => {
  const data = join(cp.folder, "data");
  const root = readFileSync(join(data, "ca/root-cert.pem"), "utf8");
  const [rootDer = Buffer.alloc(0)] = decodePem("CERTIFICATE", root) ?? [];
  const issuer = issuerOf(rootDer, createPrivateKey(readFileSync(join(data, "ca/root-key.pem"), "utf8")));
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const leaf = issueLeaf(issuer, {
    publicKey: createPublicKey(privateKey).export({ type: "spki", format: "der" }),
    altNames: { ...noAltNames, uris: [`spiffe://cluster.local/ns/default/sa/${name}`] },
    serial: randomBytes(16),
    ...{ notBeforeMs: Date.now() + fromMs, notAfterMs: Date.now() + toMs },
  });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { keyPem, leaf: encodePem("CERTIFICATE", leaf), root };
};

/** A request over TLS by somebody who is no sidecar. */
const askOverTls = (material: { keyPem: string; leaf: string; root: string }): Promise<string> =>
  new Promise((resolve) => {
    const { keyPem: key, leaf: cert, root: ca } = material;
    const socket = connect({
      ...{ host: "127.0.0.1", port: catalog.port, key, cert, ca },
      ALPNProtocols: ["istio-http/1.1", "istio"],
      checkServerIdentity: () => undefined,
    });
    let got = "";
    socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\r\nhost: catalog\r\nconnection: close\r\n\r\n"));
    socket.on("data", (bytes) => {
      got += bytes.toString();
    });
    socket.on("error", (error) => {
      got += String(error);
    });
    socket.on("close", () => resolve(got));
  });

test("a caller's certificate past its end or not yet good is refused in the handshake, a good one is not", async () => {
  const hour = 3_600_000;
  assert.match(await askOverTls(issue("stranger", -hour, hour)), /^HTTP\/1\.1 200 /);
  for (const material of [issue("stranger", -2 * hour, -hour), issue("stranger", hour, 2 * hour)]) {
    assert.doesNotMatch(await askOverTls(material), /HTTP\/1/);
  }
  assert.equal(await askCatalog(), 200);
});

test("a stored certificate past its end is not used: said, and a new one asked for", { timeout: 30_000 }, async () => {
  const data = join(folder, "expired");
  mkdirSync(join(data, "identity"), { recursive: true });
  const hour = 3_600_000;
  const { keyPem, leaf, root } = issue("stale", -2 * hour, -hour);
  writeFileSync(join(data, "identity/identity.json"), JSON.stringify({ keyPem, chain: [leaf, root] }));
  await using stale = await startSidecar(cp, { name: "stale", folder: data });
  assert.ok(stale.program.lines.some((line) => /WF7002 the stored certificate of \S+ expired at/.test(line)));
  await eventually("it calls with its new certificate", async () =>
    (await callHttp(stale.outbound, { host: "catalog" })).status === 200 ? true : undefined,
  );
});
