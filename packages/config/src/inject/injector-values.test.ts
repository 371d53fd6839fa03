import assert from "node:assert/strict";
import { test } from "node:test";
import { injectText, readValuesText } from "./inject-text.ts";
import { defaultInjectorValues, readInjectorValues } from "./injector-values.ts";

/** As clusters of Istio have it: values as text in a ConfigMap. */
const configMap = `
apiVersion: v1
kind: ConfigMap
metadata:
  name: istio-sidecar-injector
  namespace: istio-system
data:
  values: |-
    global:
      proxy:
        resources:
          requests: {cpu: 70m, memory: 90Mi}
          limits: {cpu: 900m, memory: 300Mi}
`;

test("the injector's ConfigMap gives the sidecar its resources", () => {
  const { values, notes } = readValuesText(configMap, "map.yaml");
  assert.deepEqual(notes, []);
  assert.deepEqual(values.resources, {
    requests: { cpu: "70m", memory: "90Mi" },
    limits: { cpu: "900m", memory: "300Mi" },
  });
});

test("nothing written gives the defaults, and JSON is taken as YAML is", () => {
  assert.deepEqual(readInjectorValues("", "v").values, defaultInjectorValues);
  const { values } = readInjectorValues('{"global":{"proxy":{"logLevel":"debug","statusPort":"15999"}}}', "v");
  assert.deepEqual([values.logLevel, values.statusPort], ["debug", 15_999]);
  const native = (text: string) =>
    readInjectorValues(`sidecarInjectorWebhook: {nativeSidecars: ${text}}`, "v").values.nativeSidecars;
  assert.deepEqual([native("auto"), native("'true'"), native("false")], [undefined, true, false]);
});

test("hub, image and tag make an image; Istio's own image is not ours", () => {
  const image = (text: string): unknown => readInjectorValues(text, "v").values.image;
  assert.equal(image("global: {hub: reg.example, tag: 1.2, proxy: {image: weft}}"), "reg.example/weft:1.2");
  assert.equal(image("global: {hub: reg.example, proxy: {image: other.example/weft:3}}"), "other.example/weft:3");
  assert.equal(image("global: {hub: docker.io/istio, tag: 1.30.0, proxy: {image: proxyv2}}"), undefined);
});

test("values of the wrong type leave all defaults and say which", () => {
  for (const [text, wanted] of [
    ["global: {proxy: {resources: 5}}", /global\.proxy\.resources is 5, not an object/],
    ["global: {proxy: {statusPort: many}}", /not a number/],
    ["global: {proxy: {resources: {requests: {cpu: true}}}}", /a quantity, such as 500m or 128Mi, for requests\.cpu/],
    ["global: {proxy: {resources: {request: {cpu: 1}}}}", /not requests and limits/],
    [
      "global: {proxy: {resources: {requests: {cpu: 2}, limits: {cpu: 1900m}}}}",
      /a limit of cpu that is as high as its/,
    ],
    ["global: {proxy: {statusPort: 70000}}", /not a number from 0 to 65535/],
    ["global: {proxy: {includeIPRanges: ten}}", /CIDRs/],
    ["global: {proxy: {excludeInboundPorts: http}}", /ports such as/],
    ["global: {proxy: {logLevel: loud}}", /one of trace/],
    ["global: {proxy: {image: a b}}", /a name without spaces/],
    ["global: {proxy: {lifecycle: {preStop: 5}}}", /hooks such as/],
    ["global: {imagePullSecrets: secret}", /not a list of names/],
    ["[1]", /not an object/],
    ["a: b: c", /not YAML/],
    ["{}\n---\n{}", /more than one document/],
    ["x".repeat(2_000_000), /1048576 is the most/],
  ] as const) {
    const { values, notes } = readInjectorValues(text, "v");
    assert.deepEqual(values, defaultInjectorValues);
    assert.match(notes[0]?.message ?? "", wanted);
    assert.deepEqual([notes[0]?.code, notes[0]?.level], ["WF2174", "error"]);
  }
});

