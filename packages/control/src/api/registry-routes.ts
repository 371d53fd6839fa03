/** `/v1/registry`: what services there are, and instances that applications register themselves. */
import type { AnalyzeContext } from "@weft/config/analyze/facts";
import { WeftError } from "@weft/core/error";
import { type Route, route } from "@weft/net/http/routes";
import { HttpRefusal, type HttpReply, type HttpRequest } from "@weft/net/http/server";
import type { SeenEndpoint, SeenService } from "../loads/reported-health.ts";
import type { HeardEndpoint } from "../loads/shared-health.ts";
import type { MeshModel } from "../model/mesh-model.ts";
import { type EndpointRecord, idOfEndpoint, type Service } from "../model/service.ts";
import type { Instance, InstanceRef } from "../registries/embedded/instance.ts";
import { type Later, type RegistryBook, registryStatus } from "../registries/embedded/registry.ts";
import { json, jsonBody, listAnswer, notFound, param, parseLabels } from "./answers.ts";

export interface RegistryRoutesOptions {
  readonly registry: RegistryBook;
  readonly model: MeshModel;
  /** Makes what was registered count at once, so that who writes reads it. */
  readonly commit: () => void;
  /** What proxies report of a service's endpoints. */
  readonly seen: (service: string) => SeenService;
  /** Of the proxies of all replicas, where there may be several. */
  readonly heard?: ((service: string) => ReadonlyMap<string, HeardEndpoint>) | undefined;
}

/** Bytes a watcher may be behind before it is cut off; it comes back with `since`. */
const watchLagBytesMax = 8 * 1024 * 1024;

export const registryRoutes = ({ registry, model, commit, seen, heard }: RegistryRoutesOptions): readonly Route[] => {
  const find = (request: HttpRequest): Service => {
    const wanted = param(request, "service");
    const namespace = request.query.get("namespace");
    const found = [...model.services.values()].filter(
      (service) => isCalled(service, wanted) && (namespace === null || service.namespace === namespace),
    );
    const [service, other] = found;
    if (!service)
      throw notFound(`there is no service ${wanted}`, "weft registry, or GET /v1/registry, lists those there are");
    if (!other) return service;
    const ones = found.map(({ name, namespace: own }) => `${name}.${own}`).join(", ");
    throw new HttpRefusal(409, "WF8409", `${wanted} means ${found.length} services: ${ones}`, {
      next: "give namespace",
    });
  };
  const endpointsOf = ({ key }: Service): readonly EndpointRecord[] => model.endpoints.get(key)?.endpoints ?? [];

  return [
    route("GET", "/v1/registry", ({ query }) => {
      const namespace = query.get("namespace");
      const services = [...model.services.values()].filter(
        (service) => namespace === null || service.namespace === namespace,
      );
      const items = services
        .sort((a, b) => (a.key < b.key ? -1 : 1))
        .map((service) => shown(service, endpointsOf(service)));
      return listAnswer("Service", items, { resourceVersion: registry.version() });
    }),
    route("GET", "/v1/registry/watch", (request) => watchAnswer(registry, request)),
    route("GET", "/v1/registry/{service}", (request) => {
      const service = find(request);
      return json({
        ...shown(service, endpointsOf(service)),
        identities: service.identities,
        conflicts: service.conflicts,
      });
    }),
    route("GET", "/v1/registry/{service}/endpoints", (request) => {
      const port = request.query.get("port");
      const labels = parseLabels(request.query.get("labels") ?? "");
      const service = find(request);
      const proxies = seen(service.key);
      const everywhere = heard?.(service.key);
      const items = endpointsOf(service)
        .filter(({ servicePort }) => port === null || String(servicePort) === port)
        .filter((endpoint) => labels.every(([name, value]) => endpoint.labels[name] === value));
      return listAnswer(
        "Endpoint",
        items.map((one) => shownEndpoint(one, proxies.get(idOfEndpoint(one)), everywhere?.get(idOfEndpoint(one)))),
      );
    }),
    route("GET", "/v1/registry/{service}/instances/{id}", (request) =>
      answered(() => {
        const instance = registry.get(refIn(request));
        if (!instance) throw notFound(`instance ${param(request, "id")} is not registered`);
        return instanceAnswer(instance, 200);
      }),
    ),
    route("PUT", "/v1/registry/{service}/instances/{id}", (request) =>
      answered(async () => {
        const body = jsonBody(request);
        const { instance, created } = await registry.put(refIn(request, body.namespace), body, ifMatch(request));
        commit();
        return instanceAnswer(instance, created ? 201 : 200);
      }),
    ),
    route("DELETE", "/v1/registry/{service}/instances/{id}", (request) =>
      answered(async () => {
        const instance = await registry.remove(refIn(request), ifMatch(request));
        commit();
        return instanceAnswer(instance, 200);
      }),
    ),
    route("POST", "/v1/registry/{service}/instances/{id}/heartbeat", (request) =>
      answered(async () => {
        const instance = await registry.heartbeat(refIn(request));
        commit();
        return instanceAnswer(instance, 200);
      }),
    ),
  ];
};

