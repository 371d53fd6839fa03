/** What Nacos says in JSON, over gRPC and by each version of its HTTP interface: names of services, and their instances. */

/** One instance as Nacos has it; fields that are missing have the server's own defaults. */
export interface NacosHost {
  readonly ip: string;
  readonly port: number;
  readonly weight: number;
  readonly healthy: boolean;
  readonly enabled: boolean;
  readonly ephemeral: boolean;
  readonly clusterName: string;
  readonly metadata: ReadonlyMap<string, string>;
}

export type ReadHost =
  | { readonly kind: "host"; readonly host: NacosHost }
  /** `name` is what there is to call it by. */
  | { readonly kind: "unreadable"; readonly name: string; readonly problem: string };

export interface NacosNames {
  /** Of all services there are, not only of this page. */
  readonly count: number;
  readonly names: readonly NacosName[];
}

export interface NacosName {
  /** "" where the answer does not say it: that of the question. */
  readonly group: string;
  readonly service: string;
}

export interface NacosLogin {
  readonly token: string;
  readonly ttlSeconds: number;
}

export const answerBytesMax = 16 * 1_024 * 1_024;
export const nameCharsMax = 512;
const defaultCluster = "DEFAULT";

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Throws for what is no JSON object. */
export const readObject = (body: Uint8Array): Fields => {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new Error("the answer is not JSON");
  }
  if (!isFields(value)) throw new Error("the answer is no JSON object");
  return value;
};

/** `GROUP@@SERVICE`, or the service alone. */
export const splitName = (name: string): NacosName => {
  const at = name.indexOf("@@");
  return at < 0 ? { group: "", service: name } : { group: name.slice(0, at), service: name.slice(at + 2) };
};

/**
 * Names of a page: `{count, serviceNames}` of gRPC, `{count, doms}` of the first HTTP interface, `{code, data: {count,
 * services}}` of the second, `{code, data: {totalCount, pageItems}}` of the third. Names that are none are left out.
 */
export const readNames = (answer: Fields): NacosNames => {
  const data = dataOf(answer);
  if (!isFields(data)) throw new Error("the list of services has no data");
  const count = data.totalCount ?? data.count;
  const list = data.serviceNames ?? data.doms ?? data.services ?? data.pageItems ?? data.serviceList;
  if (!Number.isSafeInteger(count) || (count as number) < 0) throw new Error("the list of services has no count");
  if (!Array.isArray(list) && list !== null && list !== undefined) throw new Error("the services are no list");
  const names = ((list ?? []) as readonly unknown[]).flatMap((item): readonly NacosName[] => {
    if (typeof item === "string") return [splitName(item)];
    if (!isFields(item) || typeof item.name !== "string") return [];
    return [{ ...splitName(item.name), ...(typeof item.groupName === "string" ? { group: item.groupName } : {}) }];
  });
  const usable = names.filter(({ service, group }) => service !== "" && service.length + group.length <= nameCharsMax);
  return { count: count as number, names: usable };
};

/**
 * Instances of a service: of `serviceInfo`, `{hosts}`, `{code, data: {hosts}}`, or `{code, data: [...]}`. `undefined` where
 * the answer says nothing about instances, which is not that there are none.
 */
export const readHosts = (answer: Fields): readonly ReadHost[] | undefined => {
  const data = isFields(answer.serviceInfo) ? answer.serviceInfo : dataOf(answer);
  const list = Array.isArray(data) ? data : isFields(data) ? data.hosts : undefined;
  return Array.isArray(list) ? list.map(readHost) : undefined;
};

export const readLogin = (answer: Fields): NacosLogin => {
  const data = typeof answer.accessToken === "string" ? answer : dataOf(answer);
  if (!isFields(data) || typeof data.accessToken !== "string" || data.accessToken === "")
    throw new Error("the login gave no token");
  const ttl = Number(data.tokenTtl);
  return { token: data.accessToken, ttlSeconds: Number.isFinite(ttl) && ttl > 0 ? ttl : 18_000 };
};

/** The second and third interface wrap what they say; a code that is not 0 is a refusal, and throws. */
const dataOf = (answer: Fields): unknown => {
  if (answer.code === undefined) return answer;
  if (answer.code !== 0 && answer.code !== 200)
    throw new Error(`Nacos refuses: ${String(answer.message ?? answer.code).slice(0, 200)}`);
  return answer.data;
};

const readHost = (value: unknown, at: number): ReadHost => {
  if (!isFields(value)) return { kind: "unreadable", name: `#${at}`, problem: "the instance is no object" };
  const { ip, port, weight = 1, healthy = true, enabled = true, ephemeral = true, clusterName, metadata } = value;
  const name = `${textOr(ip, "?")}:${typeof port === "number" ? port : "?"}`.slice(0, nameCharsMax);
  const unreadable = (problem: string): ReadHost => ({ kind: "unreadable", name, problem });
  if (typeof ip !== "string" || ip === "") return unreadable("ip is missing or no text");
  if (typeof port !== "number") return unreadable("port is missing or no number");
  if (typeof weight !== "number" || !Number.isFinite(weight) || weight < 0)
    return unreadable("weight is not a number of 0 or more");
  for (const [field, flag] of Object.entries({ healthy, enabled, ephemeral }))
    if (typeof flag !== "boolean") return unreadable(`${field} is neither true nor false`);
  const cluster = textOr(clusterName, "");
  const host: NacosHost = {
    ...{ ip, port, weight, healthy: healthy === true, enabled: enabled === true, ephemeral: ephemeral === true },
    clusterName: cluster === "" ? defaultCluster : cluster.slice(0, nameCharsMax),
    metadata: textsOf(metadata),
  };
  return { kind: "host", host };
};

const textOr = (value: unknown, otherwise: string): string => (typeof value === "string" ? value : otherwise);

const textsOf = (value: unknown): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(isFields(value) ? value : {}).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string",
    ),
  );
