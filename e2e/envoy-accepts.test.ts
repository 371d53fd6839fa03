/** A stock Envoy takes every resource that VirtualServices, Gateways and Sidecars with all their fields become. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { testMesh, testProxy } from "@weft/control/generate/test-mesh";
import { envoyPath } from "@weft/testkit/envoy";
import { staticBootstrap } from "./envoy-accepts/static-bootstrap.ts";
import { gateways, routes, services, sidecars } from "./envoy-accepts/traffic.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "weft-accepts-"));
  execFileSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=edge", "-addext", "subjectAltName=DNS:*.example.com"],
    ...["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")],
  ]);
});
after(() => rmSync(folder, { recursive: true, force: true }));

const withKeys = (yaml: string): string => {
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const data = (file: string): string => readFileSync(file).toString("base64");
  return yaml
    .replaceAll("CERTIFICATE_FILE", cert)
    .replaceAll("KEY_FILE", key)
    .replaceAll("ROOTS_FILE", cert)
    .replaceAll("CERTIFICATE_DATA", data(cert))
    .replaceAll("KEY_DATA", data(key))
    .replaceAll("ROOTS_DATA", data(cert));
};

const stock = { WEFT_VERSION: undefined, WEFT_SDS: "sds" };
const sdsCluster = { name: "sds", type: "STATIC", loadAssignment: { clusterName: "sds" } } as const;

const cases: readonly (readonly [string, string, ReturnType<typeof testProxy>])[] = [
  ["an explicit sidecar", services + routes, testProxy({ ...stock, WEFT_INBOUND: [{ port: 9001, appPort: 3000 }] })],
  ["an intercepting sidecar", services + routes, testProxy({ ...stock, INTERCEPTION_MODE: "REDIRECT" })],
  [
    "an intercepting sidecar with a Sidecar of its own",
    services + routes + sidecars,
    testProxy({ ...stock, INTERCEPTION_MODE: "REDIRECT", LABELS: { app: "own" } }),
  ],
  [
    "an explicit sidecar with a Sidecar of its own",
    services + routes + sidecars,
    testProxy({ ...stock, LABELS: { app: "own" } }),
  ],
  [
    "an intercepting sidecar under its namespace's Sidecar",
    services + routes + sidecars,
    testProxy({ ...stock, INTERCEPTION_MODE: "TPROXY" }),
  ],
  [
    "a gateway",
    services + routes + gateways,
    testProxy(
      { ...stock, INTERCEPTION_MODE: "REDIRECT", LABELS: { istio: "edge" } },
      "router~10.0.0.9~edge-1.default~default.svc.cluster.local",
    ),
  ],
];

for (const [name, yaml, proxy] of cases) {
  test(`Envoy takes all of ${name}`, () => {
    const { resources } = testMesh({ yaml: withKeys(yaml) }).generator.generate(proxy);
    const cluster = new Map([...resources.cluster, ["sds", sdsCluster]]);
    const file = join(folder, `${name.replaceAll(" ", "-")}.json`);
    const keys = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
    writeFileSync(file, staticBootstrap({ ...resources, cluster }, keys));
    const { status, stderr } = spawnSync(envoyPath, ["--mode", "validate", "-l", "error", "-c", file], {
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr.slice(-2000));
  });
}
