import assert from "node:assert/strict";
import { test } from "node:test";
import type { RBACJson } from "@weft/xds/gen/envoy/config/rbac/v3/rbac";
import { testMesh, testProxy } from "./test-mesh.ts";

const policy = (name: string, spec: string, annotations = "{}") => `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name}, namespace: default, annotations: ${annotations} }
spec: ${spec}
`;

interface RbacConfig {
  readonly rules?: RBACJson;
  readonly shadowRules?: RBACJson;
  readonly shadowRulesStatPrefix?: string;
}

/** The RBAC filters of the workload's port, in order. */
const rbacOf = (yaml: string, protocol = "http") => {
  const { resources, notes } = testMesh({ yaml }).generator.generate(
    testProxy({ WEFT_INBOUND: [{ port: 9001, appPort: 3000, protocol }] }),
  );
  const filters = resources.listener.get("127.0.0.1_9001")?.filterChains?.[0]?.filters ?? [];
  const manager = filters.at(-1)?.typedConfig as { httpFilters?: { name: string; typedConfig: RbacConfig }[] };
  const found =
    protocol === "http"
      ? (manager.httpFilters ?? []).filter(({ name }) => name === "envoy.filters.http.rbac")
      : (filters as { name: string; typedConfig: RbacConfig }[]).filter(
          ({ name }) => name === "envoy.filters.network.rbac",
        );
  return { configs: found.map(({ typedConfig }) => typedConfig), notes };
};

const ruleOf = (spec: string, protocol = "http") => {
  const rules = rbacOf(policy("p", spec), protocol).configs[0]?.rules;
  return rules?.policies?.["ns[default]-policy[p]-rule[0]"];
};

const any = { any: true };
const never = { permissions: [{ notRule: any }], principals: [{ notId: any }] };
const named = (principalName: object) => ({ authenticated: { principalName } });

test("what denies comes before what allows; each rule has Istio's name", () => {
  const { configs } = rbacOf(
    policy("allow", "{ rules: [{ to: [{ operation: { methods: [GET] } }] }, {}] }") +
      policy("deny", "{ action: DENY, rules: [{ from: [{ source: { namespaces: [bad] } }] }] }"),
  );
  assert.deepEqual(
    configs.map(({ rules }) => [rules?.action, Object.keys(rules?.policies ?? {})]),
    [
      ["DENY", ["ns[default]-policy[deny]-rule[0]"]],
      ["ALLOW", ["ns[default]-policy[allow]-rule[0]", "ns[default]-policy[allow]-rule[1]"]],
    ],
  );
});

test("without rules ALLOW denies all and DENY none; an empty rule matches all", () => {
  assert.deepEqual(ruleOf("{}"), never);
  assert.deepEqual(rbacOf(policy("p", "{ action: DENY }")).configs, []);
  assert.deepEqual(ruleOf("{ action: DENY, rules: [{}] }"), { permissions: [any], principals: [any] });
  assert.deepEqual(rbacOf("").configs, []);
});

test("callers: principals, namespaces, accounts, addresses and their opposites, all of one source", () => {
  const { principals } =
    ruleOf(`{ rules: [{ from: [
    { source: { principals: ["cluster.local/ns/a/sa/b", "cluster.local/ns/a/*", "*/sa/c", "*"], notNamespaces: [x.y] } },
    { source: { serviceAccounts: [web, shop/api], ipBlocks: [10.0.0.0/8], notRemoteIpBlocks: ["::1"] } } ] }] }`) ?? {};
  assert.deepEqual(principals, [
    {
      andIds: {
        ids: [
          {
            orIds: {
              ids: [
                named({ exact: "spiffe://cluster.local/ns/a/sa/b" }),
                named({ prefix: "spiffe://cluster.local/ns/a/" }),
                named({ suffix: "/sa/c" }),
                named({ safeRegex: { regex: ".+" } }),
              ],
            },
          },
          { notId: named({ safeRegex: { regex: "spiffe://[^/]+/ns/x\\.y/.*" } }) },
        ],
      },
    },
    {
      andIds: {
        ids: [
          { orIds: { ids: [named({ suffix: "/ns/default/sa/web" }), named({ suffix: "/ns/shop/sa/api" })] } },
          { directRemoteIp: { addressPrefix: "10.0.0.0", prefixLen: 8 } },
          { notId: { remoteIp: { addressPrefix: "::1", prefixLen: 128 } } },
        ],
      },
    },
  ]);
});

