/** Real etcd of one or more members on loopback, with TLS and flags of any kind, and asked through its JSON gateway. */
import { join } from "node:path";
import { findFreePort } from "@weft/net/process/free-port";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { eventually } from "@weft/testkit/eventually";
import { type Program, startProgram } from "@weft/testkit/processes";

export interface EtcdMember {
  readonly name: string;
  /** H:P for clients. */
  readonly address: string;
  /** By its JSON gateway, without TLS. Throws for a refusal. */
  call(path: string, body: unknown): Promise<Record<string, unknown>>;
  signal(signal: NodeJS.Signals): void;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

export interface EtcdMembers extends AsyncDisposable {
  readonly all: readonly [EtcdMember, ...EtcdMember[]];
  /** Of all, for a URL. */
  readonly addresses: string;
  /** The member that the others follow; throws where there is none now. */
  leader(): Promise<EtcdMember>;
}

export interface EtcdMembersOptions {
  readonly members?: number;
  readonly args?: readonly string[];
  /** Clients come over TLS; the gateway stays plain, at a port of its own. */
  readonly secure?: boolean;
}

export const base64 = (text: string): string => Buffer.from(text).toString("base64");

export const startEtcdMembers = async (options: EtcdMembersOptions = {}): Promise<EtcdMembers> => {
  const { members = 1, args = [], secure = false } = options;
  await using opened = new AsyncDisposableStack();
  const folder = opened.use(makePrivateFolder("weft-etcd-members-")).path;
  const taken = new Set<number>();
  const free = async (): Promise<number> => {
    const port = await findFreePort("127.0.0.1", 0, (one) => taken.has(one));
    taken.add(port);
    return port;
  };
  const places: { name: string; client: number; peer: number; plain: number }[] = [];
  for (let i = 0; i < members; i++) {
    const client = await free();
    places.push({ name: `m${i}`, client, peer: await free(), plain: secure ? await free() : client });
  }
  const cluster = places.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(",");
  const all = places.map(({ name, client, peer, plain }): EtcdMember => {
    const gateway = `http://127.0.0.1:${plain}`;
    const urls = secure ? `${gateway},https://127.0.0.1:${client}` : gateway;
    const start = (): Program =>
      startProgram("etcd", [
        ...["--name", name, "--data-dir", join(folder, name), "--log-level", "error"],
        ...["--listen-client-urls", urls, "--advertise-client-urls", urls],
        ...["--listen-peer-urls", `http://127.0.0.1:${peer}`],
        ...["--initial-advertise-peer-urls", `http://127.0.0.1:${peer}`],
        ...["--initial-cluster", cluster, ...args],
      ]);
    let program = start();
    opened.defer(async () => {
      program.kill("SIGCONT");
      await program[Symbol.asyncDispose]();
    });
    return {
      name,
      address: `127.0.0.1:${client}`,
      call: async (path, body) => {
        const response = await fetch(`${gateway}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
        const answer = (await response.json()) as Record<string, unknown>;
        if (!response.ok) throw new Error(`etcd ${path}: ${response.status} ${JSON.stringify(answer)}`);
        return answer;
      },
      signal: (signal) => program.kill(signal),
      kill: async () => {
        program.kill("SIGKILL");
        await program.exited;
      },
      restart: async () => {
        program = start();
      },
    };
  });
  const status = async (one: EtcdMember) =>
    (await one.call("maintenance/status", {})) as { leader?: string; header: { member_id: string } };
  const leader = async (): Promise<EtcdMember> => {
    for (const one of all) {
      const found = await status(one).catch(() => undefined);
      if (found?.leader !== undefined && found.leader === found.header.member_id) return one;
    }
    throw new Error("etcd has no leader now");
  };
  await eventually("etcd has a leader", leader);
  const kept = opened.move();
  return {
    all: all as [EtcdMember, ...EtcdMember[]],
    addresses: all.map(({ address }) => address).join(","),
    leader,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
};
