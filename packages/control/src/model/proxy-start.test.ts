import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConfigOf, objectsOfKind } from "@weft/config/config-object";
import { parseConfig } from "@weft/config/parse-config";
import { type ProxyStart, proxyStartOf } from "./proxy-start.ts";

const proxyConfig = (name: string, namespace: string, spec: string): string => `---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
`;
const meshConfig = { spec: { defaultConfig: { concurrency: 7 } } } as ConfigOf<"MeshConfig">;

const start = (yaml: string, labels: Record<string, string> = {}, namespace = "shop"): ProxyStart => {
  const { objects, findings } = parseConfig(yaml, "a.yaml");
  assert.deepEqual(
    findings.filter(({ level }) => level === "error"),
    [],
  );
  const proxyConfigs = objectsOfKind(objects, "ProxyConfig");
  return proxyStartOf({ namespace, labels }, { proxyConfigs, meshConfig, rootNamespace: "istio-system" });
};

const root = proxyConfig("root", "istio-system", "{concurrency: 1, environmentVariables: {A: root, B: root, C: root}}");
const space = proxyConfig("space", "shop", "{environmentVariables: {B: space, C: space}}");
const web = proxyConfig(
  "web",
  "shop",
  "{selector: {matchLabels: {app: web}}, concurrency: 4, environmentVariables: {C: web}}",
);

test("the workload's goes before the namespace's before the root namespace's before the mesh's, field by field", () => {
  assert.deepEqual(start(""), { concurrency: 7, environmentVariables: {}, from: [] });
  assert.deepEqual(start(root).concurrency, 1);
  assert.deepEqual(start(root + space), {
    concurrency: 1,
    environmentVariables: { A: "root", B: "space", C: "space" },
    from: ["istio-system/root", "shop/space"],
  });
  assert.deepEqual(start(web + space + root, { app: "web", version: "v1" }), {
    concurrency: 4,
    environmentVariables: { A: "root", B: "space", C: "web" },
    from: ["istio-system/root", "shop/space", "shop/web"],
  });
});

test("other namespaces' and other workloads' do not count, nor a selector in the root namespace for others", () => {
  assert.deepEqual(start(web, { app: "api" }).from, []);
  assert.deepEqual(start(web, { app: "web" }, "other").from, []);
  const inRoot = proxyConfig("picky", "istio-system", "{selector: {matchLabels: {app: web}}, concurrency: 9}");
  assert.deepEqual(start(inRoot, { app: "web" }).from, []);
  assert.deepEqual(start(inRoot + root, { app: "web" }, "istio-system").from, [
    "istio-system/root",
    "istio-system/picky",
  ]);
});

test("of several alike the oldest counts, and no number of threads is zero threads", () => {
  const [first, second] = ["a", "b"].map((name, n) => proxyConfig(name, "shop", `{concurrency: ${n}}`));
  assert.deepEqual(start(`${first}${second}`), { concurrency: 0, environmentVariables: {}, from: ["shop/a"] });
  assert.deepEqual(start(`${second}${first}`).from, ["shop/b"]);
});

test("variables named like members of objects are variables", () => {
  const { environmentVariables } = start(
    proxyConfig("odd", "shop", '{environmentVariables: {"__proto__": x, constructor: y}}'),
  );
  assert.deepEqual(Object.entries(environmentVariables), [
    ["__proto__", "x"],
    ["constructor", "y"],
  ]);
});
