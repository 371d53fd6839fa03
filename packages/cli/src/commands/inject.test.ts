import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { folder, run } from "../testing/command-line.ts";

const write = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const deployment = write(
  "deployment.yaml",
  `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
`,
);

test("workloads come back injected, other objects as they were", async () => {
  const { code, out, err } = await run(["inject", "-f", deployment]);
  assert.deepEqual([code, err], [0, "1 pod template injected\n"]);
  const [web, service] = parseAllDocuments(out).map((document) => document.toJS());
  assert.deepEqual(
    web.spec.template.spec.containers.map(({ name }: { name: string }) => name),
    ["web", "istio-proxy"],
  );
  assert.deepEqual(service.spec, { ports: [{ port: 80 }] });
});

test("what was injected is left alone, byte for byte", async () => {
  const first = await run(["inject", "-f", deployment]);
  const again = await run(["inject", "-f", write("again.yaml", first.out)]);
  assert.equal(again.out, first.out);
  assert.match(again.err, /Deployment default\/web is left as it is: it is injected already/);
});

test("the injector's ConfigMap gives resources, flags give the rest, and a file is written", async () => {
  const values = write(
    "values.yaml",
    `{kind: ConfigMap, apiVersion: v1, metadata: {name: istio-sidecar-injector}, data: {values: "global: {proxy: {resources: {limits: {cpu: 3}}}}"}}`,
  );
  const out = join(folder, "out.json");
  const flags = ["--values", values, "--image", "reg.example/weft:7", "--native-sidecars", "-o", "json", "--out", out];
  const { code, err } = await run(["inject", "-f", deployment, ...flags]);
  assert.equal(code, 0, err);
  const [proxy] = JSON.parse(readFileSync(out, "utf8")).items[0].spec.template.spec.initContainers.slice(1);
  assert.deepEqual([proxy.image, proxy.resources], ["reg.example/weft:7", { limits: { cpu: 3 } }]);
});

test("a mistake is told with its place, and nothing is printed", async () => {
  const wrong = write("wrong.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers: {}\n");
  const { code, out, err } = await run(["inject", "-f", deployment, "-f", wrong]);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /error {3}WF2170 .*wrong\.yaml:6:3 {2}the pod has no containers/);
  const values = write("bad-values.yaml", "global: {proxy: {resources: lots}}");
  assert.match(
    (await run(["inject", "-f", deployment, "--values", values])).err,
    /WF2174 .*resources is "lots", not an object/,
  );
  assert.match((await run(["inject", "-f", join(folder, "none.yaml")])).err, /WF9029/);
  assert.equal((await run(["inject"])).code, 2);
});
