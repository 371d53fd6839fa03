/** What a service that is new costs where a sidecar takes everything: one stream with all clusters, endpoints and routes. */
import { setTimeout as delay } from "node:timers/promises";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { adsDeltaPath, decodeDeltaResponse, encodeDeltaRequest } from "@weft/xds/discovery";
import { typeUrl } from "@weft/xds/resource";
import { clustersType, listenersType, type WeftMesh } from "./control-planes.ts";
import { endpointsType } from "./load/ads/streams.ts";
import { exactCpuMicrosOf } from "./process-usage.ts";

export interface NewService {
  readonly cpuMicros: number;
  /** From the registration to the stream's having the route. */
  readonly tookMs: number;
  /** The longest that the control plane answered nobody. */
  readonly blockedMs: number;
}

export interface FullStream extends Disposable {
  /** Registers a service that was not there, and waits for its route. */
  add(index: number): Promise<NewService>;
  /** From opening to having everything. */
  readonly opened: NewService;
}

const routesType = typeUrl("envoy.config.route.v3.RouteConfiguration");
const pingMs = 2;
const afterMs = 100;

/** Asks the control plane's HTTP side again and again, until `work` is done: the longest time without an answer. */
const watched = async (mesh: WeftMesh, work: () => Promise<void>): Promise<NewService> => {
  const cpuBefore = exactCpuMicrosOf(mesh.pid);
  const startedMs = performance.now();
  let over = false;
  let blockedMs = 0;
  const ping = async (): Promise<void> => {
    while (!over) {
      const sentMs = performance.now();
      await fetch(`http://${mesh.cp.http}/ready`, { headers: { connection: "close" } }).then((one) =>
        one.arrayBuffer(),
      );
      blockedMs = Math.max(blockedMs, performance.now() - sentMs);
      await delay(pingMs);
    }
  };
  const pinging = ping();
  await work();
  const tookMs = performance.now() - startedMs;
  await delay(afterMs);
  over = true;
  await pinging;
  return { cpuMicros: exactCpuMicrosOf(mesh.pid) - cpuBefore, tookMs, blockedMs };
};

/** What the pings themselves cost, a millisecond. */
const pingCost = async (mesh: WeftMesh): Promise<number> => {
  const { cpuMicros, tookMs } = await watched(mesh, () => delay(500));
  return cpuMicros / (tookMs + afterMs);
};

export const openFullStream = async (mesh: WeftMesh, names: readonly string[]): Promise<FullStream> => {
  const [host = "", port = ""] = mesh.xds.split(":");
  const channel = createGrpcChannel({ target: { kind: "tcp", host, port: Number(port) } });
  const none = { unsubscribe: [], initialVersions: new Map<string, string>(), errorDetail: undefined };
  const waiting: { readonly typeUrl: string; readonly done: () => void }[] = [];
  const stream = channel.open(
    { path: adsDeltaPath },
    {
      onMessage(message) {
        const { typeUrl, nonce } = decodeDeltaResponse(message);
        stream.send(encodeDeltaRequest({ ...none, node: undefined, typeUrl, subscribe: [], responseNonce: nonce }));
        const at = waiting.findIndex((one) => one.typeUrl === typeUrl);
        if (at >= 0) waiting.splice(at, 1)[0]?.done();
      },
      onEnd: () => {},
    },
  );
  const received = (typeUrl: string): Promise<void> =>
    new Promise((done) => void waiting.push({ typeUrl, done: () => done() }));
  const ask = (typeUrl: string, subscribe: readonly string[], node?: object): void =>
    stream.send(encodeDeltaRequest({ ...none, node, typeUrl, subscribe, responseNonce: "" }));
  const metadata = { NAMESPACE: "default", INTERCEPTION_MODE: "REDIRECT" };
  const perMs = await pingCost(mesh);
  const net = (cost: NewService): NewService => ({
    ...cost,
    cpuMicros: cost.cpuMicros - perMs * (cost.tookMs + afterMs),
  });
  const opened = await watched(mesh, async () => {
    const routes = received(routesType);
    ask(clustersType, [], { id: "sidecar~10.250.0.9~all.default~default.svc.cluster.local", metadata });
    ask(endpointsType, names);
    ask(listenersType, []);
    ask(routesType, ["80"]);
    await routes;
  });
  return {
    opened: net(opened),
    add: async (index) =>
      net(
        await watched(mesh, async () => {
          const routes = received(routesType);
          const { path, headers, body } = mesh.change;
          await fetch(`http://${mesh.change.address}${path.replace("s{service}", `new${index}`)}`, {
            method: "PUT",
            headers,
            body: body.replace("{weight}", "1").replace("{high}", "200").replace("{low}", String(index)),
          });
          await routes;
        }),
      ),
    [Symbol.dispose]: () => channel[Symbol.dispose](),
  };
};
