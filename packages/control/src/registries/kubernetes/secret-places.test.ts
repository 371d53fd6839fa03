import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFacts } from "./cluster-facts.ts";
import { createSecretPlaces, secretNamespacesMax } from "./secret-places.ts";

const pod = (key: string, labels: Readonly<Record<string, string>>): PodFacts => ({
  ...{ key, labels, serviceAccount: "a", node: "n" },
});
const gateway = (namespace: string, tls: object = { credentialName: "edge" }) => ({
  namespace,
  spec: { selector: { istio: "ingress" }, servers: [{ hosts: ["*"], tls }] },
});
const start = (pods: PodFacts[] = []) => {
  const places = createSecretPlaces(() => pods);
  const namespaces = (): string => {
    places.takeChanged();
    return [...places.namespaces()].join(" ");
  };
  const come = (one: PodFacts): void => {
    pods.push(one);
    places.podCame(one);
  };
  return { places, namespaces, come };
};

test("keys are looked for where a Gateway names one, and where pods are that it selects", () => {
  const { places, namespaces, come } = start([pod("a/web", { app: "web" }), pod("b/edge", { istio: "ingress" })]);
  assert.equal(namespaces(), "");
  places.rule("Gateway/x/edge", "Gateway", gateway("x"));
  assert.equal(namespaces(), "b x");
  come(pod("c/edge", { istio: "ingress" }));
  come(pod("d/web", { app: "web" }));
  assert.equal(namespaces(), "b c x");
  places.rule("Gateway/x/edge", "Gateway", undefined);
  assert.equal(namespaces(), "");
});

test("nothing is looked for where no credential is named", () => {
  const { places, namespaces } = start([pod("b/edge", { istio: "ingress" })]);
  for (const tls of [{}, { mode: "PASSTHROUGH" }, { credentialName: "" }, { credentialNames: [] }])
    places.rule("Gateway/x/edge", "Gateway", gateway("x", tls));
  places.rule("VirtualService/x/v", "VirtualService", { namespace: "x", spec: { credentialName: "edge" } });
  assert.equal(namespaces(), "");
  places.rule("Gateway/x/edge", "Gateway", gateway("x", { credentialNames: ["one"] }));
  assert.equal(namespaces(), "b x");
});

test("a DestinationRule's credential is looked for beside it, and where gateways are", () => {
  const { places, namespaces } = start([pod("b/edge", { istio: "ingress" })]);
  places.rule("Gateway/x/plain", "Gateway", gateway("x", {}));
  const tls = { mode: "MUTUAL", credentialName: "client" };
  const spec = { host: "a.example", trafficPolicy: { portLevelSettings: [{ port: { number: 443 }, tls }] } };
  places.rule("DestinationRule/d/out", "DestinationRule", { namespace: "d", spec });
  assert.equal(namespaces(), "b d");
});

test("it is told once that the namespaces are others", () => {
  const { places } = start();
  places.rule("Gateway/x/edge", "Gateway", gateway("x"));
  assert.deepEqual([places.takeChanged(), places.takeChanged()], [true, false]);
  places.rule("Gateway/x/edge", "Gateway", gateway("x", { credentialName: "another" }));
  assert.equal(places.takeChanged(), false);
});

test("what is no configuration harms nobody, and there is a bound", () => {
  const { places, namespaces } = start([pod("b/edge", { istio: "ingress" })]);
  let deep: unknown = { credentialName: "edge" };
  for (let depth = 0; depth < 10_000; depth++) deep = [deep];
  for (const [at, spec] of [
    undefined,
    null,
    5,
    "text",
    [],
    { selector: 5, servers: 7 },
    { selector: { a: {} } },
    deep,
  ].entries())
    places.rule(`Gateway/x/${at}`, "Gateway", { namespace: "x", spec });
  assert.equal(namespaces(), "");
  for (let at = 0; at < secretNamespacesMax + 3; at++) places.rule(`Gateway/n${at}/g`, "Gateway", gateway(`n${at}`));
  places.takeChanged();
  assert.deepEqual([places.namespaces().size, places.left()], [secretNamespacesMax, 4]);
});