test("values that do nothing for a weft sidecar are told of", () => {
  const { notes } = readInjectorValues("global: {proxy: {tracer: zipkin, privileged: true}, other: 1}", "v");
  assert.deepEqual(
    notes.map(({ code, path }) => [code, path.join(".")]),
    [["WF2173", "global.proxy.privileged"]],
  );
});

const facts = {
  ...{ values: defaultInjectorValues, nativeSidecars: false, defaultNamespace: "default" },
  namespaceLabels: () => ({}),
};
const template = "template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}";

test("every kind with a template is injected, in lists too; others stay", () => {
  const of = (kind: string, spec: string) => `{apiVersion: v1, kind: ${kind}, metadata: {name: a}, spec: {${spec}}}`;
  const items = [
    ...["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"].map((kind) => of(kind, template)),
    of("CronJob", `jobTemplate: {spec: {${template}}}`),
    of("Pod", "containers: [{name: a, image: a}]"),
    of("Service", "ports: [{port: 80}]"),
  ];
  const done = injectText(`{apiVersion: v1, kind: List, items: [${items.join(", ")}]}`, "list.yaml", facts);
  assert.deepEqual(done.findings, []);
  assert.deepEqual(
    done.parts.map(({ kind, what }) => `${kind} ${what}`),
    ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"].map(
      (kind) => `injected ${kind} default/a`,
    ),
  );
  const again = injectText(JSON.stringify(done.documents[0]), "list.json", facts);
  assert.deepEqual(again.documents, done.documents);
  assert.ok(again.parts.every(({ kind }) => kind === "left"));
});

test("a mistake is told with file, line and column", () => {
  const text = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata:
      annotations:
        sidecar.istio.io/proxyMemory: lots
    spec:
      containers: [{name: web}]
`;
  const [finding, ...more] = injectText(text, "web.yaml", facts).findings;
  assert.deepEqual(more, []);
  assert.deepEqual([finding?.code, finding?.line, finding?.column, finding?.name], ["WF2171", 8, 9, "web"]);
  const [broken] = injectText("kind: Pod\n  metadata: x", "bad.yaml", facts).findings;
  assert.deepEqual([broken?.code, broken?.file, broken?.line], ["WF1001", "bad.yaml", 1]);
});

test("labels of a namespace in the same text hold for its pods", () => {
  const text = `
{apiVersion: v1, kind: Namespace, metadata: {name: quiet, labels: {istio-injection: disabled}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: quiet}, spec: {containers: [{name: a}]}}
`;
  assert.equal(injectText(text, "a.yaml", facts).parts[0]?.kind, "left");
});

test("resources that a cluster takes are taken, as texts and as numbers", () => {
  for (const resources of [
    "{}",
    "{requests: {cpu: 0.5, memory: 1Gi}, limits: {cpu: 1, memory: 2e9, ephemeral-storage: 1Gi}}",
    "{requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: 100m}}",
    "{limits: {cpu: '2'}, requests: null}",
  ]) {
    const { notes } = readInjectorValues(`global: {proxy: {resources: ${resources}}}`, "v");
    assert.deepEqual(notes, [], resources);
  }
});

test("what is not written is as whoever injects knows it", () => {
  const base = {
    ...defaultInjectorValues,
    image: "reg.example/weft:2",
    systemNamespace: "mesh",
    trustDomain: "t.example",
  };
  const { values } = readInjectorValues("global: {proxy: {resources: {limits: {cpu: 1}}}}", "v", base);
  assert.deepEqual(values, { ...base, resources: { limits: { cpu: 1 } } });
  const { values: told } = readInjectorValues("global: {istioNamespace: other, proxy: {image: a/b:1}}", "v", base);
  assert.deepEqual([told.image, told.systemNamespace, told.trustDomain], ["a/b:1", "other", "t.example"]);
});
