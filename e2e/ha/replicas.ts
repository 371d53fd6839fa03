/** Three real control planes over one real etcd, each by a way of its own that can be cut. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type RealEtcd, startEtcd } from "../registries/real-etcd.ts";
import { type Relay, startRelay } from "../registries/relay.ts";

export interface Replica {
  readonly cp: TestControlPlane;
  /** Its way to etcd. */
  readonly way: Relay;
  /** Kills it with no warning. */
  kill(): Promise<void>;
  /** Starts it again with its data and on its addresses; `cp` is the new one. */
  restart(): Promise<void>;
}

export interface Replicas extends AsyncDisposable {
  readonly etcd: RealEtcd;
  readonly all: readonly [Replica, Replica, Replica];
  /** A control plane that is all of them, for what takes several addresses. */
  readonly together: TestControlPlane;
}

export const startReplicas = async (yaml = ""): Promise<Replicas> => {
  await using opened = new AsyncDisposableStack();
  const folder = opened.use(makePrivateFolder("weft-ha-")).path;
  const etcd = opened.use(await startEtcd());
  const keyFile = join(folder, "store-key");
  writeFileSync(keyFile, randomBytes(32).toString("base64"));
  const start = async (name: string): Promise<Replica> => {
    const way = opened.use(await startRelay(etcd.address));
    const args = ["--store", `etcd://${way.address}/weft`, "--store-key", keyFile];
    const options = { folder: join(folder, name), yaml, args };
    let cp = await startControlPlane(options);
    opened.defer(() => cp[Symbol.asyncDispose]());
    const { xds, secure, http } = cp;
    return {
      get cp() {
        return cp;
      },
      way,
      kill: async () => {
        cp.program.kill("SIGKILL");
        await cp.program.exited;
      },
      restart: async () => {
        cp = await startControlPlane({ ...options, addresses: { xds, secure, http } });
      },
    };
  };
  const all = await Promise.all([start("one"), start("two"), start("three")]);
  const together = { ...all[0].cp, secure: all.map(({ cp }) => cp.secure).join(",") };
  const kept = opened.move();
  return { etcd, all, together, [Symbol.asyncDispose]: () => kept.disposeAsync() };
};
