import assert from "node:assert/strict";
import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readInjectorValues } from "@weft/config/inject/injector-values";
import { describeFlags } from "@weft/control/bin/cp";
import { parseAllDocuments, parse as parseYaml } from "yaml";
import { folder, run } from "../testing/command-line.ts";
import { chartFiles } from "./chart.ts";
import type { Manifest } from "./control-plane-objects.ts";
import { chartText, type InstallValues, valuesFill } from "./fill.ts";
import { installParts } from "./install-objects.ts";
import { defaultInstallValues, setValues } from "./install-values.ts";

const objectsWith = (...settings: readonly string[]): readonly Manifest[] => {
  const values = setValues(defaultInstallValues, settings);
  return installParts(valuesFill(values))
    .filter(({ condition }) => condition === undefined || values[condition])
    .flatMap(({ objects }) => objects);
};
const nameOf = (object: Manifest): string => String((object.metadata as { readonly name: string }).name);
const find = (objects: readonly Manifest[], kind: string, name?: string): Record<string, never> => {
  const found = objects.find((object) => object.kind === kind && (name === undefined || nameOf(object) === name));
  assert.ok(found, `${kind} ${name ?? ""}`);
  return found as Record<string, never>;
};
const at = (value: unknown, ...keys: readonly (string | number)[]): unknown =>
  keys.reduce<unknown>((within, key) => (within as Record<string | number, unknown> | undefined)?.[key], value);

/** As Helm renders the few things that the chart uses; anything else is an error. */
const renderChart = (text: string, values: InstallValues): string => {
  const valueNamed = (name: string): unknown =>
    name === ".Release.Namespace" ? values.namespace : at(values, name.slice(8));
  const lines: string[] = [];
  const open: boolean[] = [];
  for (const line of text.split("\n")) {
    const condition = /^\{\{- if (\.[\w.]+) \}\}$/.exec(line)?.[1];
    if (line === '{{- if eq .Values.revision "default" }}') open.push(values.revision === "default");
    else if (condition !== undefined) open.push(Boolean(valueNamed(condition)));
    else if (line === "{{- end }}") open.pop();
    else if (open.every(Boolean)) lines.push(line);
  }
  const suffix = values.revision === "default" ? "" : `-${values.revision}`;
  const done = lines
    .join("\n")
    .replaceAll('{{ if ne .Values.revision "default" }}-{{ .Values.revision }}{{ end }}', suffix)
    .replaceAll(/\{\{ (\.[\w.]+) \}\}/g, (_, name: string) => String(valueNamed(name)));
  assert.doesNotMatch(done, /\{\{|@@/);
  return done;
};

/** Texts of ConfigMaps as what they say, for quotes around them may differ. */
const meaning = (object: Manifest): unknown => {
  const data = object.kind === "ConfigMap" ? (object.data as Record<string, string>) : undefined;
  if (!data) return object;
  return { ...object, data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, parseYaml(text)])) };
};

test("the chart and the manifests are the same objects, whatever the values", () => {
  for (const settings of [
    ["createNamespace=false"],
    ["namespace=mesh", "revision=canary", "replicas=2", "image=reg.example/weft:1", "createNamespace=false"],
    ["store=etcd://etcd.db:2379/weft", "networkPolicy=true", "injectByDefault=true", "nativeSidecars=false"],
  ]) {
    const values = setValues(defaultInstallValues, settings);
    const rendered = [...chartFiles(defaultInstallValues, "1.0.0")]
      .filter(([path]) => path.startsWith("templates/") && path !== "templates/crds.yaml")
      .flatMap(([, text]) => parseAllDocuments(renderChart(text, values)))
      .map((document) => document.toJS() as Manifest | null)
      .filter((object) => object !== null);
    const others = objectsWith(...settings).filter(({ kind }) => kind !== "CustomResourceDefinition");
    assert.deepEqual(rendered.map(meaning), others.map(meaning));
  }
});

