import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type Program, startWeft } from "./processes.ts";

/** A real `weft cp` on ports of the system's choosing, with a folder of its own. */
export interface TestControlPlane extends AsyncDisposable {
  readonly program: Program;
  readonly xds: string;
  readonly secure: string;
  readonly http: string;
  readonly monitoring: string;
  readonly folder: string;
  readonly configFolder: string;
  readonly rootCertFile: string;
  readonly adminTokenFile: string;
  readonly joinTokenFile: string;
  /** Asks the HTTP API with the admin token; rejects on an error status. */
  api(method: string, path: string, body?: unknown): Promise<unknown>;
  apply(yaml: string): Promise<void>;
}

export interface TestControlPlaneOptions {
  /** Configuration written before the start. */
  readonly yaml?: string;
  readonly files?: readonly string[];
  /** Data folder of an earlier one, and ports to take again. */
  readonly folder?: string;
  readonly addresses?: { readonly xds: string; readonly secure: string; readonly http: string };
  readonly args?: readonly string[];
}

/** Starts a control plane and waits until it serves. Disposing stops it and deletes its folder. */
export const startControlPlane = async (options: TestControlPlaneOptions = {}): Promise<TestControlPlane> => {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "weft-test-cp-"));
  const configFolder = join(folder, "config");
  const data = join(folder, "data");
  mkdirSync(configFolder, { recursive: true });
  if (options.yaml !== undefined) writeFileSync(join(configFolder, "test.yaml"), options.yaml);
  for (const file of options.files ?? []) copyFileSync(file, join(configFolder, basename(file)));
  const at = options.addresses;
  const program = startWeft(
    [
      ...["cp", "--config", configFolder, "--data", data, "--xds-address", at?.xds ?? "127.0.0.1:0"],
      ...["--secure-address", at?.secure ?? "127.0.0.1:0", "--http-address", at?.http ?? "127.0.0.1:0"],
      ...["--monitoring-address", "127.0.0.1:0", ...(options.args ?? [])],
    ],
    // Commands of this machine's user must not find it in place of their own mesh.
    { env: { WEFT_STATE_DIR: join(folder, "state") } },
  );
  const stop = async (): Promise<void> => {
    await program[Symbol.asyncDispose]();
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
  };
  const ready = /\bready\b.*\bxds=(\S+) secure=(\S+) http=(\S+) monitoring=(\S+)/;
  const [, xds = "", secure = "", http = "", monitoring = ""] = await program.waitFor(ready).catch(async (error) => {
    await stop();
    throw error;
  });
  const adminTokenFile = join(data, "admin-token");
  const send = async (method: string, path: string, body: string | undefined, type: string): Promise<unknown> => {
    const authorization = `Bearer ${readFileSync(adminTokenFile, "utf8").trim()}`;
    const response = await fetch(`http://${http}${path}`, {
      method,
      // On a machine that stands still now and then, a kept connection may be closed just as it is used.
      headers: { "content-type": type, authorization, connection: "close" },
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  };
  return {
    ...{ program, xds, secure, http, monitoring, folder, configFolder, adminTokenFile },
    rootCertFile: join(data, "root-cert.pem"),
    joinTokenFile: join(data, "join-token"),
    api: (method, path, body) =>
      send(method, path, body === undefined ? undefined : JSON.stringify(body), "application/json"),
    apply: async (yaml) => void (await send("POST", "/v1/config/apply?file=test", yaml, "application/yaml")),
    [Symbol.asyncDispose]: stop,
  };
};
