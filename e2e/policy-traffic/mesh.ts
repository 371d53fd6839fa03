/** A small mesh to see policies act in: configuration of hosts at loopback addresses, and clients that call through it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import type { TestControlPlane } from "@weft/testkit/control-plane";
import { startEnvoy } from "@weft/testkit/envoy";
import { eventually } from "@weft/testkit/eventually";
import { startWeft } from "@weft/testkit/processes";

/** What nobody wrote is as in Istio, so that only what is written shows. */
const asIstio = `
apiVersion: weft.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: istio-system}
spec: {profile: istio}
`;

export const together = (...documents: readonly string[]): string => documents.join("\n---\n");

export interface Place {
  readonly address: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly locality?: string;
  readonly weight?: number;
}

/** `127.NET.0.1` and so on: hosts that no other service of the test has. */
export const places = (net: number, count: number): readonly Place[] =>
  Array.from({ length: count }, (_, i) => ({ address: `127.${net}.0.${i + 1}` }));

/** A ServiceEntry for a host with fixed places. */
export const entryOf = (
  host: string,
  endpoints: readonly Place[],
  { port, protocol = "HTTP", namespace = "default", number = 80 }: EntryOptions,
): string =>
  JSON.stringify({
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name: host.replaceAll(".", "-"), namespace },
    spec: {
      hosts: [host],
      ports: [{ number, name: "main", protocol }],
      resolution: "STATIC",
      location: "MESH_EXTERNAL",
      endpoints: endpoints.map((place) => ({ ...place, ports: { main: port } })),
    },
  });

export interface EntryOptions {
  readonly port: number;
  readonly protocol?: string;
  readonly namespace?: string;
  readonly number?: number;
}

/** A DestinationRule from the YAML of its spec after `host`. */
export const ruleOf = (host: string, spec: string, { namespace = "default", name = host } = {}): string => `
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: ${name.replaceAll(".", "-")}, namespace: ${namespace}}
spec:
  host: ${host}
${spec.replace(/^\n/, "").trimEnd()}
`;

/** A VirtualService from the YAML of its list `http`. */
export const routesOf = (host: string, http: string, namespace = "default"): string => `
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: ${host.replaceAll(".", "-")}, namespace: ${namespace}}
spec:
  hosts: [${host}]
  http:
${http.replace(/^\n/, "").trimEnd()}
`;

/** What every configuration begins with; `ready.test` tells that a proxy has all of it. */
export const foundation = (port: number): string =>
  together(asIstio, entryOf("ready.test", [{ address: "127.0.0.9" }], { port }));

export interface Answer {
  readonly status: number;
  /** The address of the host that answered; empty where the proxy did. */
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Ask {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Where the client calls from. */
  readonly from?: string;
}

export interface Client extends AsyncDisposable {
  readonly name: "envoy" | "weft";
  readonly outbound: string;
  readonly admin: string;
  ask(host: string, call?: Ask): Promise<Answer>;
  /** Requests one after the other; who answered each, or the status where nobody did. */
  askMany(host: string, count: number, call?: (i: number) => Ask): Promise<readonly string[]>;
  /** A number of the statistics of a host's cluster at port 80. */
  stat(host: string, name: string): Promise<number>;
  /** Waits until so many places of a host are ejected: Envoy notes it a moment after the answer. */
  ejected(host: string, count: number): Promise<void>;
}

export const askThrough = (outbound: string, host: string, call: Ask = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const at = outbound.lastIndexOf(":");
    const sent = request(
      {
        host: outbound.slice(0, at),
        port: Number(outbound.slice(at + 1)),
        agent: false,
        method: call.method ?? "GET",
        path: call.path ?? "/",
        headers: { host, ...call.headers },
        ...(call.from === undefined ? {} : { localAddress: call.from }),
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("error", reject);
        response.on("end", () => {
          const headers = Object.fromEntries(
            Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
          );
          const body = Buffer.concat(parts).toString("utf8");
          resolve({ status: response.statusCode ?? 0, host: headers["x-host"] ?? "", headers, body });
        });
      },
    );
    sent.setTimeout(20_000, () => sent.destroy(new Error(`${host}: no answer in time`)));
    sent.on("error", reject);
    sent.end();
  });

