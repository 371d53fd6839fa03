import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "@weft/net/process/free-port";
import type { TestControlPlane } from "./control-plane.ts";
import { type Program, startWeft } from "./processes.ts";

/** A real `weft sidecar` under a test control plane. */
export interface TestSidecar extends AsyncDisposable {
  readonly program: Program;
  readonly admin: string;
  /** H:P for calling others through it. */
  readonly outbound: string;
  /** Port the mesh dials, where it has an application. */
  readonly port: number;
  readonly folder: string;
}

export interface TestSidecarOptions {
  readonly name: string;
  readonly service?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Port of its application on loopback, and what it speaks. */
  readonly appPort?: number;
  readonly protocol?: string;
  readonly servicePort?: number;
  /** Data folder to use (and leave behind) instead of one of its own. */
  readonly folder?: string;
  /** Takes the ports and the folder of an earlier one, for a restart; the folder stays the earlier one's to delete. */
  readonly again?: TestSidecar;
  readonly args?: readonly string[];
  /** Registers the application under the service's name; by default where there is an appPort. */
  readonly register?: boolean;
}

/** Puts an instance into the registry for as long as a test runs. */
export const registerInstance = (
  cp: TestControlPlane,
  instance: {
    readonly service: string;
    readonly id: string;
    readonly port: number;
    readonly appPort: number;
    readonly protocol?: string;
    readonly servicePort?: number;
    readonly labels?: Readonly<Record<string, string>>;
    readonly mesh?: boolean;
    readonly metadata?: Readonly<Record<string, string>>;
  },
): Promise<unknown> =>
  cp.api("PUT", `/v1/registry/${instance.service}/instances/${instance.id}`, {
    address: "127.0.0.1",
    port: instance.port,
    appPort: instance.appPort,
    portName: instance.protocol ?? "http",
    protocol: instance.protocol ?? "http",
    servicePort: instance.servicePort ?? 80,
    labels: instance.labels ?? {},
    metadata: instance.metadata ?? {},
    // An instance with an identity speaks mutual TLS.
    ...(instance.mesh === false ? {} : { serviceAccount: instance.service }),
    ttlSeconds: 600,
  });

/** Starts a sidecar from flags and waits until it is ready; registers its application. */
export const startSidecar = async (cp: TestControlPlane, options: TestSidecarOptions): Promise<TestSidecar> => {
  const { name, service = name, labels = {}, appPort, protocol = "http" } = options;
  const { again } = options;
  const givenFolder = options.folder ?? again?.folder;
  const folder = givenFolder ?? mkdtempSync(join(tmpdir(), "weft-test-sidecar-"));
  const outbound = again?.outbound ?? `127.0.0.1:${await findFreePort("127.0.0.1", 0)}`;
  const port = again?.port ?? (await findFreePort("127.0.0.1", 0));
  const allLabels = Object.entries({ app: service, ...labels }).map(([key, value]) => `${key}=${value}`);
  const program = startWeft([
    ...["sidecar", "--cp", cp.secure, "--root-cert", cp.rootCertFile, "--token-file", cp.joinTokenFile],
    ...["--name", name, "--service-account", service, "--labels", allLabels.join(","), "--outbound", outbound],
    ...(appPort === undefined ? [] : ["--inbound", `${protocol}:${protocol}:127.0.0.1:${port}:${appPort}`]),
    ...["--admin", "127.0.0.1:0", "--data", folder, ...(options.args ?? [])],
  ]);
  const stop = async (): Promise<void> => {
    await program[Symbol.asyncDispose]();
    if (givenFolder === undefined) rmSync(folder, { recursive: true, force: true });
  };
  const [, admin = ""] = await program.waitFor(/\bready\b.*\badmin=(\S+)/).catch(async (error) => {
    await stop();
    throw error;
  });
  if (appPort !== undefined && again === undefined && options.register !== false) {
    const { servicePort } = options;
    await registerInstance(cp, {
      ...{ service, id: name, port, appPort, protocol, labels: { app: service, ...labels } },
      ...(servicePort === undefined ? {} : { servicePort }),
    });
  }
  return {
    program,
    admin,
    outbound,
    port,
    folder,
    [Symbol.asyncDispose]: stop,
  };
};