const shown = (service: Service, endpoints: readonly EndpointRecord[]) => ({
  name: service.name,
  namespace: service.namespace,
  hostname: service.hostname,
  ports: service.ports.map(({ number, name, protocol }) => ({ number, name, protocol })),
  endpoints: new Set(endpoints.map(({ address, port }) => `${address} ${port}`)).size,
  healthy: endpoints.filter(({ health }) => health === "healthy").length,
  sources: service.sources,
});

/** `sentAs` is the health that proxies are told: the registry's own, unless enough of them found it failed. */
const shownEndpoint = (
  endpoint: EndpointRecord,
  proxies: SeenEndpoint | undefined,
  everywhere: HeardEndpoint | undefined,
) => ({
  address: endpoint.address,
  port: endpoint.port,
  servicePort: endpoint.servicePort,
  workload: endpoint.workload,
  namespace: endpoint.namespace,
  serviceAccount: endpoint.serviceAccount,
  health: endpoint.health,
  sentAs: endpoint.health === "healthy" && endpoint.reportedFailed ? "unhealthy" : endpoint.health,
  ...(endpoint.held ? { held: endpoint.held } : {}),
  ...(proxies ? { proxies } : {}),
  ...(everywhere ? { everywhere } : {}),
  weight: endpoint.weight,
  locality: endpoint.locality,
  tls: endpoint.meshTls,
  source: endpoint.source,
  labels: endpoint.labels,
});

const refIn = (request: HttpRequest, inBody?: unknown): InstanceRef => ({
  namespace: request.query.get("namespace") ?? (typeof inBody === "string" ? inBody : "default"),
  service: param(request, "service"),
  id: param(request, "id"),
});

const instanceAnswer = (instance: Instance, status: number): HttpReply => ({
  kind: "json",
  status,
  body: instance,
  headers: { etag: `"${instance.resourceVersion}"` },
});

/** `If-Match: "VERSION"`, quoted or not. Refuses what is not a version with 400 WF8400. */
const ifMatch = ({ headers }: HttpRequest): { readonly ifMatch?: number } => {
  const given = headers["if-match"];
  if (typeof given !== "string") return {};
  const version = /^"?(\d{1,15})"?$/.exec(given)?.[1];
  if (version === undefined) throw new HttpRefusal(400, "WF8400", "If-Match is not the version of an instance");
  return { ifMatch: Number(version) };
};

/** The registry's refusals with their HTTP statuses. */
const answered = async (run: () => Later<HttpReply>): Promise<HttpReply> => {
  try {
    return await run();
  } catch (error) {
    if (error instanceof HttpRefusal || !(error instanceof WeftError)) throw error;
    const { code, message, next } = error;
    throw new HttpRefusal(registryStatus.get(code) ?? 400, code, message, next === undefined ? {} : { next });
  }
};

const watchAnswer = async (registry: RegistryBook, { query, signal }: HttpRequest): Promise<HttpReply> => {
  const text = query.get("since");
  if (text !== null && !/^\d{1,15}$/.test(text)) throw new HttpRefusal(400, "WF8400", "since is not a version");
  const since = text === null ? {} : { since: Number(text) };
  return answered(() => {
    // Refuses a version too old now, while the answer can still be a refusal.
    registry.watch(since, () => {})[Symbol.dispose]();
    return lines(registry, since, signal);
  });
};

const lines = (registry: RegistryBook, since: { readonly since?: number }, signal: AbortSignal): HttpReply => ({
  kind: "lines",
  start: (out) => {
    let watching: Disposable | undefined;
    watching = registry.watch(since, (event) => {
      out.write(event);
      if (out.queuedBytes() <= watchLagBytesMax) return;
      watching?.[Symbol.dispose]();
      out.end();
    });
    signal.addEventListener("abort", () => watching?.[Symbol.dispose](), { once: true });
  },
});

/** What registries know that no configuration says, for findings that depend on it. */
export const registryFacts = (
  registry: Pick<RegistryBook, "list">,
  model: MeshModel,
  outside: readonly { readonly name: string }[],
): AnalyzeContext => {
  const registries = new Set(["Registry", ...outside.map(({ name }) => name)]);
  const own = [...model.services.values()].filter(({ sources }) => sources.some((source) => registries.has(source)));
  return {
    services: own.map(({ key, hostname, namespace, ports, location }) => ({
      hostname,
      namespace,
      ports: ports.map(({ number, name, protocol }) => ({ number, name, protocol })),
      endpointLabels: (model.endpoints.get(key)?.endpoints ?? []).map(({ labels }) => labels),
      external: location === "external",
    })),
    workloads: registry.list().map(({ namespace, id, labels, ports, serviceAccount }) => ({
      namespace,
      name: id,
      labels,
      ports: ports.map(({ appPort, name, protocol }) => ({ number: appPort, name, protocol })),
      serviceAccount,
    })),
  };
};

/** Whether it is the service's name, its host name, or as much of that as tells it within the mesh. */
const isCalled = ({ name, hostname, namespace }: Service, wanted: string): boolean =>
  [name, hostname, `${name}.${namespace}`].includes(wanted) ||
  (hostname.includes(".svc.") && hostname.startsWith(`${wanted}.`));