const statOf = async (admin: string, name: string): Promise<number> => {
  const filter = name.replaceAll(/[|.$^]/g, "\\$&");
  const text = await (await fetch(`http://${admin}/stats?filter=${encodeURIComponent(filter)}`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${name}: `));
  return Number(line?.slice(name.length + 2) ?? 0);
};

export interface ClientPlace {
  readonly namespace?: string;
  readonly region?: string;
  readonly zone?: string;
}

/** The same bootstrap for both kinds of proxy: a client in explicit mode, without keys, that learns all from the plane. */
const bootstrapOf = (cp: TestControlPlane, outbound: string, place: ClientPlace): object => {
  const { namespace = "default", region, zone = "" } = place;
  const [address = "", port] = cp.xds.split(":");
  const ads = { ads: {}, resourceApiVersion: "V3" };
  const endpoint = { address: { socketAddress: { address, portValue: Number(port) } } };
  return {
    node: {
      id: `sidecar~127.0.0.1~client.${namespace}~${namespace}.svc.cluster.local`,
      cluster: "client",
      ...(region === undefined ? {} : { locality: { region, zone } }),
      metadata: { NAMESPACE: namespace, INTERCEPTION_MODE: "NONE", WEFT_OUTBOUND: outbound, LABELS: { app: "client" } },
    },
    dynamicResources: {
      adsConfig: {
        apiType: "GRPC",
        transportApiVersion: "V3",
        grpcServices: [{ envoyGrpc: { clusterName: "plane" } }],
      },
      ldsConfig: ads,
      cdsConfig: ads,
    },
    staticResources: {
      clusters: [
        {
          name: "plane",
          type: "STATIC",
          connectTimeout: "2s",
          typedExtensionProtocolOptions: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
              explicitHttpConfig: { http2ProtocolOptions: {} },
            },
          },
          loadAssignment: { clusterName: "plane", endpoints: [{ lbEndpoints: [{ endpoint }] }] },
        },
      ],
    },
  };
};

const startOurs = async (bootstrap: object): Promise<{ readonly admin: string } & AsyncDisposable> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-policy-traffic-"));
  const file = join(folder, "bootstrap.json");
  const admin = { address: { socketAddress: { address: "127.0.0.1", portValue: 0 } } };
  writeFileSync(file, JSON.stringify({ admin, ...bootstrap }));
  const program = startWeft(["sidecar", "--bootstrap", file]);
  const stop = async (): Promise<void> => {
    await program[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  };
  const [, at = ""] = await program.waitFor(/\bready\b.*\badmin=(\S+)/).catch(async (error) => {
    await stop();
    throw error;
  });
  return { admin: at, [Symbol.asyncDispose]: stop };
};

/** Starts a proxy that clients call, and waits until it serves. */
export const startClient = async (
  cp: TestControlPlane,
  name: Client["name"],
  place: ClientPlace = {},
): Promise<Client> => {
  const outbound = `127.0.0.1:${await findFreePort("127.0.0.1", 0)}`;
  const bootstrap = bootstrapOf(cp, outbound, place);
  const running = name === "envoy" ? await startEnvoy(bootstrap) : await startOurs(bootstrap);
  const ask: Client["ask"] = (host, call) => askThrough(outbound, host, call);
  const stat: Client["stat"] = (host, rest) => statOf(running.admin, `cluster.outbound|80||${host};.${rest}`);
  await eventually(`${name} serves`, async () => (await ask("ready.test")).status === 200 || undefined);
  return {
    ...{ name, outbound, admin: running.admin, ask },
    async askMany(host, count, call) {
      const seen: string[] = [];
      for (let i = 0; i < count; i++) {
        const { status, host: from } = await ask(host, call?.(i));
        seen.push(status === 200 ? from : String(status));
      }
      return seen;
    },
    stat,
    ejected: (host, count) =>
      eventually(
        `${count} places of ${host} are ejected`,
        async () => (await stat(host, "outlier_detection.ejections_active")) === count || undefined,
      ).then(() => {}),
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
};

/** How often each was there. */
export const tally = (seen: readonly string[]): Readonly<Record<string, number>> => {
  const counts = new Map<string, number>();
  for (const one of seen) counts.set(one, (counts.get(one) ?? 0) + 1);
  return Object.fromEntries(counts);
};

const kinds = ["envoy", "weft"] as const;

/** A stock Envoy and our sidecar, in this order. */
export const startBoth = async (
  stack: AsyncDisposableStack,
  cp: TestControlPlane,
  place: ClientPlace = {},
): Promise<readonly Client[]> => {
  const clients = await Promise.all(kinds.map((name) => startClient(cp, name, place)));
  for (const client of clients) stack.use(client);
  return clients;
};

/** Declares tests that hold for both. */
export const testsFor =
  (clients: () => readonly Client[]) =>
  (what: string, check: (client: Client) => Promise<void>): void => {
    for (const [i, name] of kinds.entries())
      test(`${what} (${name})`, { timeout: 60_000 }, () => check(clients()[i] as Client));
  };
