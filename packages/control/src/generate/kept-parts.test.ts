import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeResource } from "@weft/xds/codec";
import { type ResourceKind, resourceTypes } from "@weft/xds/resource";
import { createResourceEncoder } from "@weft/xds/route-pieces";
import { createSnapshotBuilder, type Snapshot } from "@weft/xds/snapshot";
import fc from "fast-check";
import { createGenerator, type Generator } from "./generator.ts";
import type { ProxyFacts } from "./proxy-facts.ts";
import type { Generated } from "./resource-set.ts";
import { testMesh, testProxy } from "./test-mesh.ts";

/** An object written, or removed; with an age of its own, so that their order is not that of reading. */
interface Step {
  readonly key: string;
  readonly yaml: string | undefined;
}

const namespaces = ["default", "other"];
const pick = <T>(from: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...from);
const name = pick(["a", "b", "c"]);
const namespace = pick(["default", "default", "other"]);
const exportTo = pick(["", 'exportTo: ["."], ', "exportTo: [other], ", 'exportTo: ["*"], ']);
const age = fc.integer({ min: 10, max: 19 });

const object = (kind: string, api: string, spec: fc.Arbitrary<string>): fc.Arbitrary<Step> =>
  fc.record({ name, namespace, age, spec: fc.option(spec, { freq: 3, nil: undefined }) }).map((one) => {
    const metadata = `{ name: ${one.name}, namespace: ${one.namespace}, creationTimestamp: "2026-01-01T00:00:${one.age}Z" }`;
    return {
      key: `${kind}/${one.namespace}/${one.name}`,
      yaml: one.spec && `---\napiVersion: ${api}\nkind: ${kind}\nmetadata: ${metadata}\nspec: { ${one.spec} }\n`,
    };
  });

const istio = "networking.istio.io/v1";
const ports = fc
  .subarray(["name: http, port: 80", "name: tcp-x, port: 81", "port: 82, name: x", "name: https, port: 443"], {
    minLength: 1,
  })
  .map((all) => `ports: [${all.map((one) => `{ ${one} }`).join(", ")}]`);
const service = object(
  "Service",
  "v1",
  fc.tuple(ports, pick(["clusterIP: None", "clusterIP: 10.9.0.1", "clusterIP: 10.9.0.2"])).map((all) => all.join(", ")),
);
const serviceEntry = object(
  "ServiceEntry",
  istio,
  fc
    .tuple(
      exportTo,
      pick(["ext.example.com", "A.example.com", '"*.wild.com"', "a.default.svc.cluster.local"]),
      pick(["NONE", "STATIC"]),
      pick(["", "addresses: [10.8.0.1], ", 'addresses: ["10.8.0.0/16"], ']),
      pick(["HTTP", "TCP", "TLS"]),
    )
    .map(
      ([exports, host, resolution, addresses, protocol]) =>
        `${exports}${addresses}hosts: [${host}], location: MESH_EXTERNAL, resolution: ${resolution}, ` +
        `ports: [{ name: p, number: 80, protocol: ${protocol} }]` +
        (resolution === "STATIC" ? ", endpoints: [{ address: 10.7.0.1 }]" : ""),
    ),
);
const host = fc.oneof(
  { weight: 4, arbitrary: name },
  pick(["ext.example.com", "bare.example.com", '"*.default.svc.cluster.local"']),
);
const virtualService = object(
  "VirtualService",
  istio,
  fc
    .tuple(exportTo, host, name, pick(["http", "tcp", "tls"]), fc.integer({ min: 1, max: 3 }))
    .map(([exports, from, to, kind, seconds]) => {
      const route = `route: [{ destination: { host: ${to}, subset: v${seconds} } }]`;
      const rule = {
        http: `http: [{ timeout: ${seconds}s, ${route} }]`,
        tcp: `tcp: [{ match: [{ port: 81 }], ${route} }]`,
        tls: `tls: [{ match: [{ port: 443, sniHosts: [${from}] }], ${route} }]`,
      }[kind as "http"];
      return `${exports}hosts: [${from}], ${rule}`;
    }),
);
const destinationRule = object(
  "DestinationRule",
  istio,
  fc
    .tuple(
      exportTo,
      host,
      pick(["ROUND_ROBIN", "RANDOM"]),
      pick(["", "trafficPolicy: { loadBalancer: { consistentHash: { useSourceIp: true } } }, "]),
    )
    .map(
      ([exports, to, simple, policy]) =>
        `${exports}host: ${to}, ${policy}subsets: [{ name: v1, labels: { version: v1 }, ` +
        `trafficPolicy: { loadBalancer: { simple: ${simple} } } }]`,
    ),
);
const sidecar = object(
  "Sidecar",
  istio,
  pick(['"./*"', '"*/*"', '"other/*", "./a.default.svc.cluster.local"']).map(
    (hosts) => `egress: [{ hosts: [${hosts}] }]`,
  ),
);
const withPort = object(
  "Sidecar",
  istio,
  pick(["{ number: 80, protocol: HTTP, name: p }", "{ number: 81, protocol: TCP, name: p }"]).map(
    (port) => `egress: [{ port: ${port}, hosts: ["*/*"] }, { hosts: ["./*"] }]`,
  ),
);
const limit = object(
  "LocalRateLimit",
  "weft.dev/v1alpha1",
  pick([1, 2]).map(
    (tokens) => `side: outbound, match: { methods: [GET] }, bucket: { maxTokens: ${tokens}, fillInterval: 1s }`,
  ),
);

