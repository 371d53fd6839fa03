import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { injectPod } from "./inject-pod.ts";
import { defaultInjectorValues, readInjectorValues } from "./injector-values.ts";
import { jsonPatch } from "./json-patch.ts";
import { type JsonObject, objectsOf, valueAt } from "./json-values.ts";
import { argumentOf, containerOf, containersNamed, envOf, injected, injectOne, podOf } from "./testing/inject-one.ts";

const annotated = (annotations: Readonly<Record<string, string>>) => injectOne({ annotations });
const proxyWith = (annotations: Readonly<Record<string, string>>): JsonObject =>
  containerOf(injected({ annotations }), "istio-proxy");
const initWith = (annotations: Readonly<Record<string, string>>): JsonObject =>
  containerOf(injected({ annotations }), "istio-init");

test("a classic sidecar stands behind the application, and interception behind all init containers", () => {
  const pod = injected({ spec: { containers: [{ name: "web" }], initContainers: [{ name: "migrate" }] } });
  assert.deepEqual(containersNamed(pod, "containers"), ["web", "istio-proxy"]);
  assert.deepEqual(containersNamed(pod, "initContainers"), ["migrate", "istio-init"]);
});

test("a native sidecar and interception stand before all init containers", () => {
  const pod = injected(
    { spec: { containers: [{ name: "web" }], initContainers: [{ name: "migrate" }] } },
    { nativeSidecars: true },
  );
  assert.deepEqual(containersNamed(pod, "containers"), ["web"]);
  assert.deepEqual(containersNamed(pod, "initContainers"), ["istio-init", "istio-proxy", "migrate"]);
  const proxy = containerOf(pod, "istio-proxy");
  assert.equal(proxy.restartPolicy, "Always");
  assert.equal(valueAt(proxy, "startupProbe", "httpGet", "port"), 15_021);
  assert.deepEqual(valueAt(proxy, "lifecycle", "preStop", "exec", "command"), ["weft", "pod", "drain"]);
  assert.equal(valueAt(proxy, "lifecycle", "postStart"), undefined);
});

test("holding the application puts a classic sidecar first, with a hook that waits", () => {
  const pod = injected({ annotations: { "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true" } });
  assert.deepEqual(containersNamed(pod, "containers"), ["istio-proxy", "web"]);
  const proxy = containerOf(pod, "istio-proxy");
  assert.deepEqual(valueAt(proxy, "lifecycle", "postStart", "exec", "command"), ["weft", "pod", "wait"]);
});

test("the pod's word on native sidecars wins over the cluster's and the values'", () => {
  const native = (more: string, nativeSidecars: boolean): boolean =>
    containersNamed(
      injected({ annotations: { "sidecar.istio.io/nativeSidecar": more } }, { nativeSidecars }),
      "containers",
    ).length === 1;
  assert.equal(native("true", false), true);
  assert.equal(native("false", true), false);
});

test("nothing runs as root, writes its file system or keeps a capability but interception", () => {
  const pod = injected();
  assert.deepEqual(containerOf(pod, "istio-proxy").securityContext, {
    ...{ allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] }, privileged: false },
    ...{ readOnlyRootFilesystem: true, runAsGroup: 1337, runAsNonRoot: true, runAsUser: 1337 },
    seccompProfile: { type: "RuntimeDefault" },
  });
  assert.deepEqual(valueAt(containerOf(pod, "istio-init"), "securityContext", "capabilities"), {
    ...{ add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] },
  });
});

test("the token is for the mesh's authority alone, and keys stay in memory", () => {
  const volumes = new Map(objectsOf(valueAt(injected(), "spec", "volumes")).map((volume) => [volume.name, volume]));
  const [source] = objectsOf(valueAt(volumes.get("istio-token"), "projected", "sources"));
  assert.deepEqual(source?.serviceAccountToken, {
    audience: "istio-ca",
    expirationSeconds: 43_200,
    path: "istio-token",
  });
  assert.equal(valueAt(volumes.get("istio-data"), "emptyDir", "medium"), "Memory");
  const mebibytes = (size: unknown): number => Number.parseInt(String(size), 10);
  const args = containerOf(injected(), "istio-proxy").args as readonly string[];
  const cache = mebibytes(args[args.indexOf("--discovery-cache-disk") + 1]);
  assert.ok(cache > 0 && cache < mebibytes(valueAt(volumes.get("istio-data"), "emptyDir", "sizeLimit")));
  assert.equal(valueAt(volumes.get("istiod-ca-cert"), "configMap", "name"), "istio-ca-root-cert");
});

