/** What a control plane says of a registry outside, and of the services that it read there. */
import type { TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";

export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly health: string;
  readonly held?: string;
}

export interface Source {
  readonly name: string;
  readonly state: string;
  readonly ageSeconds: number;
  readonly reason?: string;
  readonly instances: number;
  readonly held: { readonly absent: number; readonly expired: number };
  readonly unreadableRecords: readonly { readonly key: string; readonly problem: string }[];
  readonly events: Readonly<Record<string, number>>;
}

export interface Target {
  readonly name: string;
  readonly state: string;
  readonly reason?: string;
  readonly written: { readonly wanted: number; readonly written: number; readonly refused: number };
}

const items = async <T>(plane: TestControlPlane, path: string): Promise<readonly T[]> =>
  ((await plane.api("GET", path)) as { readonly items: readonly T[] }).items;

export const endpointsOf = async (
  plane: TestControlPlane,
  service: string,
  namespace = "default",
): Promise<readonly Endpoint[]> => {
  const all = await items<{ readonly name: string; readonly namespace: string }>(plane, "/v1/registry");
  if (!all.some((one) => one.name === service && one.namespace === namespace)) return [];
  return await items<Endpoint>(plane, `/v1/registry/${service}/endpoints?namespace=${namespace}`);
};

/** Ports of a service's endpoints, with `?` behind those that are held. */
export const portsOf = async (plane: TestControlPlane, service: string, namespace = "default"): Promise<string> =>
  (await endpointsOf(plane, service, namespace))
    .map(({ port, held }) => `${port}${held ? "?" : ""}`)
    .sort()
    .join(" ");

export const portsBecome = (plane: TestControlPlane, service: string, wanted: string, namespace = "default") =>
  eventually(
    `${service} has ${wanted || "nothing"}`,
    async () => {
      const now = await portsOf(plane, service, namespace);
      if (now !== wanted) throw new Error(`it has ${now || "nothing"}`);
      return true;
    },
    60_000,
  );

export const sourceOf = async (plane: TestControlPlane, name: string): Promise<Source> =>
  (await items<Source>(plane, "/v1/registries")).find((one) => one.name === name && !("written" in one)) as Source;

export const targetOf = async (plane: TestControlPlane, name: string): Promise<Target> =>
  (await items<Target>(plane, "/v1/registries")).find((one) => one.name === name && "written" in one) as Target;

export const stateBecomes = (plane: TestControlPlane, name: string, wanted: string): Promise<Source> =>
  eventually(
    `the registry is ${wanted}`,
    async () => {
      const found = await sourceOf(plane, name);
      return found.state === wanted ? found : undefined;
    },
    90_000,
  );
