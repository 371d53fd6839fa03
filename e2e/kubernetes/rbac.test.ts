/**
 * The account of `weft install` may do what the control plane does, and nothing else: a real control plane runs under it, and
 * the API server's audit log is compared with what is granted.
 */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { valuesFill } from "@weft/cli/install/fill";
import { defaultInstallValues } from "@weft/cli/install/install-values";
import { grants } from "@weft/cli/install/rbac";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { createCsr } from "@weft/protocols/x509/csr";
import { eventually } from "@weft/testkit/eventually";
import { decodeMessage, encodeMessage } from "@weft/xds/codec";
import { IstioCertificateRequestSchema, IstioCertificateResponseSchema } from "@weft/xds/gen/istio/ca";
import {
  type ClusterPlane,
  makeNamespace,
  registeredWebhook,
  startClusterPlane,
  systemNamespace,
} from "./cluster-parts.ts";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";
import { runWeft } from "./run-weft.ts";
import { samples } from "./samples.ts";

const account = `system:serviceaccount:${systemNamespace}:istiod`;
const stack = new AsyncDisposableStack();
const folder = mkdtempSync(join(tmpdir(), "weft-test-rbac-"));
stack.defer(() => rmSync(folder, { recursive: true, force: true }));
const auditFile = join(folder, "audit.log");
let cluster: RealApiServer;
let plane: ClusterPlane;

before(async () => {
  const policy = {
    apiVersion: "audit.k8s.io/v1",
    kind: "Policy",
    omitStages: ["RequestReceived"],
    rules: [{ level: "Metadata" }],
  };
  const policyFile = join(folder, "policy.json");
  writeFileSync(policyFile, JSON.stringify(policy));
  cluster = stack.use(
    await startApiServer({ flags: ["--audit-policy-file", policyFile, "--audit-log-path", auditFile] }),
  );
  const installed = await runWeft(["install", "--kubeconfig", cluster.kubeconfig]);
  assert.equal(installed.code, 0, installed.err);
  await makeNamespace(cluster, "shop");
  // A root that is not the mesh's, to be put right.
  await cluster.apply("/api/v1/namespaces/shop/configmaps", {
    metadata: { name: "istio-ca-root-cert" },
    ...{ data: { "root-cert.pem": "another" } },
  });
  const token = await cluster.accountToken({ namespace: systemNamespace, name: "istiod" });
  plane = stack.use(await startClusterPlane(cluster.writeKubeconfig("istiod", token)));
});
after(() => stack.disposeAsync());

interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly name?: string;
    readonly namespace?: string;
  };
  readonly responseStatus?: { readonly code?: number };
}

const requests = (): readonly AuditEvent[] =>
  readFileSync(auditFile, "utf8")
    .split("\n")
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as AuditEvent];
      } catch {
        // The last line may be half written.
        return [];
      }
    })
    .filter(({ user, objectRef }) => user.username === account && objectRef !== undefined);

const keyOf = (group: string, resource: string, verb: string): string => `${verb} ${resource}.${group}`;
const used = (): ReadonlySet<string> =>
  new Set(
    requests().map(({ verb, objectRef: { apiGroup = "", resource = "", subresource } = {} }) =>
      keyOf(apiGroup, subresource === undefined ? resource : `${resource}/${subresource}`, verb),
    ),
  );
const granted = grants(valuesFill(defaultInstallValues));
const allowed = new Set(
  granted.flatMap(({ group, resources, verbs }) =>
    resources.flatMap((resource) => verbs.map((verb) => keyOf(group, resource, verb))),
  ),
);

/** The control plane's answer to a pod that shows its token. */
const certify = async (authorization: string): Promise<number> => {
  const [host = "", port = ""] = plane.secure.split(":");
  using channel = createGrpcChannel({
    target: { kind: "tcp", host, port: Number(port) },
    tls: () => ({ roots: readFileSync(plane.rootCertFile, "utf8"), serverName: "istiod.istio-system.svc" }),
  });
  const csr = createCsr(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey, {
    ...noAltNames,
    uris: ["spiffe://cluster.local/ns/shop/sa/web"],
  });
  const call = {
    path: "/istio.v1.auth.IstioCertificateService/CreateCertificate",
    deadlineMs: 10_000,
    metadata: { authorization },
  };
  const answer = await channel.unary(call, encodeMessage(IstioCertificateRequestSchema, { csr }));
  const { certChain = [] } = decodeMessage(IstioCertificateResponseSchema, answer) as { certChain?: string[] };
  return certChain.length;
};

const tokenFor = async (name: string, audience: string): Promise<string> => {
  const accounts = "/api/v1/namespaces/shop/serviceaccounts";
  await cluster.apply(accounts, { metadata: { name } });
  const body = { spec: { audiences: [audience], expirationSeconds: 3_600 } };
  const answer = await cluster.api.call({ method: "POST", path: `${accounts}/${name}/token`, body });
  return (answer as { readonly status: { readonly token: string } }).status.token;
};

test("a pod's token gives its own identity; another account's, or one for another audience, does not", async () => {
  assert.ok((await certify(`Bearer ${await tokenFor("web", "istio-ca")}`)) > 0);
  await assert.rejects(certify(`Bearer ${await tokenFor("db", "istio-ca")}`), /WF7111/);
  await assert.rejects(certify(`Bearer ${await tokenFor("web", "https://kubernetes.default.svc")}`), /WF7110/);
});