const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: service },
    { weight: 3, arbitrary: serviceEntry },
    { weight: 4, arbitrary: virtualService },
    { weight: 3, arbitrary: destinationRule },
    { weight: 1, arbitrary: sidecar },
    { weight: 1, arbitrary: withPort },
    { weight: 1, arbitrary: limit },
  ),
  { minLength: 6, maxLength: 16 },
);

const at = (kind: string, api: string, name: string, spec: string): Step => ({
  key: `${kind}/default/${name}`,
  yaml: `---\napiVersion: ${api}\nkind: ${kind}\nmetadata: { name: ${name}, namespace: default }\nspec: { ${spec} }\n`,
});

/** So that what changes is something that others lead to. */
const first: readonly Step[] = [
  ...["a", "b", "c"].map((name) => at("Service", "v1", name, "clusterIP: None, ports: [{ name: http, port: 80 }]")),
  at("VirtualService", istio, "a", "hosts: [a], http: [{ route: [{ destination: { host: b } }] }]"),
  at("VirtualService", istio, "b", "hosts: [b], tcp: [{ route: [{ destination: { host: c } }] }]"),
];

const own = (metadata: Record<string, unknown>, space: string) =>
  testProxy({ NAMESPACE: space, ...metadata }, `sidecar~10.0.0.9~web.${space}~${space}.svc.cluster.local`);
const proxies: readonly ProxyFacts[] = [
  ...namespaces.map((space) => own({ INTERCEPTION_MODE: "REDIRECT" }, space)),
  ...namespaces.map((space) => own({}, space)),
  { ...own({ INTERCEPTION_MODE: "REDIRECT", DNS_CAPTURE: true }, "default"), asksOnDemand: true },
  { ...own({}, "default"), asksOnDemand: true },
  testProxy({ NAMESPACE: "default" }, "router~10.0.0.8~gw.default~default.svc.cluster.local"),
  testProxy({ GENERATOR: "grpc" }, "client"),
];

const noteTexts = ({ notes }: Generated): readonly string[] =>
  [
    ...new Set(
      notes.map(({ code, kind, namespace, name, message }) => `${code} ${kind}/${namespace}/${name} ${message}`),
    ),
  ].sort();

const plain = ({ resources }: Generated) => ({
  ...Object.fromEntries(resourceTypes.map(({ kind }) => [kind, Object.fromEntries(resources[kind as ResourceKind])])),
  hosts: Object.fromEntries(resources.onDemand?.hosts ?? []),
  unlisted: [...(resources.onDemand?.unlisted ?? [])].sort(),
});

const bytesOf = (snapshot: Snapshot) =>
  Object.fromEntries(
    [...snapshot.types].map(([url, { entries }]) => [
      url,
      [...entries.values()].map(
        ({ name, version, bytes }) => `${name} ${version} ${Buffer.from(bytes).toString("base64")}`,
      ),
    ]),
  );

const fromNothing = (objects: ReadonlyMap<string, string>, onDemandAbove: number): Generator => {
  const { model } = testMesh({ yaml: [...objects.values()].join("") });
  return createGenerator(model, { onDemandAbove });
};

test("whatever came, went and changed, what is kept of it gives what generating from nothing gives, to the byte", () => {
  fc.assert(
    fc.property(steps, pick([0, 1000]), (all, onDemandAbove) => {
      const mesh = testMesh();
      const generator = createGenerator(mesh.model, { onDemandAbove });
      const builder = createSnapshotBuilder({ encode: createResourceEncoder() });
      const snapshots = new Map<ProxyFacts, Snapshot>();
      const objects = new Map<string, string>();
      for (const [epoch, step] of [...first, ...all].entries()) {
        if (step.yaml === undefined) mesh.config.drop(step.key);
        else mesh.apply(step.yaml);
        if (step.yaml === undefined) objects.delete(step.key);
        else objects.set(step.key, step.yaml);
        assert.deepEqual(mesh.graph.commit().failures, []);
        generator.refresh();
        const fresh = fromNothing(objects, onDemandAbove);
        const freshBuilder = createSnapshotBuilder({ encode: (kind, json) => encodeResource(kind, json as never) });
        for (const proxy of proxies) {
          const [kept, made] = [generator.generate(proxy), fresh.generate(proxy)];
          assert.deepEqual(plain(kept), plain(made));
          assert.deepEqual(noteTexts(kept), noteTexts(made));
          const snapshot = builder.build(kept.resources, epoch, snapshots.get(proxy));
          snapshots.set(proxy, snapshot);
          assert.deepEqual(bytesOf(snapshot), bytesOf(freshBuilder.build(made.resources, 0)));
        }
      }
    }),
    { numRuns: 40 },
  );
});
