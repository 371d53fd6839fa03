/** weft's control plane with registered services, and LinearCache serving what weft made of them. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createEmbeddedRegistry } from "@weft/control/registries/embedded/registry";
import { realClock } from "@weft/net/clock";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { openKeyValueStore } from "@weft/net/sqlite/key-value-store";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startProgram } from "@weft/testkit/processes";
import { adsDeltaPath, decodeDeltaResponse, encodeDeltaRequest } from "@weft/xds/discovery";
import { typeUrl } from "@weft/xds/resource";
import type { ChangeRequest } from "./load/ads/messages.ts";
import { endpointsType } from "./load/ads/streams.ts";
import type { Workshop } from "./peers.ts";
import { pin, systemCore } from "./process-usage.ts";

export const clustersType = typeUrl("envoy.config.cluster.v3.Cluster");
export const listenersType = typeUrl("envoy.config.listener.v3.Listener");

/** A control plane under test. */
export interface ServedMesh {
  readonly name: string;
  readonly pid: number;
  readonly xds: string;
  /** How an endpoint of a service gets another weight. */
  readonly change: ChangeRequest;
}

/** The names under which endpoints of `count` registered services are asked for. */
export const endpointNames = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `outbound|80||s${i}.default.svc.cluster.local`);

const instanceOf = (service: number, index: number, weight: number) => ({
  address: `10.${service >> 8}.${service & 255}.${index + 1}`,
  port: 8080,
  servicePort: 80,
  weight,
  ttlSeconds: 3600,
});

/** Fills a data folder's registry as the API would, but in one transaction. */
const seedRegistry = (folder: string, services: number, each: number): void => {
  const data = join(folder, "data");
  mkdirSync(data, { recursive: true, mode: 0o700 });
  using store = openKeyValueStore(join(data, "registry.sqlite"));
  const written = new Map<string, string | undefined>();
  const registry = createEmbeddedRegistry({
    clock: realClock,
    store: { load: () => [], write: (entries) => entries.forEach(({ key, value }) => void written.set(key, value)) },
  });
  for (let service = 0; service < services; service++) {
    for (let index = 0; index < each; index++) {
      const ref = { namespace: "default", service: `s${service}`, id: `i${index}` };
      registry.put(ref, instanceOf(service, index, 1));
    }
  }
  store.write([...written].map(([key, value]) => ({ key, value })));
};

export type WeftMesh = ServedMesh & { readonly cp: TestControlPlane };

/** Starts weft on the system's core with that many services of that many endpoints registered. */
export const startWeftMesh = async (workshop: Workshop, services: number, each: number): Promise<WeftMesh> => {
  const folder = mkdtempSync(join(workshop.folder, "weft-"));
  seedRegistry(folder, services, each);
  const cp = await startControlPlane({ folder, args: ["--log-level", "warn"] });
  workshop.own(cp.program);
  pin(cp.program.pid, systemCore);
  const body = JSON.stringify(instanceOf(0, 0, 1));
  return {
    cp,
    name: "weft",
    pid: cp.program.pid,
    xds: cp.xds,
    change: {
      address: cp.http,
      method: "PUT",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${readFileSync(cp.adminTokenFile, "utf8").trim()}`,
      },
      path: "/v1/registry/s{service}/instances/i0",
      body: body.replace('"weight":1', '"weight":{weight}').replace("10.0.0.1", "10.{high}.{low}.1"),
    },
  };
};

/** What weft serves of these services, as the messages it serves it in, for LinearCache to serve the same. */
const saveResources = async ({ xds }: ServedMesh, names: readonly string[], file: string): Promise<void> => {
  const [host = "", port = ""] = xds.split(":");
  using channel = createGrpcChannel({ target: { kind: "tcp", host, port: Number(port) } });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const kept: Buffer[] = [];
  const missing = new Set(names);
  const keep = (message: Uint8Array): void => {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(message.length);
    kept.push(size, Buffer.from(message));
  };
  const none = { unsubscribe: [], initialVersions: new Map<string, string>(), errorDetail: undefined };
  const stream = channel.open(
    { path: adsDeltaPath },
    {
      onMessage: (message) => {
        keep(message);
        const { typeUrl, nonce, resources } = decodeDeltaResponse(message);
        stream.send(encodeDeltaRequest({ ...none, node: undefined, typeUrl, subscribe: [], responseNonce: nonce }));
        if (typeUrl === endpointsType) for (const { name } of resources) missing.delete(name);
        if (missing.size === 0) resolve();
      },
      onEnd: (error) => reject(error ?? new Error("the server ended the stream")),
    },
  );
  const node = { id: "sidecar~10.250.0.1~saver.default~default.svc.cluster.local", metadata: { NAMESPACE: "default" } };
  const ask = { ...none, responseNonce: "" };
  stream.send(encodeDeltaRequest({ ...ask, node, typeUrl: clustersType, subscribe: [] }));
  stream.send(encodeDeltaRequest({ ...ask, node: undefined, typeUrl: endpointsType, subscribe: names }));
  await promise;
  writeFileSync(file, Buffer.concat(kept));
};

/** Builds the peer and has it serve what `weft` does. */
export const startLinearCache = async (
  workshop: Workshop,
  weft: ServedMesh,
  names: readonly string[],
): Promise<ServedMesh> => {
  const folder = join(import.meta.dirname, "linear-cache");
  const binary = join(workshop.folder, "linear-cache");
  const { status, stderr } = spawnSync("go", ["build", "-o", binary, "."], { cwd: folder, encoding: "utf8" });
  if (status !== 0)
    throw new Error(`WF9063 could not build the LinearCache peer: ${stderr}. Next: install Go 1.24 or later`);
  const file = join(workshop.folder, "resources");
  await saveResources(weft, names, file);
  const program = workshop.own(startProgram(binary, [file], { env: { GOMAXPROCS: "1" } }));
  const [, xds = "", address = ""] = await program.waitFor(/ready xds=(\S+) control=(\S+)/);
  pin(program.pid, systemCore);
  const name = encodeURIComponent(names[0] ?? "").replace("s0", "s{service}");
  const path = `/change?weight={weight}&name=${name}`;
  return {
    name: "LinearCache",
    pid: program.pid,
    xds,
    change: { address, method: "GET", headers: {}, path, body: "" },
  };
};
