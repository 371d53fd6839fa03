/** A real Consul server on free ports with a folder of its own, changed through its HTTP API. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import type { Program } from "@weft/testkit/processes";
import { buildConsul } from "../peers/consul.ts";
import { here, type Place } from "./place.ts";
import { type ServerProgram, startServerProgram } from "./server-program.ts";

export interface RealConsul extends ServerProgram {
  readonly address: string;
  /** Where it keeps what it has. */
  readonly dataFolder: string;
  /** Of the API over TLS, where asked for. */
  readonly secureAddress: string;
  register(service: ConsulService): Promise<void>;
  deregister(id: string): Promise<void>;
  /** Of the instance's own time-to-live. */
  check(id: string, status: "pass" | "warn" | "fail"): Promise<void>;
  get(path: string): Promise<unknown>;
  put(path: string, body?: unknown): Promise<unknown>;
}

export interface ConsulService {
  readonly name: string;
  readonly id: string;
  readonly port: number;
  readonly address?: string;
  readonly tags?: readonly string[];
  readonly meta?: Readonly<Record<string, string>>;
  readonly weight?: number;
  /** Such as `2s`; passing at first. */
  readonly ttl?: string;
}

export interface RealConsulOptions {
  /** Nobody may do anything without this token. */
  readonly token?: string;
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  readonly place?: Place;
}

export const startConsul = async ({ token, tls, place = here }: RealConsulOptions = {}): Promise<RealConsul> => {
  const path = buildConsul();
  const folder = mkdtempSync(join(tmpdir(), "weft-test-consul-"));
  const ports: number[] = [];
  for (let at = 0; at < 5; at++) ports.push(await findFreePort("127.0.0.1", 0, (port) => ports.includes(port)));
  const [http = 0, https = 0, server = 0, serf = 0, wan = 0] = ports;
  const data = join(folder, "data");
  const config = {
    ...{ server: true, bootstrap_expect: 1, node_name: "one", datacenter: "dc1", data_dir: data, log_level: "warn" },
    ...{ bind_addr: "127.0.0.1", client_addr: place.listen, disable_update_check: true, leave_on_terminate: false },
    ports: { http, https: tls ? https : -1, dns: -1, grpc: -1, server, serf_lan: serf, serf_wan: wan },
    performance: { raft_multiplier: 1 },
    ...(tls ? { cert_file: tls.certFile, key_file: tls.keyFile } : {}),
    ...(token === undefined
      ? {}
      : { acl: { enabled: true, default_policy: "deny", tokens: { master: token, agent: token } } }),
  };
  writeFileSync(join(folder, "consul.json"), JSON.stringify(config));
  const start = (): Program => place.start(path, ["-config-file", join(folder, "consul.json")]);
  const call = async (method: string, what: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`http://${place.testHost}:${http}${what}`, {
      method,
      headers: token === undefined ? {} : { "x-consul-token": token },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Consul ${method} ${what}: ${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  };
  const serves = () =>
    eventually(
      "Consul serves",
      async () => {
        const checks = (await call("GET", "/v1/health/node/one").catch(() => [])) as readonly unknown[];
        return checks.length > 0 || undefined;
      },
      60_000,
    );
  const program = await startServerProgram({ folder, dataFolder: data, start, serves });
  return {
    ...program,
    address: `${place.host}:${http}`,
    dataFolder: data,
    secureAddress: `${place.host}:${https}`,
    register: async ({ name, id, port, address = "127.0.0.1", tags = [], meta = {}, weight = 1, ttl }) =>
      void (await call("PUT", "/v1/agent/service/register?replace-existing-checks=true", {
        ...{ Name: name, ID: id, Port: port, Address: address, Tags: tags, Meta: meta },
        Weights: { Passing: weight, Warning: 1 },
        ...(ttl === undefined ? {} : { Check: { CheckID: `service:${id}`, TTL: ttl, Status: "passing" } }),
      })),
    deregister: async (id) => void (await call("PUT", `/v1/agent/service/deregister/${id}`)),
    check: async (id, status) => void (await call("PUT", `/v1/agent/check/${status}/service:${id}`)),
    get: (what) => call("GET", what),
    put: (what, body) => call("PUT", what, body),
  };
};
