import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseConfig } from "@weft/config/parse-config";
import fc from "fast-check";
import { objectConcerns, type ProxyKind, selectingLabels } from "./object-concerns.ts";
import {
  formatToldProxies,
  parseToldProxies,
  proxyRecordLimits,
  type ToldGroup,
  type ToldProxies,
} from "./proxy-record.ts";

const { bytesMax, textMax, configsMax } = proxyRecordLimits;
const group = (namespace: string, total: number, labels: ProxyKind["labels"] = {}): ToldGroup => ({
  ...{ of: { kind: "sidecar", namespace, labels }, total, at: total > 0 ? [[0, total]] : [] },
});
const told = (groups: readonly ToldGroup[]): ToldProxies => {
  const total = groups.reduce((sum, one) => sum + one.total, 0);
  return { total, synced: total, kinds: { configs: ["x"], groups, left: 0 } };
};

describe("a record of proxies", () => {
  test("is read as it was written", () => {
    const text = fc.string({ maxLength: 20 });
    const groups = fc.uniqueArray(
      fc.record({ namespace: text, total: fc.nat(9), labels: fc.dictionary(text, text, { maxKeys: 3 }) }),
      { selector: ({ namespace, labels }) => JSON.stringify([namespace, labels]), maxLength: 20 },
    );
    const byText = (list: readonly unknown[]): readonly string[] => list.map((one) => JSON.stringify(one)).sort();
    fc.assert(
      fc.property(groups, (given) => {
        const all = told(
          given.map(({ namespace, total, labels }) =>
            group(namespace, total, Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))),
          ),
        );
        const read = parseToldProxies(formatToldProxies(all));
        assert.equal(read?.total, all.total);
        assert.deepEqual(byText(read.kinds?.groups ?? []), byText(all.kinds?.groups ?? []));
      }),
    );
  });
  test("is never taken for what it is not, and never more than one", () => {
    fc.assert(fc.property(fc.json(), (text) => assert.equal(parseToldProxies(text), undefined)));
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom("total", "synced", "configs", "groups", "left"), (value, member) => {
        const good = JSON.parse(formatToldProxies(told([group("a", 2)]))) as object;
        const read = parseToldProxies(JSON.stringify({ ...good, [member]: value }));
        const sum = read?.kinds?.groups.reduce((all, { total }) => all + total, read.kinds.left);
        if (read?.kinds) assert.equal(sum, read.total);
      }),
    );
  });
  test("stays within its size and is read by others, whatever is in it; the largest groups are told", () => {
    const wide = Array.from({ length: 900 }, (_, i) => group(`n${i}`, i + 1, { a: "ß".repeat(400), b: String(i) }));
    const all = told(wide);
    const text = formatToldProxies({
      ...all,
      kinds: { ...all.kinds, configs: Array(99).fill("x".repeat(16)) } as never,
    });
    assert.ok(Buffer.byteLength(text) <= bytesMax, `${Buffer.byteLength(text)}`);
    const read = parseToldProxies(text);
    assert.ok(read?.kinds);
    assert.equal(read.kinds.configs.length, configsMax);
    assert.equal(read.kinds.groups[0]?.of.namespace, "n899");
    assert.ok(read.kinds.groups.length > 200 && read.kinds.left > 0);
  });
  test("leaves out what others would not read", () => {
    const long = group("long", 5, { a: "x".repeat(textMax + 1) });
    assert.deepEqual(parseToldProxies(formatToldProxies(told([long, group("shop", 2)])))?.kinds, {
      ...{ configs: ["x"], groups: [group("shop", 2)], left: 5 },
    });
  });
});

test("the labels that something selects by decide alone for which proxies an object is", () => {
  const networking = "networking.istio.io/v1";
  const gateway = '{selector: {l1: x}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}';
  const samples: readonly (readonly [group: string, kind: string, spec: string])[] = [
    [networking, "Gateway", gateway],
    [networking, "VirtualService", "{hosts: [a.b], gateways: [x], http: [{directResponse: {status: 204}}]}"],
    [networking, "DestinationRule", "{host: a.b, workloadSelector: {matchLabels: {l2: x}}}"],
    [networking, "Sidecar", "{workloadSelector: {labels: {l3: x}}, egress: [{hosts: ['./*']}]}"],
    ["networking.istio.io/v1alpha3", "EnvoyFilter", "{workloadSelector: {labels: {l4: x}}, configPatches: []}"],
    ["security.istio.io/v1", "AuthorizationPolicy", "{selector: {matchLabels: {l5: x}}}"],
    ["security.istio.io/v1", "PeerAuthentication", "{selector: {matchLabels: {l6: x}}, mtls: {mode: STRICT}}"],
    ["security.istio.io/v1", "RequestAuthentication", "{selector: {matchLabels: {l7: x}}}"],
    ["telemetry.istio.io/v1", "Telemetry", "{selector: {matchLabels: {l8: x}}}"],
    ["networking.istio.io/v1beta1", "ProxyConfig", "{selector: {matchLabels: {l9: x}}}"],
  ];
  const yaml = samples.map(
    ([apiVersion, kind, spec]) =>
      `{apiVersion: ${apiVersion}, kind: ${kind}, metadata: {name: x, namespace: shop}, spec: ${spec}}`,
  );
  const { objects } = parseConfig(yaml.join("\n---\n"), "test.yaml");
  assert.equal(objects.length, samples.length);
  const keys = selectingLabels(objects);
  const concerns = objectConcerns(objects, "istio-system");
  for (const kind of ["sidecar", "gateway"] as const)
    for (let n = 0; n <= 9; n++) {
      const labels: Readonly<Record<string, string>> = { [`l${n}`]: "x", pod: "p" };
      const told = Object.fromEntries(Object.entries(labels).filter(([key]) => keys.includes(key)));
      for (const object of objects)
        assert.equal(
          concerns(object, { kind, namespace: "shop", labels: told }),
          concerns(object, { kind, namespace: "shop", labels }),
          `${object.kind} l${n}`,
        );
    }
  assert.equal(keys.length, 9);
});
