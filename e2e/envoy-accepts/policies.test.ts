/** Whatever DestinationRules, ServiceEntries, MeshConfig and EnvoyFilters come to, a stock Envoy takes all of it. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import type { ResourceSet } from "@weft/control/generate/resource-set";
import { testMesh, testProxy } from "@weft/control/generate/test-mesh";
import { envoyPath } from "@weft/testkit/envoy";
import { meshConfig, meshes, patches, services } from "./policies.ts";

type Json = { readonly [name: string]: unknown };
const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** With `change` made of every object in it, the innermost first. */
const mapped = (value: unknown, change: (record: Json) => Json): unknown => {
  if (Array.isArray(value)) return value.map((one) => mapped(one, change));
  if (!isRecord(value)) return value;
  return change(Object.fromEntries(Object.entries(value).map(([name, one]) => [name, mapped(one, change)])));
};

const http2Options = {
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    explicitHttpConfig: { http2ProtocolOptions: {} },
  },
};
const server = (name: string) => ({
  name,
  type: "STATIC",
  connectTimeout: "1s",
  typedExtensionProtocolOptions: http2Options,
  loadAssignment: {
    clusterName: name,
    endpoints: [
      { lbEndpoints: [{ endpoint: { address: { socketAddress: { address: "127.0.0.1", portValue: 1 } } } }] },
    ],
  },
});

/** Where keys come from, also of secrets that come with everything else: Envoy's check cannot follow those. */
const keySource = {
  apiConfigSource: {
    apiType: "GRPC",
    transportApiVersion: "V3",
    grpcServices: [{ envoyGrpc: { clusterName: "keys" } }],
  },
};
const withKeys = (record: Json): Json =>
  record.sdsConfig === undefined ? record : { ...record, sdsConfig: keySource };

/** Tables and assignments in place, so that all of it is checked at the start; keys stay where they are fetched. */
const bootstrapOf = ({ cluster, endpoints, listener, route }: ResourceSet): Json => ({
  node: { id: "x", cluster: "x" },
  dynamicResources: {
    adsConfig: {
      apiType: "GRPC",
      transportApiVersion: "V3",
      grpcServices: [{ envoyGrpc: { clusterName: "xds-grpc" } }],
    },
  },
  staticResources: {
    listeners: mapped([...listener.values()], ({ rds, ...rest }) =>
      isRecord(rds) ? { ...rest, routeConfig: route.get(String(rds.routeConfigName)) ?? {} } : rest,
    ),
    clusters: [
      ...["xds-grpc", "keys"].map(server),
      ...(mapped([...cluster.values()], withKeys) as Json[]),
      ...[...endpoints.values()].map((assignment) => ({
        name: `assignment of ${assignment.clusterName}`,
        type: "STATIC",
        connectTimeout: "1s",
        lbPolicy: "LEAST_REQUEST",
        loadAssignment: assignment,
      })),
    ],
  },
});

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "weft-envoy-accepts-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** What Envoy says against it; nothing when it takes it. */
const refusal = async (name: string, resources: ResourceSet): Promise<string | undefined> => {
  const file = join(folder, `${name.replaceAll(/\W/g, "-")}.json`);
  writeFileSync(file, JSON.stringify(bootstrapOf(resources)));
  try {
    await run(envoyPath, ["--mode", "validate", "-c", file, "-l", "error"]);
    return undefined;
  } catch (error) {
    return String((error as { stderr?: string }).stderr ?? error);
  }
};

const proxies = new Map([
  ["explicit", testProxy({ WEFT_VERSION: undefined, WEFT_SDS: "keys", LABELS: { app: "web" } })],
  [
    "intercepted",
    {
      ...testProxy({
        WEFT_VERSION: undefined,
        WEFT_SDS: "keys",
        LABELS: { app: "web" },
        INTERCEPTION_MODE: "REDIRECT",
        DNS_CAPTURE: "true",
        WEFT_INBOUND: [{ port: 9001, appPort: 8080, protocol: "http", service: "fixed.example" }],
      }),
      locality: "eu/a/1",
    },
  ],
  [
    "gateway",
    testProxy(
      { WEFT_VERSION: undefined, WEFT_SDS: "keys", LABELS: { app: "web" } },
      "router~10.0.0.9~gw-1.default~default.svc.cluster.local",
    ),
  ],
]);

for (const [kind, proxy] of proxies) {
  test(`every policy for every kind of service: ${kind}`, async () => {
    for (const [i, yaml] of meshes.entries()) {
      const { resources } = testMesh({ yaml }).generator.generate(proxy);
      const rules = yaml.slice(yaml.lastIndexOf("spec:"));
      assert.equal(await refusal(`${kind}-${i}`, resources), undefined, rules);
    }
  });

  test(`the settings of the mesh, and patches with extensions only Envoy knows: ${kind}`, async () => {
    const mesh = testMesh({ yaml: services + meshConfig + patches });
    const { resources, notes } = mesh.generator.generate(proxy);
    assert.deepEqual(notes, []);
    assert.equal(await refusal(`${kind}-patched`, resources), undefined);
  });
}
