/** A control plane on free ports with its own folders, for tests. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatAddress } from "@weft/core/address";
import { type Logger, silentLogger } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import { makeFolder } from "@weft/net/files/files";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { type ControlPlane, openControlPlane } from "../control-plane.ts";
import type { NamedRegistry } from "../registries/outside/named-registries.ts";

export interface TestPlane extends AsyncDisposable {
  readonly plane: ControlPlane;
  readonly folder: string;
  readonly adminToken: string;
  readonly joinToken: string;
  readonly rootPem: string;
  writeConfig(name: string, text: string): void;
  /** The API's answer, JSON read. Changes carry the admin token unless `token` says otherwise. */
  api<T = unknown>(path: string, options?: ApiOptions): Promise<{ readonly status: number; readonly body: T }>;
}
export interface ApiOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const free = { host: "127.0.0.1", port: 0 };

/** `folder` lets a second plane take over what a first left behind. */
export const openTestPlane = async (
  options: { folder?: string; log?: Logger; registries?: readonly NamedRegistry[] } = {},
): Promise<TestPlane> => {
  await using stack = new AsyncDisposableStack();
  const folder = options.folder ?? stack.use(makePrivateFolder("weft-plane-")).path;
  const config = join(folder, "config");
  const data = join(folder, "data");
  makeFolder(config);
  const plane = stack.use(
    await openControlPlane({
      configFolder: config,
      dataFolder: data,
      registries: options.registries ?? [],
      xds: free,
      secure: free,
      http: free,
      monitoring: free,
      trustDomain: "cluster.local",
      rootNamespace: "istio-system",
      hosts: ["mesh.test"],
      clock: realClock,
      setTimer: setRealTimer,
      random: Math.random,
      log: options.log ?? silentLogger,
    }),
  );
  const read = (name: string): string => readFileSync(join(data, name), "utf8").trim();
  const adminToken = read("admin-token");
  const kept = stack.move();
  return {
    plane,
    folder,
    adminToken,
    joinToken: read("join-token"),
    rootPem: read("root-cert.pem"),
    writeConfig: (name, text) => writeFileSync(join(config, name), text),
    async api<T>(path: string, { method = "GET", body, token = adminToken, headers = {} }: ApiOptions = {}) {
      const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
      const response = await fetch(`http://${formatAddress(plane.http)}${path}`, {
        method,
        headers: { ...(token === "" ? {} : { authorization: `Bearer ${token}` }), ...headers },
        ...(text === undefined ? {} : { body: text as string }),
      });
      const answer = await response.text();
      return {
        status: response.status,
        body: (answer.startsWith("{") || answer.startsWith("[") ? JSON.parse(answer) : answer) as T,
      };
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
};
