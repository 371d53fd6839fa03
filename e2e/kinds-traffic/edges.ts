/** Edge proxies under a control plane: our own and a stock Envoy, each with a certificate by which it may read Secrets. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestCa, type TestCa } from "@weft/proxy/identity/testing/test-ca";
import type { TestControlPlane } from "@weft/testkit/control-plane";
import { startEnvoy } from "@weft/testkit/envoy";
import { startWeft } from "@weft/testkit/processes";
import { startSidecar } from "@weft/testkit/sidecar";

export const edgeNames = ["envoy", "weft"] as const;
export type EdgeName = (typeof edgeNames)[number];

const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;

const grpcCluster = (name: string, address: object, more: object = {}): object => ({
  name,
  type: "STATIC",
  connectTimeout: "2s",
  typedExtensionProtocolOptions: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": type("upstreams.http.v3.HttpProtocolOptions"),
      explicitHttpConfig: { http2ProtocolOptions: {} },
    },
  },
  loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] },
  ...more,
});

const grpcFrom = (clusterName: string): object => ({
  apiType: "GRPC",
  transportApiVersion: "V3",
  grpcServices: [{ envoyGrpc: { clusterName } }],
});

/** Keys of `weft agent`, with which Envoy goes to the control plane's secure address. */
const edgeBootstrap = (cp: TestControlPlane, name: string, socket: string): object => {
  const [address = "", port] = cp.secure.split(":");
  const keys = { apiConfigSource: grpcFrom("sds-grpc"), resourceApiVersion: "V3" };
  const transportSocket = {
    name: "envoy.transport_sockets.tls",
    typedConfig: {
      "@type": type("transport_sockets.tls.v3.UpstreamTlsContext"),
      commonTlsContext: {
        alpnProtocols: ["h2"],
        tlsCertificateSdsSecretConfigs: [{ name: "default", sdsConfig: keys }],
        validationContextSdsSecretConfig: { name: "ROOTCA", sdsConfig: keys },
      },
    },
  };
  const ads = { ads: {}, resourceApiVersion: "V3" };
  return {
    node: {
      id: `router~127.0.0.1~${name}.default~default.svc.cluster.local`,
      cluster: name,
      metadata: {
        NAMESPACE: "default",
        SERVICE_ACCOUNT: name,
        WORKLOAD_NAME: name,
        LABELS: { edge: "envoy" },
        WEFT_SDS: "sds-grpc",
      },
    },
    dynamicResources: { adsConfig: grpcFrom("plane"), ldsConfig: ads, cdsConfig: ads },
    staticResources: {
      clusters: [
        grpcCluster("plane", { socketAddress: { address, portValue: Number(port) } }, { transportSocket }),
        grpcCluster("sds-grpc", { pipe: { path: socket } }),
      ],
    },
  };
};

const startEnvoyEdge = async (stack: AsyncDisposableStack, cp: TestControlPlane): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-edge-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const socket = join(folder, "sds.sock");
  const agent = startWeft([
    ...["agent", "--cp", cp.secure, "--root-cert", cp.rootCertFile, "--token-file", cp.joinTokenFile],
    ...["--name", "edge-envoy", "--service-account", "edge-envoy", "--sds", socket, "--data", join(folder, "agent")],
  ]);
  stack.use(agent);
  await agent.waitFor(/\bready\b/);
  stack.use(await startEnvoy(edgeBootstrap(cp, "edge-envoy", socket)));
};

/** Starts both; they carry the label `edge` with their name, for Gateways to select. */
export const startEdges = async (stack: AsyncDisposableStack, cp: TestControlPlane): Promise<void> => {
  const ours = startSidecar(cp, { name: "edge-weft", labels: { edge: "weft" }, args: ["--gateway"] });
  await Promise.all([startEnvoyEdge(stack, cp), ours.then((edge) => void stack.use(edge))]);
};

export interface Keys {
  readonly key: string;
  readonly cert: string;
}

const day = 86_400_000;
export const testCa = (): TestCa => createTestCa(Date.now());
/** A key and its certificate, told from others by its name. */
export const keysOf = (ca: TestCa): Keys => {
  const uri = `spiffe://test/${randomUUID()}`;
  const { keyPem, chain } = ca.issue({ notBeforeMs: Date.now() - day, notAfterMs: Date.now() + day, uri });
  return { key: keyPem, cert: chain.join("") };
};

/** A Secret of the namespace of the edges. */
export const secretOf = (name: string, { key, cert }: Keys, authorities?: string): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "default" },
    type: "kubernetes.io/tls",
    stringData: { "tls.key": key, "tls.crt": cert, ...(authorities === undefined ? {} : { "ca.crt": authorities }) },
  });

export interface SecureAnswer {
  readonly status: number;
  readonly host: string;
  readonly body: string;
  /** The server's certificate, by the names in it. */
  readonly names: string;
}

/** One request over TLS to a port of loopback, on a connection of its own. */
export const askSecurely = (
  port: number,
  host: string,
  { keys, path = "/" }: { readonly keys?: Keys; readonly path?: string } = {},
): Promise<SecureAnswer> =>
  new Promise((resolve, reject) => {
    const sent = request(
      {
        ...{ host: "127.0.0.1", port, servername: host, path, agent: false, rejectUnauthorized: false, ...keys },
        headers: { host },
      },
      (response) => {
        const socket = response.socket as import("node:tls").TLSSocket;
        const names = socket.getPeerCertificate().subjectaltname ?? "";
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            host: String(response.headers["x-host"] ?? ""),
            body: Buffer.concat(parts).toString("utf8"),
            names,
          }),
        );
      },
    );
    sent.setTimeout(20_000, () => sent.destroy(new Error(`${host}: no answer in time`)));
    sent.on("error", reject);
    sent.end();
  });

/** All that is heard after some bytes were sent to a port of loopback. */
export const heardAfter = (port: number, say: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port });
    let heard = "";
    socket.setTimeout(20_000, () => socket.destroy(new Error(`nothing but: ${heard}`)));
    socket.on("error", reject);
    socket.on("close", () => resolve(heard));
    socket.on("data", (part: Buffer) => {
      heard += part.toString("latin1");
    });
    socket.write(say);
  });