test("everything that is granted is used, and everything that is done is granted", { timeout: 150_000 }, async () => {
  for (const sample of samples.filter(({ kind }) => kind !== "WasmPlugin")) {
    const group = String(sample.apiVersion);
    const { plural } = await definitionOf(group.split("/")[0] ?? "", String(sample.kind));
    await cluster.apply(`/apis/${group}/namespaces/shop/${plural}`, sample as never);
  }
  await eventually(
    "the webhooks know who signs",
    async () => (await registeredWebhook(cluster, "mutating"))?.clientConfig.caBundle,
  );
  const missing = (): readonly string[] => [...allowed].filter((key) => !used().has(key));
  await eventually("all that is granted was used", () => missing().length === 0, 90_000).catch(() => undefined);
  assert.deepEqual(missing(), []);
  assert.deepEqual(
    [...used()].filter((key) => !allowed.has(key)),
    [],
  );
  const refused = requests().filter(
    ({ responseStatus }) => responseStatus?.code === 403 || responseStatus?.code === 401,
  );
  assert.deepEqual(refused, []);
});

const definitionOf = async (group: string, kind: string): Promise<{ readonly plural: string }> => {
  const list = (await cluster.api.call({
    method: "GET",
    path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
  })) as {
    readonly items: readonly {
      readonly spec: { readonly group: string; readonly names: { kind: string; plural: string } };
    }[];
  };
  const found = list.items.find(({ spec }) => spec.group === group && spec.names.kind === kind);
  assert.ok(found, `${group} ${kind}`);
  return found.spec.names;
};

interface Question {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}
const may = async (resourceAttributes: Question): Promise<boolean> => {
  const body = {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    spec: { user: account, resourceAttributes },
  };
  const path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
  const { status } = (await cluster.api.call({ method: "POST", path, body })) as {
    readonly status: { readonly allowed: boolean };
  };
  return status.allowed;
};

test("no verb beyond those granted is allowed on anything that is read or written", async () => {
  const verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
  const resources = new Map(
    granted.flatMap(({ group, resources: all }) =>
      all.map((resource) => [`${resource}.${group}`, { group, resource }]),
    ),
  );
  for (const { group, resource } of resources.values())
    for (const verb of verbs) {
      const [name = "", subresource] = resource.split("/");
      // Under no name and in no namespace that a grant has: what is narrowed to those is refused here.
      const question = {
        verb,
        group,
        resource: name,
        ...(subresource ? { subresource } : {}),
        namespace: "elsewhere",
        name: "another",
      };
      const wide = granted.some(
        (grant) =>
          grant.scope === "cluster" &&
          !grant.names &&
          grant.group === group &&
          grant.resources.includes(resource) &&
          grant.verbs.includes(verb),
      );
      assert.equal(await may(question), wide, `${verb} ${resource}.${group}`);
    }
});

test("what would let it take the cluster is refused", async () => {
  for (const question of [
    { verb: "escalate", group: "rbac.authorization.k8s.io", resource: "clusterroles" },
    { verb: "bind", group: "rbac.authorization.k8s.io", resource: "clusterroles" },
    { verb: "impersonate", group: "", resource: "users" },
    { verb: "create", group: "", resource: "pods" },
    { verb: "create", group: "", resource: "pods", subresource: "exec" },
    { verb: "create", group: "", resource: "serviceaccounts", subresource: "token" },
    { verb: "create", group: "", resource: "secrets" },
    { verb: "update", group: "", resource: "configmaps" },
    {
      verb: "patch",
      group: "admissionregistration.k8s.io",
      resource: "mutatingwebhookconfigurations",
      name: "another",
    },
  ])
    assert.equal(await may(question), false, JSON.stringify(question));
});

const rbac = "/apis/rbac.authorization.k8s.io/v1";
const roles = [
  { role: `${rbac}/clusterroles/istiod-${systemNamespace}`, namespace: "shop" },
  { role: `${rbac}/namespaces/${systemNamespace}/roles/istiod`, namespace: systemNamespace },
];

test("without one of its verbs the account is refused what the control plane does", { timeout: 120_000 }, async () => {
  for (const { role, namespace } of roles) {
    const stored = (await cluster.api.call({ method: "GET", path: role })) as { readonly rules: readonly RoleRule[] };
    const put = (rules: readonly RoleRule[]): Promise<unknown> =>
      cluster.api.call({
        ...{ method: "PATCH", path: role, body: { rules }, contentType: "application/merge-patch+json" },
      });
    for (const [index, rule] of stored.rules.entries())
      for (const verb of rule.verbs) {
        const left = rule.verbs.filter((other) => other !== verb);
        const changed = left.length === 0 ? [] : [{ ...rule, verbs: left }];
        await put(stored.rules.flatMap((other, at) => (at === index ? changed : [other])));
        const [resource = "", subresource] = (rule.resources[0] ?? "").split("/");
        const [name] = rule.resourceNames ?? [];
        const question = {
          ...{ verb, group: rule.apiGroups[0] ?? "", resource, namespace },
          ...(subresource ? { subresource } : {}),
          ...(name ? { name } : {}),
        };
        await eventually(`without ${verb} on ${resource} it is refused`, async () => !(await may(question)));
      }
    await put(stored.rules);
  }
});

interface RoleRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}
