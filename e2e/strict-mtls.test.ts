/**
 * STRICT cannot be got around: whatever comes to a port of a STRICT workload that is not mutual TLS of this mesh reaches
 * no application, also while the sidecar starts and while it drains; and handshakes leave nothing behind.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect as connectPlain, createServer, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { type ConnectionOptions, connect } from "node:tls";
import { findFreePort } from "@weft/net/process/free-port";
import { createTestCa } from "@weft/proxy/identity/testing/test-ca";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startWeft } from "@weft/testkit/processes";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;
const stack = new AsyncDisposableStack();
let cp: TestControlPlane;

/** An application that greets, so that nobody has to speak to be answered, and counts who came. */
const openApp = async () => {
  const seen = { connections: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    seen.connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const at = server.address();
  return { seen, port: at !== null && typeof at === "object" ? at.port : 0 };
};

const now = Date.now();
const foreign = createTestCa(now);
const uri = "spiffe://cluster.local/ns/default/sa/web";
const stranger = foreign.issue({ notBeforeMs: now - 3_600_000, notAfterMs: now + 3_600_000, uri });
const foreignIdentity = { key: stranger.keyPem, cert: stranger.chain.join("") };
const request = "GET / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n";

/** What is heard of a connection until it ends, or until `over` says that it will hear nothing more. */
const listenTo = (socket: Socket, say: string, over?: AbortSignal): Promise<string> =>
  new Promise((resolve) => {
    let heard = "";
    over?.addEventListener("abort", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => {
      heard += bytes.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(heard));
    if (say !== "") socket.write(say);
  });
const plain = (port: number, say: string, { host = "127.0.0.1", over }: { host?: string; over?: AbortSignal } = {}) =>
  listenTo(connectPlain({ host, port }), say, over);
const tls = (port: number, options: ConnectionOptions) =>
  listenTo(connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options }), request);

const meshAlpn = ["istio-http/1.1", "istio-peer-exchange", "istio"];
/**
 * All at once: what somebody without an identity of this mesh may try. Those that say too little to be refused are held
 * until the others have been, and one more that came after all of them.
 */
