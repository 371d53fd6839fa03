/** Instances of the mesh as ephemeral nodes in the layout of Curator's service discovery: BASE/SERVICE/ID. */
import type { Dial } from "@weft/net/tcp/dial";
import { zookeeperError } from "@weft/protocols/zookeeper/error-codes";
import type { ReplyBody, ZookeeperRequest } from "@weft/protocols/zookeeper/messages";
import { outsideName, outsideNames } from "../outside/outside-names.ts";
import { type OpenWriter, WriteRefusal, type WrittenInstance } from "../outside/write-session.ts";
import { openZookeeperCalls, type ZookeeperCalls, ZookeeperError } from "./zookeeper-calls.ts";
import type { ZookeeperSettings } from "./zookeeper-source.ts";

/** To be made once for a target: names are kept over its sessions. */
export const openZookeeperWriter =
  (settings: ZookeeperSettings, dial: Dial, names = outsideNames(settings.namespace)): OpenWriter =>
  async (tools) => {
    const calls = await openZookeeperCalls(settings, dial, tools);
    const owned = settings.login() !== undefined;
    /** Paths of nodes that this session made. */
    const own = new Set<string>();
    return {
      async put(instance) {
        names.take(instance);
        const path = pathOf(settings, instance);
        const data = Buffer.from(curatorRecord(instance, settings.namespace));
        if (data.length > settings.limits.recordBytesMax)
          throw new WriteRefusal(`its record has more than ${settings.limits.recordBytesMax} bytes`);
        if (own.has(path) && (await done(calls, { kind: "set", path, data }, zookeeperError.noNode))) return;
        // One of another session goes when that expires, and with it would what is written here.
        await done(calls, { kind: "delete", path }, zookeeperError.noNode);
        const create = { kind: "create", path, data, ephemeral: true, owned } as const;
        if (!(await done(calls, create, zookeeperError.noNode))) {
          await makeParents(calls, path);
          await calls.call(create);
        }
        own.add(path);
      },
      async remove(instance) {
        if (!names.holds(instance)) return;
        const path = pathOf(settings, instance);
        own.delete(path);
        await done(calls, { kind: "delete", path }, zookeeperError.noNode);
        const parent = path.slice(0, path.lastIndexOf("/"));
        await done(calls, { kind: "delete", path: parent }, zookeeperError.notEmpty, zookeeperError.noNode);
        names.leave(instance);
      },
      async renew(instances) {
        const missing: string[] = [];
        for (const [parent, members] of byParent(settings, instances)) {
          const there = new Set(await childrenOf(calls, parent));
          for (const [key, name] of members) {
            if (!there.has(name)) missing.push(key);
          }
        }
        return missing;
      },
      [Symbol.dispose]: () => calls[Symbol.dispose](),
    };
  };

/** Whether it was done, and not one of those errors. */
const done = async (
  calls: ZookeeperCalls,
  request: ZookeeperRequest,
  ...expected: readonly number[]
): Promise<boolean> => {
  try {
    await calls.call(request);
    return true;
  } catch (error) {
    if (error instanceof ZookeeperError && expected.includes(error.code)) return false;
    throw error;
  }
};

const makeParents = async (calls: ZookeeperCalls, path: string): Promise<void> => {
  const parts = path.split("/").slice(1, -1);
  for (let depth = 1; depth <= parts.length; depth++) {
    const parent = `/${parts.slice(0, depth).join("/")}`;
    const create = { kind: "create", path: parent, data: Buffer.alloc(0), ephemeral: false, owned: false } as const;
    await done(calls, create, zookeeperError.nodeExists);
  }
};

const childrenOf = async (calls: ZookeeperCalls, path: string): Promise<readonly string[]> => {
  try {
    const body: ReplyBody = await calls.call({ kind: "children", path, watch: false });
    return body.kind === "children" ? body.children : [];
  } catch (error) {
    if (error instanceof ZookeeperError && error.code === zookeeperError.noNode) return [];
    throw error;
  }
};

const nodeName = ({ id, port }: WrittenInstance): string => `${id}:${port}`;

const pathOf = ({ base, namespace }: ZookeeperSettings, instance: WrittenInstance): string =>
  `${base}/${outsideName(instance, namespace)}/${nodeName(instance)}`;

const byParent = (settings: ZookeeperSettings, instances: ReadonlyMap<string, WrittenInstance>) => {
  const parents = new Map<string, [key: string, name: string][]>();
  for (const [key, instance] of instances) {
    const parent = `${settings.base}/${outsideName(instance, settings.namespace)}`;
    const members = parents.get(parent) ?? [];
    members.push([key, nodeName(instance)]);
    parents.set(parent, members);
  }
  return parents;
};

const uriSpec = {
  parts: [
    { value: "scheme", variable: true },
    { value: "://", variable: false },
    { value: "address", variable: true },
    { value: ":", variable: false },
    { value: "port", variable: true },
  ],
};

/** What Curator and Spring Cloud read; what is not of theirs stands among the metadata. */
export const curatorRecord = (instance: WrittenInstance, ownNamespace: string): string => {
  const { address, port, servicePort, protocol, labels, serviceAccount, locality, weight, health } = instance;
  const name = outsideName(instance, ownNamespace);
  const id = nodeName(instance);
  const said = Object.entries({
    ...{ protocol, locality, weight: weight === 1 ? undefined : String(weight) },
    "service-port": servicePort === undefined || servicePort === port ? undefined : String(servicePort),
    "service-account": serviceAccount,
    instance_status: health === "healthy" ? "UP" : health === "draining" ? "OUT_OF_SERVICE" : "DOWN",
  }).filter(([, value]) => value !== undefined && value !== "");
  const metadata = { ...labels, ...Object.fromEntries(said) };
  const payload = { "@class": "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance", id, name, metadata };
  return JSON.stringify({ name, id, address, port, sslPort: null, payload, serviceType: "DYNAMIC", uriSpec });
};
