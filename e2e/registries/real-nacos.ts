/** A real rnacos on free ports with a folder of its own, written to by Nacos' HTTP interface: by other code than weft's. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import type { Program } from "@weft/testkit/processes";
import { buildRnacos } from "../peers/rnacos.ts";
import { here, type Place } from "./place.ts";
import { type ServerProgram, startServerProgram } from "./server-program.ts";

export interface NacosInstance {
  readonly service: string;
  readonly port: number;
  readonly group?: string;
  readonly weight?: number;
  readonly enabled?: boolean;
  readonly metadata?: Readonly<Record<string, string>>;
  /** False: it stays until somebody takes it out. */
  readonly ephemeral?: boolean;
}

export interface RealNacos extends ServerProgram {
  readonly address: string;
  readonly grpcPort: number;
  /** Where it keeps what it has. */
  readonly dataFolder: string;
  /** Registers, or changes what is registered, and from then on sends its heartbeats. */
  register(instance: NacosInstance): Promise<void>;
  /** Sends its heartbeats no more. */
  silence(service: string, port: number): void;
  deregister(service: string, port: number): Promise<void>;
  /** Names of instances as the server tells them, `PORT PORT`. */
  ports(service: string): Promise<string>;
  /** Starts it again on the same ports, with its data or with none, and with those who beat or with nobody. */
  restart(options?: { readonly empty?: boolean; readonly forgotten?: boolean }): Promise<void>;
}

export interface RealNacosOptions {
  /** Nobody is let in but this one. */
  readonly user?: { readonly name: string; readonly password: string };
  /** Waits longer for heartbeats than those of weft are apart. */
  readonly patient?: boolean;
  readonly place?: Place;
}

/** What it allows between two heartbeats; it takes an instance out a second later, and adds 3 s to each. */
const healthTimeoutSeconds = { impatient: 2, patient: 12 };
const beatMs = 1_000;
const defaultGroup = "DEFAULT_GROUP";

export const startNacos = async (options: RealNacosOptions = {}): Promise<RealNacos> => {
  const { user, patient = false, place = here } = options;
  const program = buildRnacos();
  const folder = mkdtempSync(join(tmpdir(), "weft-test-nacos-"));
  const http = await findFreePort("127.0.0.1", 0);
  const grpc = await findFreePort("127.0.0.1", 0, (port) => port === http);
  const console = await findFreePort("127.0.0.1", 0, (port) => port === http || port === grpc);
  const data = join(folder, "data");
  const beating = new Map<string, NacosInstance>();
  const healthSeconds = healthTimeoutSeconds[patient ? "patient" : "impatient"];
  let token = "";
  const env = {
    RNACOS_DATA_DIR: data,
    ...{ RNACOS_HTTP_PORT: `${http}`, RNACOS_GRPC_PORT: `${grpc}`, RNACOS_HTTP_CONSOLE_PORT: `${console}` },
    ...{ RNACOS_SDK_HOST: place.listen, RNACOS_HTTP_WORKERS: "1", RNACOS_ENABLE_METRICS: "false" },
    RNACOS_NAMING_HEALTH_TIMEOUT_SECOND: `${healthSeconds}`,
    RNACOS_NAMING_INSTANCE_TIMEOUT_SECOND: `${healthSeconds + 1}`,
    RNACOS_NAMING_PERPETUAL_INSTANCE_PROBE_INTERVAL_SECOND: "0",
    RNACOS_ENABLE_OPEN_API_AUTH: user ? "true" : "false",
    RNACOS_INIT_ADMIN_USERNAME: user?.name ?? "admin",
    RNACOS_INIT_ADMIN_PASSWORD: user?.password ?? "admin",
    RUST_LOG: "error",
  };
  const start = (): Program => place.start(program, [], { env, cwd: folder });
  const call = async (method: string, path: string, query: Record<string, string>): Promise<Response> => {
    const given = new URLSearchParams({ ...query, ...(token === "" ? {} : { accessToken: token }) });
    const response = await fetch(`http://${place.testHost}:${http}/nacos/v1${path}?${given}`, { method });
    if (!response.ok) throw new Error(`nacos ${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const login = async (): Promise<void> => {
    if (!user) return;
    const answer = await call("POST", "/auth/login", { username: user.name, password: user.password });
    token = ((await answer.json()) as { accessToken: string }).accessToken;
  };
  const serves = () =>
    eventually("nacos serves", async () => {
      await login();
      const list = await call("GET", "/ns/service/list", { pageNo: "1", pageSize: "1" });
      return list.ok || undefined;
    });
  const named = ({ service, group = defaultGroup, port, ephemeral = true }: NacosInstance) => ({
    ...{ serviceName: service, groupName: group, ip: "127.0.0.1", port: `${port}`, ephemeral: `${ephemeral}` },
  });
  const beat = async (instance: NacosInstance): Promise<void> => {
    const { service, group = defaultGroup, port, weight = 1, metadata = {} } = instance;
    const serviceName = `${group}@@${service}`;
    const beatInfo = { serviceName, ip: "127.0.0.1", port, weight, metadata, cluster: "DEFAULT", scheduled: true };
    await call("PUT", "/ns/instance/beat", { ...named(instance), beat: JSON.stringify(beatInfo) });
  };
  const beats = setInterval(() => {
    for (const instance of beating.values()) beat(instance).catch(() => undefined);
  }, beatMs);
  const server = await startServerProgram({ folder, dataFolder: data, start, serves });
  const register = async (instance: NacosInstance): Promise<void> => {
    const { weight = 1, enabled = true, metadata = {} } = instance;
    const more = { weight: `${weight}`, enabled: `${enabled}`, metadata: JSON.stringify(metadata) };
    await call("POST", "/ns/instance", { ...named(instance), ...more });
    if (instance.ephemeral !== false) beating.set(`${instance.service}:${instance.port}`, instance);
  };
  return {
    ...server,
    address: `${place.host}:${http}`,
    grpcPort: grpc,
    dataFolder: data,
    register,
    silence: (service, port) => void beating.delete(`${service}:${port}`),
    deregister: async (service, port) => {
      const instance = beating.get(`${service}:${port}`) ?? { service, port, ephemeral: false };
      beating.delete(`${service}:${port}`);
      await call("DELETE", "/ns/instance", named(instance));
    },
    ports: async (service) => {
      const answer = await call("GET", "/ns/instance/list", { serviceName: service, healthyOnly: "false" });
      const { hosts } = (await answer.json()) as { hosts: readonly { port: number }[] };
      return hosts
        .map(({ port }) => port)
        .toSorted((a, b) => a - b)
        .join(" ");
    },
    restart: ({ empty = false, forgotten = false } = {}) => {
      if (forgotten) beating.clear();
      return server.restart({ empty });
    },
    [Symbol.asyncDispose]: () => {
      clearInterval(beats);
      return server[Symbol.asyncDispose]();
    },
  };
};
