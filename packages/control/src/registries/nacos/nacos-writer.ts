/**
 * Instances of the mesh in Nacos: ephemeral ones, registered and kept by heartbeats over HTTP, so that they outlive a
 * control plane that starts again in time. Only those that can be called stand there.
 */
import type { HttpAnswer, HttpClient } from "@weft/net/http/client";
import { answerBytesMax, readObject } from "@weft/protocols/nacos/answers";
import { type OutsideNames, outsideName, outsideNames } from "../outside/outside-names.ts";
import { type OpenWriter, WriteRefusal, type WriteSession, type WrittenInstance } from "../outside/write-session.ts";
import { NacosRefusal } from "./nacos-calls.ts";
import { callNacos, type NacosHttpOptions } from "./nacos-http.ts";
import { nacosToken, shortText } from "./nacos-login.ts";
import { clusterLabel } from "./nacos-record.ts";
import type { NacosSourceOptions } from "./nacos-source.ts";

export type NacosWriterOptions = Omit<NacosSourceOptions, "transport" | "dial"> & {
  readonly dial: () => { readonly http: HttpClient } & Disposable;
};

/** Heartbeats that run at once. */
export const beatsAtOnceMax = 8;
const instanceNotFound = 21_003;
const resourceNotFound = 20_404;

/** What a server has to register with; Nacos 3 has the first only, Nacos before it the second. */
interface Registering {
  readonly path: string;
  beat(
    instance: WrittenInstance,
    query: Query,
  ): { readonly method: "PUT" | "POST"; readonly path: string; query: Query };
}

type Query = Readonly<Record<string, string>>;

const v3: Registering = {
  path: "/v3/client/ns/instance",
  beat: (_, query) => ({ method: "POST", path: "/v3/client/ns/instance", query: { ...query, heartBeat: "true" } }),
};
const v1: Registering = {
  path: "/v1/ns/instance",
  beat: (instance, query) => {
    const { address: ip, port, weight } = instance;
    const serviceName = `${query.groupName}@@${query.serviceName}`;
    const metadata = metadataOf(instance);
    const beat = JSON.stringify({ serviceName, ip, port, weight, metadata, cluster: "DEFAULT", scheduled: true });
    return { method: "PUT", path: "/v1/ns/instance/beat", query: { ...query, beat } };
  },
};

/**
 * Rejects when the server cannot be reached or refuses the user. To be made once for a target: names are kept over its
 * sessions.
 */
export const openNacosWriter =
  (options: NacosWriterOptions, names = outsideNames(options.toNamespace)): OpenWriter =>
  async ({ clock }) => {
    const server = options.dial();
    const { contextPath, namespace } = options;
    const token = nacosToken({ ...options, http: server.http, clock });
    const http: NacosHttpOptions = { http: server.http, contextPath, namespace, token };
    try {
      return session({ ...options, names }, http, await registeringOf(http), server);
    } catch (error) {
      server[Symbol.dispose]();
      throw error;
    }
  };

const registeringOf = async (http: NacosHttpOptions): Promise<Registering> => {
  const query = { namespaceId: http.namespace, groupName: "DEFAULT_GROUP", serviceName: "weft" };
  for (const one of [v3, v1]) {
    const answer = await callNacos(http, { method: "GET", path: `${one.path}/list`, query });
    if (answer.status === 200 || (answer.status >= 400 && codeOf(answer) !== undefined)) return checked(answer, one);
    if (answer.status === 401 || answer.status === 403) checked(answer, one);
  }
  throw new NacosRefusal(404, `there is nothing to register with under ${http.contextPath}`);
};

/** Of the second and third interface; `undefined` where the answer is not of that form. */
const codeOf = ({ body }: HttpAnswer): number | undefined => {
  try {
    const { code } = readObject(body.subarray(0, answerBytesMax));
    return typeof code === "number" ? code : undefined;
  } catch {
    return undefined;
  }
};

/** Gives `value` unless the answer says that the user may not. */
const checked = <T>({ status, body }: HttpAnswer, value: T): T => {
  if (status === 401 || status === 403) throw new NacosRefusal(status, `HTTP ${status}: ${shortText(body)}`);
  return value;
};

const session = (
  { names, toNamespace, groups }: NacosWriterOptions & { readonly names: OutsideNames },
  http: NacosHttpOptions,
  registering: Registering,
  server: Disposable,
): WriteSession => {
  const queryOf = (instance: WrittenInstance): Query => ({
    ...{ namespaceId: http.namespace, groupName: groups[0] ?? "", ip: instance.address, port: String(instance.port) },
    serviceName: outsideName(instance, toNamespace),
    ...{ clusterName: "DEFAULT", ephemeral: "true" },
  });
  const done = (answer: HttpAnswer): void => {
    const { status, body } = checked(answer, answer);
    const code = codeOf(answer) ?? 0;
    if (status === 200 && code === 0) return;
    const said = `HTTP ${status}: ${shortText(body)}`;
    if (status === 400 || status === 422 || (status === 200 && code !== 0)) throw new WriteRefusal(said);
    throw new NacosRefusal(status, said);
  };
  const takeOut = async (instance: WrittenInstance): Promise<void> => {
    const answer = await callNacos(http, { method: "DELETE", path: registering.path, query: queryOf(instance) });
    if (answer.status !== 404) done(answer);
  };
  return {
    async put(instance) {
      names.take(instance);
      if (instance.health !== "healthy") {
        await takeOut(instance);
        return;
      }
      const more = { weight: String(instance.weight), enabled: "true", metadata: JSON.stringify(metadataOf(instance)) };
      const query = { ...queryOf(instance), ...more, healthy: "true" };
      done(await callNacos(http, { method: "POST", path: registering.path, query }));
    },
    async remove(instance) {
      if (!names.holds(instance)) return;
      await takeOut(instance);
      names.leave(instance);
    },
    async renew(instances) {
      const gone: string[] = [];
      const standing = [...instances].filter(([, { health }]) => health === "healthy");
      let next = 0;
      const beat = async (): Promise<void> => {
        for (let one = standing[next++]; one; one = standing[next++]) {
          const [key, instance] = one;
          const answer = await callNacos(http, registering.beat(instance, queryOf(instance)));
          const code = codeOf(checked(answer, answer));
          if (answer.status === 404 || code === instanceNotFound || code === resourceNotFound) gone.push(key);
          else if (answer.status !== 200) done(answer);
        }
      };
      await Promise.all(Array.from({ length: Math.min(beatsAtOnceMax, standing.length) }, beat));
      return gone;
    },
    [Symbol.dispose]: () => server[Symbol.dispose](),
  };
};

/** What reading gives back: labels, and under the names that the reader knows what is no label. */
const metadataOf = ({ labels, protocol, locality, serviceAccount, servicePort }: WrittenInstance): Query => {
  const { [clusterLabel]: _, ...own } = labels;
  return {
    ...own,
    ...(protocol === undefined ? {} : { protocol }),
    ...(locality === "" ? {} : { locality }),
    ...(serviceAccount === "" ? {} : { "service-account": serviceAccount }),
    ...(servicePort === undefined ? {} : { "service-port": String(servicePort) }),
  };
};
