import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConfigOf } from "@weft/config/config-object";
import { parseConfig } from "@weft/config/parse-config";
import { defaultMeshSettings, type MeshSettings } from "./mesh-settings.ts";
import { virtualServices } from "./virtual-services.ts";

const document = (name: string, spec: string, namespace = "default"): string => `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;

const lookups = (yaml: string, mesh: Partial<MeshSettings> = {}) => {
  const { objects, findings } = parseConfig(yaml, "v.yaml");
  assert.deepEqual(
    findings.filter(({ level }) => level === "error"),
    [],
  );
  const all = objects.filter((one): one is ConfigOf<"VirtualService"> & typeof one => one.kind === "VirtualService");
  return virtualServices(all, { ...defaultMeshSettings, ...mesh });
};

const to = (host: string): string => `route: [{ destination: { host: ${host} } }]`;

/** The rules that come of a root and its delegate: their matches and where they go. */
const merged = (rootRule: string, delegateRules: string, exportTo = "", namespace = "shop") => {
  const rules = lookups(
    document("root", `{ hosts: [a.example.com], http: [${rootRule}, { ${to("last")} }] }`) +
      document("inner", `{ http: [${delegateRules}]${exportTo} }`, namespace),
  ).meshRules("default");
  assert.equal(rules.length, 1);
  const [{ http, problems } = { http: [], problems: [] }] = rules;
  return {
    rules: http.map(({ rule, object }) => ({ rule, from: object.name })),
    problems: problems.map(({ code, object, path }) => [code, object.name, path.join(".")]),
  };
};

const root = (match: string, more = ""): string =>
  `{ name: root, match: [${match}], delegate: { name: inner, namespace: shop }${more} }`;

test("a delegate's rules take the place of the rule that names it, with its own namespace and the root's settings", () => {
  const { rules, problems } = merged(
    root("{ uri: { prefix: /shop }, headers: { a: { exact: '1' } } }", ", timeout: 3s, retries: { attempts: 1 }"),
    `{ name: cart, match: [{ uri: { prefix: /shop/cart }, headers: { b: {} } }], ${to("cart")}, timeout: 1s }, { ${to("all")} }`,
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(rules, [
    {
      from: "inner",
      rule: {
        name: "root-cart",
        timeout: "1s",
        retries: { attempts: 1 },
        match: [{ uri: { prefix: "/shop/cart" }, headers: { a: { exact: "1" }, b: {} } }],
        route: [{ destination: { host: "cart.shop.svc.cluster.local" } }],
      },
    },
    {
      from: "inner",
      rule: {
        name: "root",
        timeout: "3s",
        retries: { attempts: 1 },
        match: [{ uri: { prefix: "/shop" }, headers: { a: { exact: "1" } } }],
        route: [{ destination: { host: "all.shop.svc.cluster.local" } }],
      },
    },
    { from: "root", rule: { route: [{ destination: { host: "last.default.svc.cluster.local" } }] } },
  ]);
});

test("a delegate's match that is not within the root's costs that rule only", () => {
  const outside = [
    ["{ uri: { prefix: /shop } }", "{ uri: { prefix: /sho } }"],
    ["{ uri: { prefix: /shop } }", "{ uri: { exact: /other } }"],
    ["{ uri: { exact: /shop } }", "{ uri: { prefix: /shop } }"],
    ["{ uri: { regex: '/a.*' } }", "{ uri: { prefix: /a } }"],
    ["{ uri: { prefix: /shop } }", "{ uri: { regex: '/shop.*' } }"],
    ["{ method: { exact: GET } }", "{ method: { exact: PUT } }"],
    ["{ headers: { a: { exact: '1' } } }", "{ headers: { a: { exact: '2' } } }"],
    ["{ uri: { prefix: /shop } }", "{ uri: { prefix: /shop }, ignoreUriCase: true }"],
    ["{ port: 80 }", "{ port: 81 }"],
    ["{ sourceNamespace: a }", "{ uri: { prefix: / } }"],
    ["{ sourceLabels: { app: a } }", "{ sourceLabels: { app: b } }"],
    ["{ gateways: [mesh] }", "{ gateways: [edge] }"],
  ] as const;
  for (const [wide, inner] of outside) {
    const { rules, problems } = merged(root(wide), `{ match: [${inner}], ${to("x")} }, { ${to("y")} }`);
    assert.deepEqual(problems, [["WF1533", "inner", "spec.http.0"]], `${wide} ${inner}`);
    assert.equal(rules.length, 2, `${wide} ${inner}`);
  }
  const within = [
    ["{ uri: { prefix: /shop } }", "{ uri: { exact: /shop/a } }"],
    ["{ uri: { prefix: /shop } }", "{ method: { exact: GET } }"],
    ["{ port: 80 }", "{ uri: { prefix: / } }"],
    ["{ gateways: [mesh] }", "{ gateways: [mesh] }"],
    // Names that every object of the language has.
    ["{ uri: { prefix: / } }", "{ headers: { constructor: { exact: a } }, sourceLabels: { valueOf: a } }"],
    ["{ uri: { prefix: /a } }, { uri: { prefix: /b } }", "{ uri: { prefix: /b/c } }"],
  ] as const;
  for (const [wide, inner] of within) {
    assert.deepEqual(merged(root(wide), `{ match: [${inner}], ${to("x")} }`).problems, [], `${wide} ${inner}`);
  }
});

test("a delegate that is not there, not exported, or delegates again costs the rule that needs it, and is told", () => {
  const rule = root("{ uri: { prefix: /a } }");
  const missing = [["WF1531", "root", "spec.http.0.delegate"]];
  assert.deepEqual(merged(rule, `{ ${to("x")} }`, "", "elsewhere").problems, missing);
  const hidden = merged(rule, `{ ${to("x")} }`, ", exportTo: ['.']");
  assert.deepEqual([hidden.problems, hidden.rules.length], [missing, 1]);
  const again = merged(rule, `{ delegate: { name: third } }, { match: [{ uri: { prefix: /a/b } }], ${to("x")} }`);
  assert.deepEqual(again.problems, [["WF1531", "inner", "spec.http.0"]]);
  assert.equal(again.rules.length, 2);
});

test("a delegate alone has no routes, and without a namespace one of the root's own is meant", () => {
  const found = lookups(
    document("root", `{ hosts: [a.example.com], http: [{ delegate: { name: inner } }] }`) +
      document("inner", `{ http: [{ ${to("x")} }] }`),
  ).meshRules("default");
  assert.deepEqual(
    found.map(({ object, http }) => [object.name, http.length]),
    [["root", 1]],
  );
});

test("the mesh may say where VirtualServices are exported that do not say it themselves", () => {
  const yaml = document("a", `{ hosts: [a.example.com], http: [{ ${to("x")} }] }`, "shop");
  const seen = (defaultVirtualServiceExportTo: readonly string[], namespace: string) =>
    lookups(yaml, { defaultVirtualServiceExportTo }).meshRules(namespace).length;
  assert.deepEqual(
    [seen([], "default"), seen(["."], "default"), seen(["."], "shop"), seen(["~"], "shop")],
    [1, 0, 1, 0],
  );
});

test("names of gateways are in full, and each gateway has its rules", () => {
  const rules = lookups(
    document("a", `{ hosts: [a.example.com], gateways: [edge, mesh, other/edge], http: [{ ${to("x")} }] }`, "shop"),
  );
  assert.equal(rules.gatewayRules("shop/edge", "default").length, 1);
  assert.equal(rules.gatewayRules("other/edge", "default").length, 1);
  assert.equal(rules.gatewayRules("default/edge", "default").length, 0);
  assert.equal(rules.meshRules("default").length, 1);
});