const attack = async (port: number): Promise<readonly string[]> => {
  const over = new AbortController();
  const held = ["", "G"].map((say) => plain(port, say, { over: over.signal }));
  const refused = await Promise.all([
    plain(port, request),
    plain(port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    plain(port, "*1\r\n$4\r\nPING\r\n"),
    plain(port, request, { host: "::1" }),
    plain(port, `PROXY TCP4 127.0.0.1 127.0.0.1 1 ${port}\r\n${request}`),
    tls(port, {}),
    tls(port, { ALPNProtocols: meshAlpn }),
    tls(port, { ALPNProtocols: ["h2", "http/1.1"] }),
    tls(port, { ALPNProtocols: ["postgresql"], servername: "outbound_.80_._.app.default.svc.cluster.local" }),
    tls(port, { ...foreignIdentity, ALPNProtocols: meshAlpn }),
    tls(port, { ...foreignIdentity, ALPNProtocols: ["h2"], maxVersion: "TLSv1.2" }),
  ]);
  const last = await plain(port, request);
  over.abort();
  return [...refused, last, ...(await Promise.all(held))];
};

before(async () => {
  cp = stack.use(await startControlPlane({ yaml: strict }));
});
after(() => stack.disposeAsync());

test("no port of a STRICT workload serves anything but the mesh's mutual TLS: at start, running, and draining", {
  timeout: 120_000,
}, async () => {
  const [http, tcp, auto] = await Promise.all([openApp(), openApp(), openApp()]);
  const ports = await Promise.all([0, 0].map(() => findFreePort("127.0.0.1", 0)));
  const [tcpPort = 0, autoPort = 0] = ports;
  const apps = [http, tcp, auto];
  const reached = () => apps.map(({ seen }) => seen.connections);
  const starting = startSidecar(cp, {
    name: "app",
    appPort: http.port,
    args: [
      ...["--inbound", `tcp:tcp:127.0.0.1:${tcpPort}:${tcp.port}`],
      ...["--inbound", `auto:auto:127.0.0.1:${autoPort}:${auto.port}`, "--drain-time", "3"],
    ],
  });
  let started = false;
  const app: TestSidecar = stack.use(
    await startingWhile(
      starting,
      async () => {
        while (!started) for (const port of ports) await plain(port, request);
      },
      () => {
        started = true;
      },
    ),
  );
  assert.deepEqual(reached(), [0, 0, 0], "while it starts");

  ports.push(app.port);
  for (const port of ports) {
    const heard = await attack(port);
    assert.deepEqual(
      heard.filter((text) => text.includes("secret") || text.includes("HTTP/1.1 200")),
      [],
    );
  }
  assert.deepEqual(reached(), [0, 0, 0], "while it runs");

  const web = stack.use(await startSidecar(cp, { name: "web" }));
  await eventually("the mesh itself gets through", async () => {
    const { status } = await callHttp(web.outbound, { host: "app" });
    return status === 200 ? true : undefined;
  });
  const before = reached();
  const held = connectPlain({ host: "127.0.0.1", port: tcpPort });
  held.on("error", () => {});
  app.program.kill("SIGTERM");
  const drained = app.program.exited;
  for (let round = 0; round < 3; round++) for (const port of ports) await attack(port);
  await drained;
  assert.deepEqual(reached(), before, "while it drains");
  held.destroy();
});

/** Does one thing for as long as another is under way. */
const startingWhile = async <T>(starting: Promise<T>, meanwhile: () => Promise<void>, stop: () => void): Promise<T> => {
  const other = meanwhile();
  try {
    return await starting;
  } finally {
    stop();
    await other;
  }
};

const residentMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

/** What is garbage is collected soon, so that what is not stands out: unbounded, the heap swings by more than a leak. */
const smallHeap = { NODE_OPTIONS: "--max-old-space-size=128 --max-semi-space-size=4" };

test("20,000 handshakes with client certificates leave nothing behind", { timeout: 280_000 }, async () => {
  const server = await openApp();
  const { keyPem, chain } = foreign.issue({ notBeforeMs: now - 3_600_000, notAfterMs: now + 3_600_000, uri });
  const port = await findFreePort("127.0.0.1", 0);
  const type = (name: string): string => `type.googleapis.com/envoy.${name}`;
  const at = (portValue: number) => ({ socketAddress: { address: "127.0.0.1", portValue } });
  const bootstrap = {
    node: { id: "server", cluster: "server", metadata: { WEFT_HANDSHAKES_PER_SECOND: 100_000 } },
    admin: { address: at(await findFreePort("127.0.0.1", 0)) },
    staticResources: {
      listeners: [
        {
          name: "in",
          address: at(port),
          listenerFilters: [
            {
              name: "envoy.filters.listener.tls_inspector",
              typedConfig: { "@type": type("extensions.filters.listener.tls_inspector.v3.TlsInspector") },
            },
          ],
          filterChains: [
            {
              transportSocket: {
                name: "tls",
                typedConfig: {
                  "@type": type("extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
                  requireClientCertificate: true,
                  commonTlsContext: {
                    tlsCertificates: [
                      { certificateChain: { inlineString: chain.join("") }, privateKey: { inlineString: keyPem } },
                    ],
                    validationContext: { trustedCa: { inlineString: foreign.rootPem } },
                  },
                },
              },
              filters: [
                {
                  name: "tcp",
                  typedConfig: {
                    "@type": type("extensions.filters.network.tcp_proxy.v3.TcpProxy"),
                    statPrefix: "tcp",
                    cluster: "app",
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: "app",
          type: "STATIC",
          connectTimeout: "2s",
          loadAssignment: {
            clusterName: "app",
            endpoints: [{ lbEndpoints: [{ endpoint: { address: at(server.port) } }] }],
          },
        },
      ],
    },
  };
  const { mkdtempSync, rmSync, writeFileSync } = await import("node:fs");
  const { tmpdir } = await import("node:os");
  const { join } = await import("node:path");
  const folder = mkdtempSync(join(tmpdir(), "weft-handshakes-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "bootstrap.json");
  writeFileSync(file, JSON.stringify(bootstrap));
  const sidecar = stack.use(startWeft(["sidecar", "--bootstrap", file], { env: smallHeap }));
  await sidecar.waitFor(/\bready\b/);
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...foreignIdentity });
      socket.once("error", reject);
      socket.once("data", () => socket.destroy());
      socket.once("close", () => resolve());
      socket.write("x");
    });
  const many = async (count: number): Promise<void> => {
    const lanes = Array.from({ length: 32 }, async () => {
      for (let n = 0; n < count / 32; n++) await one();
    });
    await Promise.all(lanes);
  };
  await many(4_000);
  const { pid } = sidecar;
  const atFirst = residentMb(pid);
  await many(16_000);
  const inTheEnd = residentMb(pid);
  assert.ok(inTheEnd - atFirst < 16, `RSS ${atFirst.toFixed(1)} MB, then ${inTheEnd.toFixed(1)} MB`);
  sidecar.kill("SIGTERM");
  assert.equal(await sidecar.exited, 0);
});
