/** What the mesh's configuration says of how this workload's sidecar starts. */
import { type ApiTarget, askApi } from "../mesh/api.ts";

export interface StartFacts {
  readonly concurrency: number | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** What a person should know of it: what holds, and what is left out. */
  readonly lines: readonly string[];
}

export interface StartAnswer {
  readonly concurrency?: number;
  readonly environmentVariables: Readonly<Record<string, string>>;
  readonly from: readonly string[];
}

/** These decide what code runs here, which is not for the mesh to say. */
const isKept = (name: string): boolean =>
  /^[A-Za-z_]\w*$/.test(name) && !/^(NODE_|LD_|DYLD_|WEFT_|OPENSSL_|SSL_|PATH$|HOME$|SHELL$|IFS$)/i.test(name);

export const startFacts = ({ concurrency, environmentVariables, from }: StartAnswer): StartFacts => {
  const all = Object.entries(environmentVariables);
  const taken = all.filter(([name]) => isKept(name));
  const left = all.map(([name]) => name).filter((name) => !isKept(name));
  const said = [
    ...(concurrency === undefined ? [] : [`concurrency ${concurrency}`]),
    ...(taken.length === 0 ? [] : [`variables ${taken.map(([name]) => name).join(", ")}`]),
  ];
  const by = from.length === 0 ? "MeshConfig" : `ProxyConfig ${from.join(", ")}`;
  return {
    concurrency,
    env: Object.fromEntries(taken),
    lines: [
      ...(said.length === 0 ? [] : [`the sidecar starts with ${said.join(" and ")} (${by})`]),
      ...(left.length === 0 ? [] : [`${by} cannot set ${left.join(", ")} here: set them where weft is started`]),
    ],
  };
};

/** As it is now: changes reach sidecars that start later. */
export const readStart = async (
  api: ApiTarget,
  { namespace, labels }: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> },
): Promise<StartFacts> => {
  const text = Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
  const query = new URLSearchParams({ namespace, labels: text });
  return startFacts(await askApi<StartAnswer>(api, `/v1/proxy-start?${query}`));
};
