/** The user whose connections interception leaves alone: as whom a sidecar runs, and its files. */
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestControlPlane } from "@weft/testkit/control-plane";

export const proxyId = 1337;

/** What `setpriv` is to be told. */
export const asProxyUser = ["--reuid", String(proxyId), "--regid", String(proxyId), "--clear-groups"];

type JoinFiles = Pick<TestControlPlane, "rootCertFile" | "joinTokenFile">;

/** Puts into a folder what a sidecar of that user needs to join, and a folder `data` of its own. */
export const fillForProxy = (folder: string, { rootCertFile, joinTokenFile }: JoinFiles): void => {
  mkdirSync(join(folder, "data"), { recursive: true });
  chmodSync(folder, 0o755);
  copyFileSync(rootCertFile, join(folder, "root-cert.pem"));
  copyFileSync(joinTokenFile, join(folder, "join-token"));
  for (const name of ["root-cert.pem", "join-token", "data"]) chownSync(join(folder, name), proxyId, proxyId);
};

/** Such a folder, gone with the stack. */
export const proxyFolder = (stack: AsyncDisposableStack, files: JoinFiles): string => {
  const folder = mkdtempSync(join(tmpdir(), "weft-intercepted-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  fillForProxy(folder, files);
  return folder;
};