test("the chart's definitions are the manifests', and no value is in them", () => {
  const text = chartFiles(defaultInstallValues, "1.0.0").get("templates/crds.yaml") ?? "";
  assert.doesNotMatch(text, /\{\{/);
  const definitions = objectsWith().filter(({ kind }) => kind === "CustomResourceDefinition");
  assert.equal(text, definitions.map((object) => chartText(object)).join("---\n"));
});

test("every value of the chart is in values.yaml with the default that manifests have", () => {
  const values = parseYaml(chartFiles(defaultInstallValues, "1.0.0").get("values.yaml") ?? "") as Record<
    string,
    unknown
  >;
  const { namespace: _, ...others } = defaultInstallValues;
  assert.deepEqual(values, { ...others, createNamespace: false });
});

test("three replicas keep apart, run as nobody special, and are probed", () => {
  const deployment = find(objectsWith(), "Deployment");
  assert.equal(at(deployment, "spec", "replicas"), 3);
  const spec = at(deployment, "spec", "template", "spec");
  const [term] = at(
    spec,
    "affinity",
    "podAntiAffinity",
    "preferredDuringSchedulingIgnoredDuringExecution",
  ) as readonly unknown[];
  assert.equal(at(term, "podAffinityTerm", "topologyKey"), "kubernetes.io/hostname");
  assert.equal(at(spec, "topologySpreadConstraints", 0, "whenUnsatisfiable"), "ScheduleAnyway");
  const container = at(spec, "containers", 0);
  assert.deepEqual(at(container, "securityContext", "capabilities"), { drop: ["ALL"] });
  assert.equal(at(container, "securityContext", "runAsNonRoot"), true);
  assert.equal(at(container, "securityContext", "readOnlyRootFilesystem"), true);
  for (const probe of ["readinessProbe", "livenessProbe", "startupProbe"]) assert.ok(at(container, probe), probe);
  assert.equal(at(deployment, "spec", "template", "metadata", "labels", "sidecar.istio.io/inject"), "false");
});

test("the command line of the control plane is one that it takes", () => {
  const container = at(
    find(objectsWith("store=etcd://e:2379/w"), "Deployment"),
    "spec",
    "template",
    "spec",
    "containers",
    0,
  );
  const [cp, ...flags] = at(container, "args") as readonly string[];
  assert.equal(cp, "cp");
  const options = describeFlags()
    .parse([...flags], { from: "user" })
    .opts();
  assert.equal(options.webhookAddress, "0.0.0.0:15017");
  assert.equal(options.store, "etcd://e:2379/w");
  assert.equal(options.webhookService, "istiod");
});

test("monitors of Istio find the service: its label and its port's name", () => {
  const service = find(objectsWith(), "Service");
  assert.equal(at(service, "metadata", "labels", "app"), "istiod");
  const ports = at(service, "spec", "ports") as readonly { name: string; port: number }[];
  assert.equal(ports.find(({ name }) => name === "http-monitoring")?.port, 15_014);
  assert.equal(ports.find(({ name }) => name === "grpc-xds")?.port, 15_010);
});

test("a revision has objects of its own, and does not take another's namespaces", () => {
  const [plain, canary] = [objectsWith(), objectsWith("revision=canary")];
  const shared = new Set(["Namespace", "CustomResourceDefinition"]);
  const names = (objects: readonly Manifest[]) =>
    objects.filter(({ kind }) => !shared.has(String(kind))).map((object) => `${object.kind} ${nameOf(object)}`);
  const both = new Set(names(plain));
  assert.deepEqual(
    names(canary).filter((name) => both.has(name)),
    [],
  );
  const webhooks = at(find(canary, "MutatingWebhookConfiguration"), "webhooks") as readonly { readonly name: string }[];
  assert.ok(webhooks.every(({ name }) => name.startsWith("rev.")));
});

test("at most one webhook is asked about a pod, whatever its labels and its namespace's", () => {
  const matches = (selector: unknown, labels: Readonly<Record<string, string>>): boolean =>
    (
      (at(selector, "matchExpressions") ?? []) as readonly {
        key: string;
        operator: string;
        values?: readonly string[];
      }[]
    ).every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === "Exists") return value !== undefined;
      if (operator === "DoesNotExist") return value === undefined;
      if (operator === "In") return value !== undefined && values.includes(value);
      return value === undefined || !values.includes(value);
    });
  const some = [undefined, "enabled", "disabled"];
  const revisions = [undefined, "default", "other"];
  const asked = (webhooks: readonly unknown[], namespace: Record<string, string>, pod: Record<string, string>) =>
    webhooks.filter(
      (one) => matches(at(one, "namespaceSelector"), namespace) && matches(at(one, "objectSelector"), pod),
    );
  for (const settings of [[], ["injectByDefault=true"]]) {
    const webhooks = at(
      find(objectsWith(...settings), "MutatingWebhookConfiguration"),
      "webhooks",
    ) as readonly unknown[];
    assert.equal(webhooks.length, settings.length === 0 ? 4 : 5);
    for (const injection of some)
      for (const nsRevision of revisions)
        for (const inject of [undefined, "true", "false"])
          for (const revision of revisions) {
            const namespace = {
              "kubernetes.io/metadata.name": "shop",
              ...(injection ? { "istio-injection": injection } : {}),
              ...(nsRevision ? { "istio.io/rev": nsRevision } : {}),
            };
            const pod = {
              ...(inject ? { "sidecar.istio.io/inject": inject } : {}),
              ...(revision ? { "istio.io/rev": revision } : {}),
            };
            const found = asked(webhooks, namespace, pod);
            assert.ok(found.length <= 1, JSON.stringify({ namespace, pod }));
            if (inject === "false") assert.equal(found.length, 0);
          }
    assert.equal(
      asked(webhooks, { "kubernetes.io/metadata.name": "kube-system", "istio-injection": "enabled" }, {}).length,
      0,
    );
    assert.equal(asked(webhooks, { "kubernetes.io/metadata.name": "a", "istio-injection": "enabled" }, {}).length, 1);
  }
});

