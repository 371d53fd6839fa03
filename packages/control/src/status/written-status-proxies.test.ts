import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConfigObject } from "@weft/config/config-object";
import { parseConfig } from "@weft/config/parse-config";
import { objectConcerns, type ProxyKind } from "./object-concerns.ts";
import { createProxyProgress } from "./written-status-proxies.ts";

const facts = (kind: ProxyKind["kind"], namespace: string, labels: ProxyKind["labels"] = {}): ProxyKind => ({
  ...{ kind, namespace, labels },
});
const proxy = (id: string, status: string, of = facts("sidecar", "shop")) =>
  ({ proxy: { id, ...of }, types: () => [{ status }] }) as never;
const read = (yaml: string): readonly ConfigObject[] => {
  const { objects, findings } = parseConfig(yaml, "test.yaml");
  assert.deepEqual(
    findings.filter(({ level }) => level === "error"),
    [],
  );
  return objects;
};
const any = read("{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: a}, spec: {}}")[0];

describe("the progress of proxies", () => {
  assert.ok(any);
  test("counts one that agreed after the object came into force, until it goes", () => {
    const progress = createProxyProgress();
    progress.look([proxy("a", "SYNCED"), proxy("b", "STALE")], true, 100);
    assert.deepEqual(progress.have(any, 50), { current: 1, total: 2 });
    assert.deepEqual(progress.have(any, 100), { current: 0, total: 2 });
    progress.look([proxy("a", "STALE"), proxy("b", "SYNCED")], true, 200);
    assert.deepEqual(progress.have(any, 50), { current: 2, total: 2 });
    progress.look([proxy("b", "SYNCED")], false, 300);
    assert.deepEqual(
      [progress.have(any, 150), progress.have(any, 250)],
      [
        { current: 1, total: 1 },
        { current: 0, total: 1 },
      ],
    );
  });
  test("counts nobody who refused", () => {
    const progress = createProxyProgress();
    progress.look([proxy("a", "NACK"), proxy("b", "ERROR")], true, 100);
    assert.deepEqual(progress.have(any, 0), { current: 0, total: 2 });
  });
  test("counts only those the object is for, as proxies come and go and as that changes", () => {
    const progress = createProxyProgress();
    const [shop, edge] = [facts("sidecar", "shop"), facts("sidecar", "edge")];
    const look = (...proxies: never[]): void => progress.look(proxies, true, 100);
    progress.concernedBy((_, { namespace }) => namespace === "edge");
    look(proxy("a", "SYNCED", shop), proxy("b", "SYNCED", shop));
    assert.deepEqual(progress.have(any, 0), { current: 0, total: 0 });
    const before = progress.revision();
    look(proxy("a", "SYNCED", shop), proxy("b", "SYNCED", edge));
    assert.notEqual(progress.revision(), before);
    assert.deepEqual(progress.have(any, 0), { current: 1, total: 1 });
    look(proxy("a", "SYNCED", shop), proxy("b", "SYNCED", edge), proxy("c", "STALE", { ...edge }));
    assert.deepEqual(progress.have(any, 0), { current: 1, total: 2 });
    progress.concernedBy((_, { namespace }) => namespace === "shop");
    assert.deepEqual(progress.have(any, 0), { current: 1, total: 1 });
  });
});

describe("the proxies an object is for", () => {
  const web = facts("sidecar", "shop", { app: "web" });
  const other = facts("sidecar", "other", { app: "other" });
  const edge = facts("gateway", "edge", { istio: "edge" });
  const grpc = facts("grpc", "shop");
  const names = new Map([
    [web, "web"],
    [other, "other"],
    [edge, "edge"],
    [grpc, "grpc"],
  ]);
  /** Of the first object in the text. */
  const concerned = (yaml: string): string => {
    const objects = read(yaml);
    const [object] = objects;
    assert.ok(object);
    const concerns = objectConcerns(objects, "istio-system");
    return [...names].flatMap(([facts, name]) => (concerns(object, facts) ? [name] : [])).join(" ");
  };
  const of = (kind: string, spec: string, namespace = "shop", group = "networking.istio.io/v1"): string =>
    `{apiVersion: ${group}, kind: ${kind}, metadata: {name: x, namespace: ${namespace}}, spec: ${spec}}\n`;
  const routes = (more: string): string =>
    of("VirtualService", `{hosts: [a.b], http: [{directResponse: {status: 204}}]${more}}`);
  const gateway = (selector: string): string =>
    `---\n${of("Gateway", `{selector: ${selector}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}`, "edge")}`;

  test("of a VirtualService are those that see it, and the gateways it is bound to", () => {
    assert.equal(concerned(routes("")), "web other grpc");
    assert.equal(concerned(routes(", exportTo: [.]")), "web grpc");
    assert.equal(concerned(routes(", exportTo: [other]")), "other");
    assert.equal(concerned(routes(", gateways: [edge/x]") + gateway("{istio: edge}")), "edge");
    assert.equal(concerned(routes(", gateways: [mesh, edge/x]") + gateway("{istio: edge}")), "web other edge grpc");
    assert.equal(concerned(routes(", gateways: [edge/x]") + gateway("{istio: another}")), "");
    assert.equal(concerned(routes(", gateways: [x]") + gateway("{istio: edge}")), "");
    assert.equal(concerned(routes(", exportTo: [.], gateways: [edge/x]") + gateway("{istio: edge}")), "");
  });
  test("of what says nothing of visibility are those the mesh's settings say", () => {
    const settings = (field: string): string =>
      `---\n${of("MeshConfig", `{${field}: [.]}`, "istio-system", "mesh.istio.io/v1alpha1")}`;
    assert.equal(concerned(routes("") + settings("defaultVirtualServiceExportTo")), "web grpc");
    assert.equal(concerned(routes(", exportTo: ['*']") + settings("defaultVirtualServiceExportTo")), "web other grpc");
    const rule = of("DestinationRule", "{host: a.b}");
    assert.equal(concerned(rule), "web other edge grpc");
    assert.equal(concerned(rule + settings("defaultDestinationRuleExportTo")), "web grpc");
  });
  test("of what selects workloads are those of its namespace, and of all from the root namespace", () => {
    const policy = (spec: string, namespace?: string): string =>
      concerned(of("PeerAuthentication", spec, namespace, "security.istio.io/v1"));
    assert.equal(policy("{}"), "web grpc");
    assert.equal(policy("{selector: {matchLabels: {app: web}}}"), "web");
    assert.equal(policy("{}", "istio-system"), "web other edge grpc");
    assert.equal(policy("{selector: {matchLabels: {app: other}}}", "istio-system"), "other");
    const selector = "{host: a.b, workloadSelector: {matchLabels: {app: web}}}";
    assert.equal(concerned(of("DestinationRule", selector)), "web");
    assert.equal(concerned(of("DestinationRule", selector, "other")), "");
    assert.equal(concerned(of("Sidecar", "{egress: [{hosts: ['./*']}]}", "edge")), "");
    assert.equal(
      concerned(of("Sidecar", "{workloadSelector: {labels: {app: web}}, egress: [{hosts: ['./*']}]}")),
      "web",
    );
  });
  test("of a Gateway are the gateways it selects", () => {
    assert.equal(concerned(gateway("{istio: edge}")), "edge");
    assert.equal(concerned(gateway("{app: web}")), "");
  });
});
