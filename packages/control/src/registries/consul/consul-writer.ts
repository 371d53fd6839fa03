/**
 * Instances of the mesh as services of a Consul agent. All hang by alias checks on one more service, the writer, whose
 * time-to-live alone is renewed: one call for any number of instances. When nobody renews it, it and all that hang on
 * it fail after 30 s, and the agent takes them out a minute later, which is Consul's least.
 */
import { type OutsideNames, outsideName, outsideNames } from "../outside/outside-names.ts";
import {
  type OpenWriter,
  WriteRefusal,
  type WriteSession,
  type WriteTools,
  type WrittenInstance,
  writtenByLabel,
  writtenTtlMs,
} from "../outside/write-session.ts";
import { type ConsulCalls, ConsulError } from "./consul-calls.ts";
import { consulMeta } from "./consul-record.ts";

export interface ConsulWriterOptions {
  readonly dial: () => ConsulCalls;
  /** Its services keep their names; others are `SERVICE-NAMESPACE`. */
  readonly toNamespace: string;
}

/** Consul takes no less. */
const deregisterAfter = "1m";
/** How long a failed check of an instance stays as it was said: for ever, in words of Consul's. */
const standsFor = "87600h";
const metaCharsMax = 512;
const metaPairsMax = 64;
const weightMax = 65_535;

/** To be made once for a target: names are kept over its sessions. */
export const openConsulWriter =
  ({ dial, toNamespace }: ConsulWriterOptions, names = outsideNames(toNamespace)): OpenWriter =>
  async (tools) => {
    const calls = dial();
    try {
      await putWriter(calls, tools.mesh);
    } catch (error) {
      calls[Symbol.dispose]();
      throw error;
    }
    return writeSession(calls, tools, { toNamespace, names });
  };

const writeSession = (
  calls: ConsulCalls,
  { mesh }: WriteTools,
  { toNamespace, names }: { readonly toNamespace: string; readonly names: OutsideNames },
): WriteSession => ({
  async put(instance) {
    names.take(instance);
    const service = consulService(instance, mesh, toNamespace);
    await unlessRefused(calls.put("/v1/agent/service/register?replace-existing-checks=true", service));
  },
  async remove(instance) {
    if (!names.holds(instance)) return;
    try {
      await calls.put(`/v1/agent/service/deregister/${encodeURIComponent(consulId(instance.key, mesh))}`);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    names.leave(instance);
  },
  async renew(instances) {
    try {
      await calls.put(`/v1/agent/check/pass/${encodeURIComponent(checkOf(writerId(mesh)))}`);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await putWriter(calls, mesh);
    }
    const filter = `${JSON.stringify(writtenByLabel)} in Meta and Meta[${JSON.stringify(writtenByLabel)}] == ${JSON.stringify(mesh)}`;
    const { body } = await calls.get("/v1/agent/services", { query: { filter } });
    const there = new Set(Object.keys(body ?? {}));
    return [...instances.keys()].filter((key) => !there.has(consulId(key, mesh)));
  },
  [Symbol.dispose]: () => calls[Symbol.dispose](),
});

const putWriter = async (calls: ConsulCalls, mesh: string): Promise<void> => {
  const id = writerId(mesh);
  await calls.put("/v1/agent/service/register", {
    ID: id,
    Name: "weft",
    Meta: { [consulMeta.writer]: mesh, [writtenByLabel]: mesh },
    Check: {
      CheckID: checkOf(id),
      Name: "the control plane lives",
      TTL: `${writtenTtlMs / 1_000}s`,
      Status: "passing",
      DeregisterCriticalServiceAfter: deregisterAfter,
    },
  });
  await calls.put(`/v1/agent/check/pass/${encodeURIComponent(checkOf(id))}`);
};

const writerId = (mesh: string): string => `weft-${mesh}`;
/** Parted by what no name of the mesh holds: with a dash, `web` with `a-1` would be `web-a` with `1`. */
const consulId = (key: string, mesh: string): string => `weft-${mesh}-${key.replaceAll("/", ":")}`;
const checkOf = (id: string): string => `service:${id}`;

/** What an agent is asked to register; exported for its tests. */
export const consulService = (instance: WrittenInstance, mesh: string, toNamespace: string) => {
  const { namespace, address, port, weight, health } = instance;
  const id = consulId(instance.key, mesh);
  const life = {
    CheckID: checkOf(id),
    Name: "the control plane that wrote it lives",
    AliasService: writerId(mesh),
    Status: "passing",
    DeregisterCriticalServiceAfter: deregisterAfter,
  };
  // Without a time after which it is taken out: it is not for Consul to say that an unhealthy instance is gone.
  const failed = { CheckID: `${checkOf(id)}:health`, Name: "health", TTL: standsFor, Status: "critical" };
  const maintenance = { ...failed, CheckID: `_service_maintenance:${id}`, Name: "draining" };
  return {
    ID: id,
    Name: outsideName(instance, toNamespace),
    Address: address,
    Port: port,
    ...metaAndTags(instance, namespace === toNamespace ? undefined : namespace),
    Weights: { Passing: Math.min(Math.max(1, weight), weightMax), Warning: 1 },
    Checks: [life, ...(health === "unhealthy" ? [failed] : []), ...(health === "draining" ? [maintenance] : [])],
  };
};

/** Labels that Meta cannot hold are tags `KEY=VALUE`, which read back as labels too. */
const metaAndTags = (instance: WrittenInstance, namespace: string | undefined) => {
  const { labels, protocol, locality, serviceAccount, servicePort } = instance;
  const meta = new Map<string, string>();
  const tags: string[] = [];
  const set = (name: string, value: string | undefined): void => {
    if (value !== undefined && value !== "") meta.set(name, value);
  };
  set(consulMeta.namespace, namespace);
  set(consulMeta.servicePort, servicePort === undefined ? undefined : String(servicePort));
  set(consulMeta.serviceAccount, serviceAccount);
  set("protocol", protocol);
  set("locality", locality);
  set(writtenByLabel, labels[writtenByLabel]);
  for (const [name, value] of Object.entries(labels)) {
    if (meta.has(name)) continue;
    const fits = /^[A-Za-z0-9_-]{1,128}$/.test(name) && !name.startsWith("consul-") && value.length <= metaCharsMax;
    if (fits && meta.size < metaPairsMax) meta.set(name, value);
    else tags.push(`${name}=${value}`);
  }
  return { Meta: Object.fromEntries(meta), Tags: tags };
};

/** Consul says 404 for a service, and 500 or 404 for a check, that is not there. */
const isMissing = (error: unknown): boolean =>
  error instanceof ConsulError &&
  (error.status === 404 || /unknown (check|service)|does not have|not found/i.test(error.message)) &&
  !/acl/i.test(error.message);

/** What is wrong with one record does not end the session. */
const unlessRefused = async (call: Promise<void>): Promise<void> => {
  try {
    await call;
  } catch (error) {
    if (error instanceof ConsulError && error.status === 400) throw new WriteRefusal(error.message);
    throw error;
  }
};