test("injecting what is injected changes nothing", () => {
  for (const nativeSidecars of [false, true]) {
    const pod = injected({}, { nativeSidecars });
    const again = injectPod({
      pod,
      namespace: { name: "shop", labels: {} },
      values: defaultInjectorValues,
      nativeSidecars,
    });
    assert.deepEqual([again.kind, again.kind === "left" && again.why], ["left", "it is injected already"]);
  }
});

test("pods that must not be injected stay as they are, and say why", () => {
  const why = (outcome: ReturnType<typeof injectOne>): string => (outcome.kind === "left" ? outcome.why : outcome.kind);
  assert.match(why(injectOne({ spec: { hostNetwork: true } })), /node's network/);
  for (const name of ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"])
    assert.match(
      why(injectOne({}, { namespace: { name, labels: { "istio-injection": "enabled" } } })),
      /cluster itself/,
    );
  assert.match(why(injectOne({ labels: { "sidecar.istio.io/inject": "false" } })), /its label .* is "false"/);
  assert.match(why(annotated({ "sidecar.istio.io/inject": "false" })), /its annotation .* is "false"/);
  const off = { namespace: { name: "shop", labels: { "istio-injection": "disabled" } } };
  assert.match(why(injectOne({}, off)), /istio-injection=disabled/);
});

test("the label wins over the annotation, both ways", () => {
  const both = (label: string, annotation: string): string =>
    injectOne({
      labels: { "sidecar.istio.io/inject": label },
      annotations: { "sidecar.istio.io/inject": annotation },
    }).kind;
  assert.equal(both("true", "false"), "injected");
  assert.equal(both("false", "true"), "left");
});

test("a resource annotation replaces all resources of the values, as in Istio", () => {
  const { values } = readInjectorValues("global: {proxy: {resources: {requests: {cpu: 1m}, limits: {cpu: 2}}}}", "v");
  const plain = containerOf(injected({}, { values }), "istio-proxy");
  assert.deepEqual(plain.resources, { requests: { cpu: "1m" }, limits: { cpu: 2 } });
  const annotations = { "sidecar.istio.io/proxyCPU": "50m", "sidecar.istio.io/proxyMemoryLimit": "1Gi" };
  const own = containerOf(injected({ annotations }, { values }), "istio-proxy");
  assert.deepEqual(own.resources, { requests: { cpu: "50m" }, limits: { memory: "1Gi" } });
  const limited = injected({ annotations: { "sidecar.istio.io/proxyCPULimit": "2" } }, { values });
  assert.deepEqual(containerOf(limited, "istio-proxy").resources, { limits: { cpu: "2" } });
});

test("annotations for interception become its flags", () => {
  const init = initWith({
    "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8, fd00::/8",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.1.0.0/16",
    "traffic.sidecar.istio.io/includeInboundPorts": "8080,9090",
    "traffic.sidecar.istio.io/excludeInboundPorts": "9999",
    "traffic.sidecar.istio.io/excludeOutboundPorts": "3306",
    "sidecar.istio.io/interceptionMode": "TPROXY",
  });
  assert.equal(argumentOf(init, "--include-cidrs"), "10.0.0.0/8,fd00::/8");
  assert.equal(argumentOf(init, "--exclude-cidrs"), "10.1.0.0/16");
  assert.equal(argumentOf(init, "--include-inbound-ports"), "8080,9090");
  assert.equal(argumentOf(init, "--exclude-inbound-ports"), "15090,15021,15020,9999");
  assert.equal(argumentOf(init, "--exclude-ports"), "3306");
  assert.equal(argumentOf(init, "--mode"), "tproxy");
});

test("outbound ports alone are intercepted where no destination is", () => {
  const only = {
    "traffic.sidecar.istio.io/includeOutboundIPRanges": "",
    "traffic.sidecar.istio.io/includeOutboundPorts": "80,443",
  };
  const init = initWith(only);
  assert.deepEqual([argumentOf(init, "--include-cidrs"), argumentOf(init, "--include-ports")], ["*", "80,443"]);
  const both = annotated({ ...only, "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8" });
  assert.deepEqual(
    both.notes.map(({ code }) => code),
    ["WF2173"],
  );
});

test("a pod without interception has no init container", () => {
  const pod = injected({ annotations: { "sidecar.istio.io/interceptionMode": "NONE" } });
  assert.equal(valueAt(pod, "spec", "initContainers"), undefined);
  assert.equal(argumentOf(containerOf(pod, "istio-proxy"), "--interception"), "NONE");
});

test("a ProxyConfig annotation starts the proxy otherwise, and what it cannot do is told", () => {
  const config =
    "concurrency: 2\nterminationDrainDuration: 20s\ntracing: {sampling: 1}\nproxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true', A: b}";
  const outcome = annotated({ "proxy.istio.io/config": config });
  assert.equal(outcome.kind, "injected");
  assert.match(outcome.notes[0]?.message ?? "", /tracing has no effect/);
  const proxy = proxyWith({ "proxy.istio.io/config": config });
  assert.deepEqual([argumentOf(proxy, "--concurrency"), argumentOf(proxy, "--drain-time")], ["2", "20"]);
  assert.equal(envOf(proxy).get("A"), "b");
  assert.ok((proxy.args as readonly string[]).includes("--dns"));
  assert.ok((initWith({ "proxy.istio.io/config": config }).args as readonly string[]).includes("--dns"));
});

test("variables that choose what code runs are not taken from an annotation", () => {
  const outcome = annotated({ "proxy.istio.io/config": "proxyMetadata: {NODE_OPTIONS: '--require /tmp/x.js'}" });
  assert.match(outcome.notes[0]?.message ?? "", /proxyMetadata is .* it is left out/);
  assert.equal(outcome.kind === "injected" && JSON.stringify(outcome.pod.spec).includes("/tmp/x.js"), false);
});

test("every annotation with a wrong value refuses the pod, with its place", () => {
  const wrong: Readonly<Record<string, string>> = {
    "sidecar.istio.io/proxyCPU": "much",
    "sidecar.istio.io/proxyMemoryLimit": "-1Gi",
    "sidecar.istio.io/proxyImage": "a b",
    "sidecar.istio.io/logLevel": "loud",
    "sidecar.istio.io/rewriteAppHTTPProbers": "perhaps",
    "sidecar.istio.io/nativeSidecar": "",
    "sidecar.istio.io/interceptionMode": "redirect",
    "sidecar.istio.io/discoveryAddress": "a --evil",
    "sidecar.istio.io/userVolume": "[1]",
    "sidecar.istio.io/userVolumeMount": "{",
    "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/33",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": "*",
    "traffic.sidecar.istio.io/includeInboundPorts": "http",
    "traffic.sidecar.istio.io/excludeInboundPorts": "0",
    "traffic.sidecar.istio.io/excludeOutboundPorts": "70000",
    "status.sidecar.istio.io/port": "many",
    "readiness.status.sidecar.istio.io/periodSeconds": "1s",
    "prometheus.istio.io/merge-metrics": "maybe",
    "proxy.istio.io/config": "[not, an, object]",
  };
  for (const [name, text] of Object.entries(wrong)) {
    const outcome = annotated({ [name]: text });
    assert.equal(outcome.kind, "refused", name);
    assert.deepEqual([outcome.notes[0]?.code, outcome.notes[0]?.path], ["WF2171", ["metadata", "annotations", name]]);
  }
});

test("an unknown annotation of injection's groups is a warning; others are none of ours", () => {
  const outcome = annotated({ "sidecar.istio.io/proxyCpu": "1", "example.com/any": "x", "prometheus.io/port": "1" });
  assert.deepEqual(
    outcome.notes.map(({ code, level, path }) => [code, level, path.at(-1)]),
    [["WF2172", "warning", "sidecar.istio.io/proxyCpu"]],
  );
});

test("a shell's words in labels and variables stay words", () => {
  const pod = injected({
    labels: { app: "web", note: "$(POD_NAME)" },
    annotations: { "proxy.istio.io/config": "proxyMetadata: {A: $(B)}" },
  });
  const proxy = containerOf(pod, "istio-proxy");
  assert.match(String(argumentOf(proxy, "--labels")), /note=\$\$\(POD_NAME\)/);
  assert.equal(envOf(proxy).get("A"), "$$(B)");
});

test("user volumes and mounts are added, as an object by name or a list", () => {
  const byName = { "sidecar.istio.io/userVolume": '{"certs":{"secret":{"secretName":"s"}}}' };
  const list = { "sidecar.istio.io/userVolumeMount": '[{"name":"certs","mountPath":"/etc/certs"}]' };
  const pod = injected({ annotations: { ...byName, ...list } });
  assert.deepEqual(objectsOf(valueAt(pod, "spec", "volumes")).at(-1), { name: "certs", secret: { secretName: "s" } });
  const mounts = objectsOf(containerOf(pod, "istio-proxy").volumeMounts);
  assert.deepEqual(mounts.at(-1), { name: "certs", mountPath: "/etc/certs" });
});

test("a container the pod names istio-proxy wins field by field, wherever it stands", () => {
  const own = {
    name: "istio-proxy",
    image: "auto",
    env: [
      { name: "POD_NAME", value: "mine" },
      { name: "EXTRA", value: "1" },
    ],
    resources: { limits: { cpu: "3" } },
    readinessProbe: { tcpSocket: { port: 1 } },
    volumeMounts: [{ mountPath: "/var/lib/istio/data", name: "other" }],
  };
  for (const nativeSidecars of [false, true]) {
    const pod = injected({ spec: { containers: [{ name: "web" }, own] } }, { nativeSidecars, image: "weft:test" });
    const proxy = containerOf(pod, "istio-proxy");
    assert.equal(proxy.image, "weft:test");
    assert.equal(envOf(proxy).get("POD_NAME"), "mine");
    assert.equal(envOf(proxy).get("EXTRA"), "1");
    assert.equal(valueAt(proxy, "resources", "limits", "cpu"), "3");
    assert.equal(valueAt(proxy, "resources", "requests", "cpu"), "100m");
    assert.deepEqual(proxy.readinessProbe, { tcpSocket: { port: 1 } });
    assert.equal(
      objectsOf(proxy.volumeMounts).find(({ mountPath }) => mountPath === "/var/lib/istio/data")?.name,
      "other",
    );
    const all = [...containersNamed(pod, "containers"), ...containersNamed(pod, "initContainers")];
    assert.equal(all.filter((name) => name === "istio-proxy").length, 1);
  }
});

test("labels and the owner name the workload behind the pod", () => {
  const controlled = (kind: string, name: string, labels: Readonly<Record<string, string>> = {}) => {
    const base = podOf({ labels });
    const metadata = {
      ...(base.metadata as JsonObject),
      ownerReferences: [{ apiVersion: "apps/v1", kind, name, controller: true }],
    };
    const outcome = injectPod({
      ...{ pod: { ...base, metadata }, namespace: { name: "shop", labels: {} } },
      ...{ values: defaultInjectorValues, nativeSidecars: false },
    });
    const pod = outcome.kind === "injected" ? outcome.pod : {};
    return [
      envOf(containerOf(pod, "istio-proxy")).get("ISTIO_META_OWNER"),
      valueAt(pod, "metadata", "labels", "service.istio.io/canonical-name"),
    ];
  };
  assert.deepEqual(controlled("ReplicaSet", "web-5d8f", { "pod-template-hash": "5d8f" }), [
    "kubernetes://apis/apps/v1/namespaces/shop/deployments/web",
    "web",
  ]);
  assert.deepEqual(controlled("Job", "report-28500000"), [
    "kubernetes://apis/batch/v1/namespaces/shop/cronjobs/report",
    "report",
  ]);
  assert.deepEqual(controlled("StatefulSet", "db", { app: "data" }), [
    "kubernetes://apis/apps/v1/namespaces/shop/statefulsets/db",
    "data",
  ]);
});

test("scrapers are sent to the merged metrics, and the application's place is kept", () => {
  const annotations = { "prometheus.io/scrape": "true", "prometheus.io/port": "9090" };
  const pod = injected({ annotations });
  assert.equal(valueAt(pod, "metadata", "annotations", "prometheus.io/port"), "15020");
  const kept = JSON.parse(String(envOf(containerOf(pod, "istio-proxy")).get("ISTIO_PROMETHEUS_ANNOTATIONS")));
  assert.deepEqual(kept, { scrape: "true", port: "9090", path: "/metrics" });
  const alone = injected({ annotations: { ...annotations, "prometheus.istio.io/merge-metrics": "false" } });
  assert.equal(valueAt(alone, "metadata", "annotations", "prometheus.io/port"), "9090");
});

test("what is no pod is refused with the place that is wrong", () => {
  const refusal = (pod: unknown): unknown => {
    const outcome = injectPod({
      pod,
      namespace: { name: "shop", labels: {} },
      values: defaultInjectorValues,
      nativeSidecars: false,
    });
    return outcome.kind === "refused" ? outcome.notes[0]?.path : outcome.kind;
  };
  assert.deepEqual(refusal(null), []);
  assert.deepEqual(refusal([]), []);
  assert.deepEqual(refusal({}), ["spec"]);
  assert.deepEqual(refusal({ spec: {} }), ["spec", "containers"]);
  assert.deepEqual(refusal({ spec: { containers: [{}] } }), ["spec", "containers", 0]);
  assert.deepEqual(refusal({ spec: { containers: [{ name: "a" }], volumes: {} } }), ["spec", "volumes"]);
  assert.deepEqual(refusal(podOf({ labels: { a: 1 } as unknown as Record<string, string> })), [
    "metadata",
    "labels",
    "a",
  ]);
});

test("whatever a pod is, injection answers, and what it injects it leaves alone afterwards", () => {
  const json = fc.jsonValue({ maxDepth: 4 });
  const container = fc
    .record({ name: fc.string() }, { requiredKeys: [] })
    .chain((base) => json.map((more) => ({ ...base, ports: more, lifecycle: more })));
  const pod = fc.record({
    metadata: fc.oneof(
      json,
      fc.record({
        labels: json,
        annotations: fc.dictionary(
          fc.constantFrom("sidecar.istio.io/proxyCPU", "proxy.istio.io/config", "x"),
          fc.string(),
        ),
      }),
    ),
    spec: fc.oneof(
      json,
      fc.record({ containers: fc.array(fc.oneof(container, json)), initContainers: json, volumes: json }),
    ),
  });
  fc.assert(
    fc.property(fc.oneof(pod, json), fc.boolean(), (value, nativeSidecars) => {
      const request = { namespace: { name: "shop", labels: {} }, values: defaultInjectorValues, nativeSidecars };
      const outcome = injectPod({ ...request, pod: value });
      if (outcome.kind !== "injected") return;
      assert.equal(injectPod({ ...request, pod: outcome.pod }).kind, "left");
      jsonPatch(value, outcome.pod);
    }),
    { numRuns: 300 },
  );
});

test("a template without containers is a layer over another and stays as it is; a pod without any is refused", () => {
  const owner = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
  const common = { namespace: { name: "shop", labels: {} }, values: defaultInjectorValues, nativeSidecars: true };
  const layer = { metadata: { labels: { app: "web" } }, spec: { affinity: {} } };
  const outcome = injectPod({ ...common, pod: layer, owner });
  assert.match(outcome.kind === "left" ? outcome.why : outcome.kind, /no containers, so it is a part/);
  assert.equal(injectPod({ ...common, pod: layer }).kind, "refused");
  for (const containers of [[], {}, null, "app"])
    assert.equal(injectPod({ ...common, pod: { spec: { containers } }, owner }).kind, "refused", String(containers));
});

test("a pod for Windows is left alone", () => {
  for (const spec of [{ os: { name: "windows" } }, { nodeSelector: { "kubernetes.io/os": "windows" } }])
    assert.equal(injectOne({ spec }).kind, "left");
});

test("what collides with the proxy is told of with its place", () => {
  const told = (spec: JsonObject, annotations = {}) =>
    injectOne({ spec, annotations }).notes.map(({ code, path }) => [code, path.join(".")]);
  const containers = [{ name: "web", ports: [{ containerPort: 8080 }, { containerPort: 15_020 }] }, { name: "other" }];
  assert.deepEqual(told({ containers }), [["WF5067", "spec.containers.0.ports"]]);
  const asProxy = { securityContext: { runAsUser: 1337 }, containers: [{ name: "a" }] };
  assert.deepEqual(told(asProxy), [["WF5067", "spec.containers.0"]]);
  assert.deepEqual(told(asProxy, { "sidecar.istio.io/interceptionMode": "NONE" }), []);
  assert.deepEqual(told({ ...asProxy, containers: [{ name: "a", securityContext: { runAsUser: 5 } }] }), []);
});

test("a wrong field of the ProxyConfig refuses the pod as a wrong annotation does", () => {
  for (const config of ["concurrency: -1", "holdApplicationUntilProxyStarts: perhaps", "statusPort: http"]) {
    const outcome = injectOne({ annotations: { "proxy.istio.io/config": config } });
    assert.deepEqual([outcome.kind, outcome.notes[0]?.code], ["refused", "WF2171"], config);
  }
  assert.equal(
    injectOne({ annotations: { "proxy.istio.io/config": "holdApplicationUntilProxyStarts: 'true'" } }).kind,
    "injected",
  );
});
