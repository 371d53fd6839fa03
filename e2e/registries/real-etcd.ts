/** A real etcd on free ports with a folder of its own, changed through its JSON gateway: by other code than weft's. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import type { Program } from "@weft/testkit/processes";
import { here, type Place } from "./place.ts";
import { type ServerProgram, startServerProgram } from "./server-program.ts";

export interface RealEtcd extends ServerProgram {
  readonly address: string;
  /** Where it keeps what it has. */
  readonly dataFolder: string;
  put(key: string, value: string, lease?: string): Promise<void>;
  delete(key: string): Promise<void>;
  /** Gives the lease's id. */
  grantLease(seconds: number): Promise<string>;
  /** Forgets all history before now. */
  compact(): Promise<void>;
  /** From now on everybody has to be somebody; what is here can change nothing any more. */
  requireUser(name: string, password: string): Promise<void>;
  call(path: string, body: unknown): Promise<Record<string, unknown>>;
}

export interface RealEtcdOptions {
  /** Serves clients over TLS with these files. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** Another than the machine's own. */
  readonly command?: string;
  readonly place?: Place;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

export const startEtcd = async ({ tls, command = "etcd", place = here }: RealEtcdOptions = {}): Promise<RealEtcd> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-test-etcd-"));
  const client = await findFreePort("127.0.0.1", 0);
  const peer = await findFreePort("127.0.0.1", 0, (port) => port === client);
  const plain = await findFreePort("127.0.0.1", 0, (port) => port === client || port === peer);
  const data = join(folder, "data");
  const urlsAt = (host: string): string =>
    [`http://${host}:${plain}`, ...(tls ? [`https://${host}:${client}`] : [])].join(",");
  const gateway = `http://${place.testHost}:${plain}`;
  const start = (): Program =>
    place.start(command, [
      ...["--name", "one", "--data-dir", data, "--log-level", "error"],
      ...["--listen-client-urls", urlsAt(place.listen), "--advertise-client-urls", urlsAt(place.host)],
      ...[
        "--listen-peer-urls",
        `http://127.0.0.1:${peer}`,
        "--initial-advertise-peer-urls",
        `http://127.0.0.1:${peer}`,
      ],
      ...["--initial-cluster", `one=http://127.0.0.1:${peer}`],
      ...(tls ? ["--cert-file", tls.certFile, "--key-file", tls.keyFile] : []),
    ]);
  const call = async (path: string, body: unknown): Promise<Record<string, unknown>> => {
    const response = await fetch(`${gateway}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
    const answer = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new Error(`etcd ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  };
  const serves = () => eventually("etcd serves", async () => (await call("kv/range", { key: base64("x") })) && true);
  const program = await startServerProgram({ folder, dataFolder: data, start, serves });
  return {
    ...program,
    address: `${place.host}:${tls ? client : plain}`,
    dataFolder: data,
    call,
    put: async (key, value, lease) =>
      void (await call("kv/put", {
        key: base64(key),
        value: base64(value),
        ...(lease === undefined ? {} : { lease }),
      })),
    delete: async (key) => void (await call("kv/deleterange", { key: base64(key) })),
    grantLease: async (seconds) => String((await call("lease/grant", { TTL: seconds })).ID),
    compact: async () => {
      const { header } = (await call("kv/range", { key: base64("x") })) as { header: { revision: string } };
      await call("kv/compaction", { revision: header.revision });
    },
    requireUser: async (name, password) => {
      await call("auth/user/add", { name, password });
      await call("auth/role/add", { name: "root" });
      await call("auth/user/grant", { user: name, role: "root" });
      await call("auth/enable", {});
    },
  };
};