test("the mesh's settings of whoever installed before are left alone", () => {
  assert.deepEqual(
    objectsWith().filter(
      ({ kind, metadata }) => kind === "ConfigMap" && (metadata as { name: string }).name === "istio",
    ),
    [],
  );
});

test("values the manifests write are values that injection reads", () => {
  const objects = objectsWith(
    "namespace=mesh",
    "image=reg.example/weft:2",
    "proxyCpuLimit=3",
    "trustDomain=td.example",
  );
  const injector = find(objects, "ConfigMap", "istio-sidecar-injector");
  const { values, notes } = readInjectorValues(String(at(injector, "data", "values")), "v");
  assert.deepEqual(notes, []);
  assert.deepEqual(
    [values.image, values.trustDomain, values.systemNamespace],
    ["reg.example/weft:2", "td.example", "mesh"],
  );
  assert.equal(at(values.resources, "limits", "cpu"), "3");
});

test("no grant takes everything", () => {
  const roles = objectsWith().filter(({ kind }) => kind === "Role" || kind === "ClusterRole");
  for (const role of roles) {
    for (const rule of role.rules as readonly Record<string, readonly string[]>[])
      for (const part of Object.values(rule)) assert.ok(!part.includes("*"), JSON.stringify(rule));
  }
});

test("a wrong value is told with the nearest that is there", async () => {
  const refusal = async (...flags: readonly string[]): Promise<string> => {
    const { code, err } = await run(["install", "--dry-run", ...flags]);
    assert.equal(code, 1, err);
    return err;
  };
  assert.match(await refusal("--set", "replica=1"), /WF2176 .*did you mean "replicas"/);
  assert.match(await refusal("--set", "replicas=none"), /WF2176 replicas is "none", not a number/);
  assert.match(await refusal("--set", "replicas"), /is not NAME=VALUE/);
  assert.match(await refusal("--set", "networkPolicy=yes"), /not true or false/);
  assert.match(await refusal("--namespace", 'a" b'), /WF2176 namespace is/);
  assert.match(await refusal("--image", "a\nb: c"), /WF2176 image is/);
  assert.match(await refusal("--set", "store=etcd://u:p@h/x"), /without a password/);
  assert.match(await refusal("--set", "storeCredentials=true"), /there is no store/);
  assert.match(await refusal("--set", "proxyCpuRequest=3"), /WF2176 .*sidecars want a limit of cpu/);
});

test("the store's user comes from the Secret that has its key, where that is asked for", () => {
  const argsWith = (...sets: readonly string[]): readonly string[] => {
    const containers = at(find(objectsWith(...sets), "Deployment", "istiod"), "spec", "template", "spec", "containers");
    return (containers as readonly [{ readonly args: readonly string[] }])[0].args;
  };
  const flag = "--store-credentials";
  assert.equal(argsWith("store=etcd://e:2379/w").includes(flag), false);
  const args = argsWith("store=etcd://e:2379/w", "storeCredentials=true");
  assert.equal(args[args.indexOf(flag) + 1], "/etc/weft/store/credentials");
});

test("the dry run prints all of it, and installing without a cluster says so", async () => {
  const { code, out, err } = await run(["install", "--dry-run", "--replicas", "1", "--set", "store=etcd://e:2379/w"]);
  assert.deepEqual([code, err], [0, ""]);
  assert.equal(parseAllDocuments(out).length, objectsWith().length);
  const json = JSON.parse((await run(["install", "--dry-run", "-o", "json"])).out) as { items: unknown[] };
  assert.equal(json.items.length, objectsWith().length);
  assert.match((await run(["install", "--dry-run"])).err, /WF2179 without a shared store each of the 3/);
  assert.match((await run(["install"])).err, /WF2177 no cluster is named/);
});

test("the chart is written where asked, and a folder that cannot be is told", async () => {
  const chart = join(mkdtempSync(join(folder, "chart-")), "weft");
  assert.equal((await run(["install", "--chart", chart])).code, 0);
  assert.match(readFileSync(join(chart, "Chart.yaml"), "utf8"), /name: weft/);
  assert.match((await run(["install", "--chart", join(chart, "Chart.yaml", "under-a-file")])).err, /WF2178/);
});
