/** The real servers by one interface, for faults that concern them all. */
import { readdirSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import type { TestSidecar } from "@weft/testkit/sidecar";
import { startApiServer } from "../kubernetes/real-api-server.ts";

import { here, type Place } from "../registries/place.ts";
import { startConsul } from "../registries/real-consul.ts";
import { startEtcd } from "../registries/real-etcd.ts";
import { startNacos } from "../registries/real-nacos.ts";
import { startZookeeper } from "../registries/real-zookeeper.ts";
import { connectWriter } from "../registries/zookeeper-writer.ts";
import type { Keeper } from "./older-state.ts";

export interface Registry extends AsyncDisposable {
  /** As the source is called where its URL is the only one of its kind. */
  readonly name: string;
  readonly url: string;
  readonly server: Keeper;
  /** Stays until somebody takes it out, or changes it. */
  register(instance: Registered): Promise<void>;
  deregister(instance: Registered): Promise<void>;
  /** What a client asks for the service by. */
  hostOf(instance: Registered): string;
}

export interface Registered {
  readonly service: string;
  readonly id: string;
  readonly port: number;
}

/** Calls go through. */
export const answersBy = (sidecar: TestSidecar, host: string): Promise<boolean> =>
  eventually(`${host} answers`, async () => {
    const { status, body } = await callHttp(sidecar.outbound, { host });
    if (status !== 200) throw new Error(`it answers ${status}: ${body}`);
    return true;
  });

/** Waits for all, also where one fails, so that everything that was started is disposed of. */
export const openAll = async <T>(opening: Iterable<Promise<T>>): Promise<readonly T[]> => {
  const settled = await Promise.allSettled(opening);
  return settled.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
};

const servicePort = 80;
const byName = ({ service }: Registered): string => service;

/** Whether each text is in some file below the folder. */
const isWithin = (folder: string, texts: Iterable<string>): boolean => {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const contents = files.map(({ parentPath, name }) => readFileSync(join(parentPath, name)));
  return [...texts].every((text) => contents.some((content) => content.includes(text)));
};

export const openEtcd = async (place: Place = here): Promise<Registry> => {
  const etcd = await startEtcd({ place });
  const keyOf = ({ service, id }: Registered): string => `/weft/default/${service}/${id}`;
  return {
    ...{ name: "etcd", url: `etcd://${etcd.address}/weft`, server: etcd, hostOf: byName },
    register: (one) => {
      const value = { address: "127.0.0.1", port: one.port, servicePort, protocol: "http" };
      return etcd.put(keyOf(one), JSON.stringify(value));
    },
    deregister: (one) => etcd.delete(keyOf(one)),
    [Symbol.asyncDispose]: () => etcd[Symbol.asyncDispose](),
  };
};

/** Six seconds of a session: what is cut off is known to be after four. */
export const openZookeeper = async (place: Place = here): Promise<Registry> => {
  const zookeeper = await startZookeeper(undefined, place);
  const pathOf = ({ service, id }: Registered): string => `/services/${service}/${id}`;
  const writer = () => connectWriter(zookeeper.port, undefined, place.testHost);
  const uriSpec = { parts: [{ value: "http://", variable: false }] };
  return {
    ...{ name: "zookeeper", server: zookeeper, hostOf: ({ service, port }) => `${service}:${port}` },
    url: `zookeeper://${zookeeper.address}/services?session-timeout-ms=6000`,
    register: async (one) => {
      using own = await writer();
      await own.create(pathOf(one), JSON.stringify({ address: "127.0.0.1", port: one.port, uriSpec }));
    },
    deregister: async (one) => {
      using own = await writer();
      await own.delete(pathOf(one));
    },
    [Symbol.asyncDispose]: () => zookeeper[Symbol.asyncDispose](),
  };
};

export const openConsul = async (place: Place = here): Promise<Registry> => {
  const consul = await startConsul({ place });
  const idOf = ({ service, id }: Registered): string => `${service}-${id}`;
  return {
    ...{ name: "consul", url: `consul://${consul.address}`, server: consul, hostOf: byName },
    register: (one) => {
      const meta = { "service-port": String(servicePort), protocol: "http" };
      return consul.register({ name: one.service, id: idOf(one), port: one.port, meta });
    },
    deregister: (one) => consul.deregister(idOf(one)),
    [Symbol.asyncDispose]: () => consul[Symbol.asyncDispose](),
  };
};

export const openNacosByHttp = (): Promise<Registry> => openNacos(here, { name: "nacos-http", transport: "http" });

export const openNacos = async (
  place: Place = here,
  { name, transport } = { name: "nacos", transport: "auto" },
): Promise<Registry> => {
  const nacos = await startNacos({ place });
  const options = `grpc-port=${nacos.grpcPort}&name=${name}&transport=${transport}`;
  /** This Nacos answers before it has written, and what is killed in between is not what a registry forgets. */
  const written = new Set<string>();
  const kill = async (): Promise<void> => {
    await eventually("all is written", () => isWithin(nacos.dataFolder, written) || undefined);
    await nacos.kill();
  };
  return {
    ...{ name, url: `nacos://${nacos.address}?${options}`, server: { ...nacos, kill }, hostOf: byName },
    register: ({ service, port }) => {
      written.add(service);
      const metadata = { protocol: "http", "service-port": String(servicePort) };
      return nacos.register({ service, port, metadata, ephemeral: false });
    },
    deregister: ({ service, port }) => nacos.deregister(service, port),
    [Symbol.asyncDispose]: () => nacos[Symbol.asyncDispose](),
  };
};

/** Kubernetes takes no loopback address in a slice. */
const hostAddress =
  Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";

const kubernetesServices = "/api/v1/namespaces/default/services";
const kubernetesSlices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

export interface KubernetesRegistry extends Registry {
  readonly address: string;
  /** The URL by another address of the same server. */
  urlBy(address: string): string;
}

/** A slice for each instance. */
export const openKubernetes = async (place: Place = here): Promise<KubernetesRegistry> => {
  const cluster = await startApiServer({ place });
  const nameOf = ({ service, id }: Registered): string => `${service}-${id}`;
  const { kill, restart, etcd } = cluster;
  const urlOf = (kubeconfig: string): string => `kubernetes://?kubeconfig=${kubeconfig}`;
  return {
    address: `${place.host}:${cluster.port}`,
    urlBy: (address) => urlOf(cluster.adminKubeconfig("by-another-address", `https://${address}`)),
    ...{
      name: "kubernetes",
      url: urlOf(cluster.kubeconfig),
      server: { kill, restart, dataFolder: etcd.dataFolder },
      hostOf: byName,
    },
    register: async (one) => {
      const spec = { ports: [{ name: "http", port: servicePort }] };
      await cluster.apply(kubernetesServices, { metadata: { name: one.service }, spec });
      await cluster.apply(kubernetesSlices, {
        metadata: { name: nameOf(one), labels: { "kubernetes.io/service-name": one.service } },
        ...{ addressType: "IPv4", ports: [{ name: "http", port: one.port }] },
        endpoints: [{ addresses: [hostAddress], conditions: { ready: true } }],
      });
    },
    deregister: (one) => cluster.delete(`${kubernetesSlices}/${nameOf(one)}`),
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
};
