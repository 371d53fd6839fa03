/** A copy of what a real server keeps, to put back later: as a backup, or a volume of another day. */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Keeper {
  readonly dataFolder: string;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

export interface OlderState extends Disposable {
  /** Kills the server and starts it again with the copy. */
  putBack(): Promise<void>;
}

/** Kills the server for it, and starts it again. */
export const copyState = async (server: Keeper): Promise<OlderState> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-test-older-"));
  await server.kill();
  cpSync(server.dataFolder, folder, { recursive: true });
  await server.restart();
  return {
    putBack: async () => {
      await server.kill();
      rmSync(server.dataFolder, { recursive: true });
      cpSync(folder, server.dataFolder, { recursive: true });
      await server.restart();
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
};
