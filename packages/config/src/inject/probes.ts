/** Probes and hooks of the application that the kubelet would ask through the mesh: the proxy asks them in its stead. */
import { injectCodes, type TakeNote } from "./inject-note.ts";
import { isObject, type JsonObject, nameOf, objectOf, objectsOf } from "./json-values.ts";

/** Where in a container a question stands, and the path the proxy serves it at. */
const probePlaces = [
  ["readinessProbe", "readyz"],
  ["livenessProbe", "livez"],
  ["startupProbe", "startupz"],
] as const;
const hookPlaces = [
  ["preStop", "prestopz"],
  ["postStart", "poststartz"],
] as const;

export interface RewrittenProbes {
  readonly container: JsonObject;
  /** What the proxy is to ask, by the path it is asked at. */
  readonly probers: Readonly<Record<string, JsonObject>>;
}

interface Asked {
  readonly container: JsonObject;
  readonly statusPort: number;
  readonly takeNote: TakeNote;
  /** Of the container, from the pod's root. */
  readonly path: readonly (string | number)[];
}

/** Whether the kubelet asks a container of itself, or runs hooks over HTTP. */
export const isAsked = (container: JsonObject): boolean =>
  Object.keys(rewriteProbes({ container, statusPort: 1, takeNote: () => {}, path: [] }).probers).length > 0;

/** Moves the probes of one container to the proxy's status port. Commands run in the container and stay. */
export const rewriteProbes = (asked: Asked): RewrittenProbes => {
  const name = nameOf(asked.container);
  const probers: Record<string, JsonObject> = {};
  const changed: Record<string, unknown> = { ...asked.container };
  const move = (from: JsonObject, key: string, at: string): JsonObject | undefined => {
    const probe = from[key];
    if (!isObject(probe)) return undefined;
    const moved = moveProbe(asked, probe, { key, at });
    if (!moved) return undefined;
    probers[at] = moved.prober;
    return moved.probe;
  };
  for (const [key, word] of probePlaces) {
    const probe = move(asked.container, key, `/app-health/${name}/${word}`);
    if (probe) changed[key] = probe;
  }
  const hooks = objectOf(asked.container.lifecycle);
  for (const [key, word] of hookPlaces) {
    const hook = move(hooks, key, `/app-lifecycle/${name}/${word}`);
    if (hook) changed.lifecycle = { ...objectOf(changed.lifecycle), [key]: hook };
  }
  return { container: changed, probers };
};

const moveProbe = (
  { container, statusPort, takeNote, path }: Asked,
  probe: JsonObject,
  { key, at }: { readonly key: string; readonly at: string },
): { readonly probe: JsonObject; readonly prober: JsonObject } | undefined => {
  const kind = ["httpGet", "tcpSocket", "grpc"].find((one) => isObject(probe[one]));
  if (kind === undefined) return undefined;
  const question = objectOf(probe[kind]);
  // A probe of somewhere else does not come through this pod's proxy, and one that is moved already stays.
  if (typeof question.host === "string" && question.host !== "") return undefined;
  if (typeof question.path === "string" && question.path.startsWith("/app-health/")) return undefined;
  const port = portNumber(question.port, container);
  if (port === undefined) {
    const message = `the probe's port ${JSON.stringify(question.port)} is not among the container's: it is left as it is`;
    takeNote({ code: injectCodes.probeLeft, level: "warning", message, path: [...path, key] });
    return undefined;
  }
  const { timeoutSeconds } = probe;
  const prober = { [kind]: { ...question, port }, ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }) };
  const rest = Object.fromEntries(Object.entries(probe).filter(([field]) => field !== kind));
  return { probe: { ...rest, httpGet: { path: at, port: statusPort, scheme: "HTTP" } }, prober };
};

const portNumber = (port: unknown, container: JsonObject): number | undefined => {
  if (typeof port === "number") return port;
  if (typeof port !== "string") return undefined;
  if (/^\d+$/.test(port)) return Number(port);
  const found = objectsOf(container.ports).find((one) => one.name === port)?.containerPort;
  return typeof found === "number" ? found : undefined;
};
