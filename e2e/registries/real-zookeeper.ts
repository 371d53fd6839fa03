/** A real ZooKeeper on a free port with a folder of its own. */
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import type { Program } from "@weft/testkit/processes";
import { here } from "./place.ts";
import { type ServerProgram, startServerProgram } from "./server-program.ts";
import { connectWriter } from "./zookeeper-writer.ts";

export interface RestartOptions {
  readonly empty?: boolean;
  /** As one of three of which the others are away: it serves what it has, read-only. */
  readonly alone?: boolean;
}

export interface RealZookeeper extends ServerProgram {
  readonly port: number;
  readonly address: string;
  /** Where it keeps what it has. */
  readonly dataFolder: string;
  restart(options?: RestartOptions): Promise<void>;
}

const classPath = ["zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-nop"].map(
  (name) => `/usr/share/java/${name}.jar`,
);

/** Sessions last 2 to 20 ticks. */
const tickMsDefault = 500;

export const startZookeeper = async (tickMs = tickMsDefault, place = here): Promise<RealZookeeper> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-test-zookeeper-"));
  const port = await findFreePort("127.0.0.1", 0);
  const data = join(folder, "data");
  const peerPorts = [await findFreePort("127.0.0.1", 0, (one) => one === port)];
  while (peerPorts.length < 6) {
    peerPorts.push(await findFreePort("127.0.0.1", 0, (one) => one === port || peerPorts.includes(one)));
  }
  const common = [
    ...[`tickTime=${tickMs}`, `dataDir=${data}`, `clientPort=${port}`, `clientPortAddress=${place.listen}`],
    ...["admin.enableServer=false", "maxClientCnxns=0", "preAllocSize=1024"],
  ];
  const peers = [1, 2, 3].map((id) => `server.${id}=127.0.0.1:${peerPorts[2 * id - 2]}:${peerPorts[2 * id - 1]}`);
  const writeSettings = (name: string, lines: readonly string[]): string => {
    const path = join(folder, name);
    writeFileSync(path, [...lines, ""].join("\n"));
    return path;
  };
  const single = writeSettings("single.cfg", common);
  // Without its quorum a server gives sessions only where those may be its own.
  const own = ["initLimit=5", "syncLimit=5", "localSessionsEnabled=true", "localSessionsUpgradingEnabled=true"];
  const ensemble = writeSettings("ensemble.cfg", [...common, ...own, ...peers]);
  let settings = single;
  const start = (): Program => {
    mkdirSync(data, { recursive: true });
    writeFileSync(join(data, "myid"), "1");
    return place.start("java", [
      ...["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no"],
      ...["-Dreadonlymode.enabled=true", "-cp", classPath.join(":")],
      ...["org.apache.zookeeper.server.quorum.QuorumPeerMain", settings],
    ]);
  };
  const serves = () =>
    eventually(
      "ZooKeeper serves",
      async () => {
        using writer = await connectWriter(port, undefined, place.testHost);
        await writer.ping();
        return true;
      },
      60_000,
    );
  const program = await startServerProgram({ folder, dataFolder: data, start, serves });
  return {
    ...program,
    port,
    address: `${place.host}:${port}`,
    dataFolder: data,
    restart: ({ empty = false, alone = false } = {}) => {
      settings = alone ? ensemble : single;
      return program.restart({ empty });
    },
  };
};
