/** A snapshot of a real etcd, taken and restored by etcd's own program, as its operators do it. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { RealEtcd } from "../registries/real-etcd.ts";
import type { OlderState } from "./older-state.ts";

const run = promisify(execFile);
const etcdctl = (...args: readonly string[]) => run("etcdctl", args, { env: { ...process.env, ETCDCTL_API: "3" } });

/** Taken while the server serves; what is restored from it is another cluster of another member. */
export const takeSnapshot = async (etcd: RealEtcd): Promise<OlderState> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-test-snapshot-"));
  const file = join(folder, "snapshot.db");
  await etcdctl("--endpoints", `http://${etcd.address}`, "snapshot", "save", file);
  const { members } = (await etcd.call("cluster/member/list", {})) as {
    readonly members: readonly { readonly name: string; readonly peerURLs: readonly string[] }[];
  };
  const [
    {
      name,
      peerURLs: [peer = ""],
    } = { name: "", peerURLs: [] },
  ] = members;
  return {
    putBack: async () => {
      await etcd.kill();
      rmSync(etcd.dataFolder, { recursive: true });
      await etcdctl(
        ...["snapshot", "restore", file, "--data-dir", etcd.dataFolder, "--initial-cluster-token", "restored"],
        ...["--name", name, "--initial-cluster", `${name}=${peer}`, "--initial-advertise-peer-urls", peer],
      );
      await etcd.restart();
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
};