test("requests: hosts without regard to case, methods, paths with segments, and ports as the workload knows them", () => {
  const { permissions } =
    ruleOf(`{ rules: [{ to: [
    { operation: { hosts: [Shop.Example], methods: [GET], notMethods: ["*"], paths: [/a, "/b*", "*c", "/d/{*}/e/{**}"] } },
    { operation: { ports: ["3000"] } }, { operation: { ports: ["9001"] } }, { operation: { notPorts: ["1"] } }, { operation: { ports: ["80"] } } ] }] }`) ??
    {};
  assert.deepEqual(permissions?.[0], {
    andRules: {
      rules: [
        { header: { name: ":authority", stringMatch: { exact: "Shop.Example", ignoreCase: true } } },
        { header: { name: ":method", stringMatch: { exact: "GET" } } },
        { notRule: { header: { name: ":method", presentMatch: true } } },
        {
          orRules: {
            rules: [
              { urlPath: { path: { exact: "/a" } } },
              { urlPath: { path: { prefix: "/b" } } },
              { urlPath: { path: { suffix: "c" } } },
              { urlPath: { path: { safeRegex: { regex: "/d/[^/]+/e/.*" } } } },
            ],
          },
        },
      ],
    },
  });
  const [, app, dialled, not, other] = permissions ?? [];
  const one = (rule: object) => ({ andRules: { rules: [rule] } });
  assert.deepEqual(
    [app, dialled, not, other],
    [one(any), one(any), one({ notRule: { notRule: any } }), one({ notRule: any })],
  );
});

test("conditions by key: headers and callers among principals, destinations among permissions", () => {
  const rule = ruleOf(`{ rules: [{ when: [
    { key: "request.headers[x-a]", values: ["1*"] }, { key: source.namespace, notValues: [bad] },
    { key: destination.port, values: ["3000"] }, { key: connection.sni, values: ["a.b"] } ] }] }`);
  assert.deepEqual(rule?.principals, [
    {
      andIds: {
        ids: [
          { header: { name: "x-a", stringMatch: { prefix: "1" } } },
          { notId: named({ safeRegex: { regex: "spiffe://[^/]+/ns/bad/.*" } }) },
        ],
      },
    },
  ]);
  assert.deepEqual(rule?.permissions, [{ andRules: { rules: [any, { requestedServerName: { exact: "a.b" } }] } }]);
});

test("on TCP an allowing rule that asks for HTTP is dropped, a denying one loses only that field", () => {
  const asks =
    "rules: [{ from: [{ source: { namespaces: [a] } }], to: [{ operation: { paths: [/x], ports: ['3000'] } }] }]";
  const allow = rbacOf(policy("p", `{ ${asks} }`), "tcp").configs[0]?.rules;
  assert.deepEqual(allow, { action: "ALLOW", policies: { none: never } });
  assert.deepEqual(ruleOf(`{ action: DENY, ${asks} }`, "tcp")?.permissions, [{ andRules: { rules: [any] } }]);
  const header = '{ action: DENY, rules: [{ when: [{ key: "request.headers[a]", values: [b] }] }] }';
  assert.deepEqual(ruleOf(header, "tcp")?.principals, [any]);
});

test("a token is never there, so what asks for one never holds and what asks for none always does", () => {
  const of = (field: string) => ruleOf(`{ rules: [{ from: [{ source: { ${field}: ["*"] } }] }] }`)?.principals;
  assert.deepEqual(of("requestPrincipals"), [{ andIds: { ids: [{ notId: any }] } }]);
  assert.deepEqual(of("notRequestPrincipals"), [{ andIds: { ids: [{ notId: { notId: any } }] } }]);
});

test("dry runs are shadow rules; CUSTOM without a provider denies; AUDIT is said to do nothing", () => {
  const dry = rbacOf(policy("p", "{ action: DENY, rules: [{}] }", '{ istio.io/dry-run: "true" }')).configs;
  assert.deepEqual(
    [dry[0]?.rules, dry[0]?.shadowRules?.action, dry[0]?.shadowRulesStatPrefix],
    [undefined, "DENY", "istio_dry_run_deny_"],
  );
  const custom = rbacOf(policy("p", "{ action: CUSTOM, provider: { name: x }, rules: [{}] }"));
  assert.deepEqual([custom.configs[0]?.rules?.action, custom.notes.map(({ code }) => code)], ["DENY", ["WF4011"]]);
  assert.deepEqual(
    rbacOf(policy("p", "{ action: AUDIT, rules: [{}] }")).notes.map(({ code }) => code),
    ["WF4012"],
  );
});
