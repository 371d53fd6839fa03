import assert from "node:assert/strict";
import { test } from "node:test";
import { meshConfigsOf } from "./mesh-configs.ts";
import { parseConfig } from "./parse-config.ts";

const configMap = (mesh: string, name = "istio") => `apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}, namespace: istio-system}
data:
  meshNetworks: "networks: {}"
  mesh: |-
${mesh.replaceAll(/^/gm, "    ")}
`;
const told = (text: string) =>
  parseConfig(text, "m.yaml").findings.map(({ code, level, line, column }) => `${code} ${level} ${line}:${column}`);

test("the ConfigMap of Istio's control plane is its MeshConfig", () => {
  const text = configMap(
    "trustDomain: shop.example\noutboundTrafficPolicy:\n  mode: REGISTRY_ONLY\nconnectTimeout: 3s",
  );
  const { objects, findings } = parseConfig(text, "m.yaml");
  assert.deepEqual(findings, []);
  const [mesh] = meshConfigsOf(objects);
  assert.deepEqual(mesh?.spec, {
    trustDomain: "shop.example",
    outboundTrafficPolicy: { mode: "REGISTRY_ONLY" },
    connectTimeout: "3s",
  });
  assert.deepEqual([mesh?.kind, mesh?.namespace, mesh?.name], ["MeshConfig", "istio-system", "istio"]);
  assert.deepEqual(mesh?.positionOf(["spec", "connectTimeout"]), { file: "m.yaml", line: 10, column: 21 });
});

test("a document of the kind counts as well, the older first", () => {
  const document =
    "---\napiVersion: mesh.istio.io/v1alpha1\nkind: MeshConfig\nmetadata: {name: own}\nspec: {dnsRefreshRate: 5s}\n";
  const { objects } = parseConfig(`${configMap("dnsRefreshRate: 9s", "istio-canary")}${document}`, "m.yaml");
  assert.deepEqual(
    meshConfigsOf(objects).map(({ name, spec }) => [name, spec.dnsRefreshRate]),
    [
      ["istio-canary", "9s"],
      ["own", "5s"],
    ],
  );
});

test("what is wrong in the text is told at its own line, and the object is refused", () => {
  assert.deepEqual(told(configMap("accessLogFile: /dev/stdout\nconnectTimeout: soon")), ["WF1006 error 8:21"]);
  assert.deepEqual(told(configMap("rootNamespace: [x")), ["WF1001 error 7:22"]);
  const { objects } = parseConfig(configMap("enableAutoMtls: perhaps"), "m.yaml");
  assert.deepEqual(objects, []);
});

test("a field of another release is a warning and the rest holds", () => {
  const text = configMap("trustDomian: a\nrootNamespace: mesh");
  assert.deepEqual(told(text), ["WF1003 warning 7:5"]);
  assert.deepEqual(meshConfigsOf(parseConfig(text, "m.yaml").objects)[0]?.spec, { rootNamespace: "mesh" });
});

test("an empty text is a MeshConfig with the defaults, and other ConfigMaps are none", () => {
  const empty = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata: {mesh: ""}\n';
  assert.deepEqual(meshConfigsOf(parseConfig(empty, "m.yaml").objects)[0]?.spec, {});
  for (const name of ["istio-sidecar-injector", "app"]) {
    const { objects, findings } = parseConfig(configMap("x: y", name).replace("  mesh:", "  values:"), "m.yaml");
    assert.deepEqual(meshConfigsOf(objects), []);
    assert.deepEqual(
      findings.map(({ code }) => code),
      ["WF1011"],
    );
  }
});

test("a text in quotes is told at its key", () => {
  const quoted = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata: {mesh: "connectTimeout: x"}\n';
  assert.deepEqual(told(quoted), ["WF1006 error 4:8"]);
});
