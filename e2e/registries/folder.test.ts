/** A folder of YAML as a registry beside weft's own: seen, called, changed, and kept when it is away. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readIfThere } from "@weft/net/files/files";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar } from "@weft/testkit/sidecar";
import { portsBecome, portsOf, sourceOf, stateBecomes } from "./sources.ts";

const slice = (port: number): string => `
apiVersion: v1
kind: Service
metadata: { name: filed, namespace: default }
spec: { ports: [{ port: 80, name: http }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: filed-1, namespace: default, labels: { kubernetes.io/service-name: filed } }
addressType: IPv4
ports: [{ name: http, port: ${port} }]
endpoints: [{ addresses: [127.0.0.1] }]
`;

test("services in a folder are called beside registered ones, and stay when the folder or a file of it goes wrong", async () => {
  const root = mkdtempSync(join(tmpdir(), "weft-test-folder-"));
  using _ = { [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) };
  const folder = join(root, "services");
  mkdirSync(folder);
  await using echo = await startEchoServer("filed");
  writeFileSync(join(folder, "filed.yaml"), slice(echo.port));
  const args = ["--registry", `file://${folder}`, "--registry", "embedded:"];
  const first = await startControlPlane({ args });
  await using cp = first;
  await using web = await startSidecar(cp, { name: "web" });
  await cp.api("PUT", "/v1/registry/own/instances/a", { address: "127.0.0.1", port: 7001, servicePort: 80 });
  await portsBecome(cp, "own", "7001");
  await portsBecome(cp, "filed", `${echo.port}`);
  await eventually(
    "it is called",
    async () => (await callHttp(web.outbound, { host: "filed" })).status === 200 || undefined,
  );
  const { name, state, ageSeconds, instances } = await sourceOf(cp, "file");
  assert.deepEqual([name, state, ageSeconds, instances], ["file", "live", 0, 1]);

  writeFileSync(
    join(folder, "wrong.yaml"),
    "apiVersion: v1\nkind: Service\nmetadata: { name: wrong }\nspec: { ports: [{ port: x }] }\n",
  );
  await eventually("it is found", async () => {
    const { items } = (await cp.api("GET", "/v1/analyze")) as { items: readonly { file: string; line: number }[] };
    return items.some(({ file, line }) => file === `${folder}/wrong.yaml` && line === 4) || undefined;
  });
  assert.equal(await portsOf(cp, "filed"), `${echo.port}`);

  await eventually(
    "it is kept",
    () => readIfThere(`${cp.folder}/data/registries/file.json`)?.includes("wrong.yaml") || undefined,
  );
  renameSync(folder, `${folder}-away`);
  await stateBecomes(cp, "file", "lost");
  assert.equal((await callHttp(web.outbound, { host: "filed" })).status, 200);
  cp.program.kill("SIGKILL");
  await cp.program.exited;
  const { xds, secure, http } = cp;
  await using later = await startControlPlane({ folder: cp.folder, addresses: { xds, secure, http }, args });
  assert.equal(await portsOf(later, "filed"), `${echo.port}`);
  assert.equal((await sourceOf(later, "file")).state, "lost");
  renameSync(`${folder}-away`, folder);
  await stateBecomes(later, "file", "live");
  writeFileSync(join(folder, "filed.yaml"), slice(7002));
  await portsBecome(later, "filed", "7002");
});
