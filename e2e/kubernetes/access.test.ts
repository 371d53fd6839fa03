/** Who a control plane is to a real API server: a pod's service account, a credential program, a certificate. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setRealTimer } from "@weft/net/clock";
import { readKubeconfig } from "@weft/net/kubernetes/kubeconfig";
import { inClusterAccess, type KubernetesAccess } from "@weft/net/kubernetes/kubernetes-access";
import { openKubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { issueRoot } from "@weft/protocols/x509/issue";
import { encodePem } from "@weft/protocols/x509/pem";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";

const stack = new AsyncDisposableStack();
const folder = mkdtempSync(join(tmpdir(), "weft-test-access-"));
stack.defer(() => rmSync(folder, { recursive: true, force: true }));
const inFolder = (name: string, text: string, mode = 0o600): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};

/** A certificate that stands for itself, with its key; Kubernetes takes the names in it for a user and a group. */
const certificateOf = (user: string, group: string) => {
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const day = 86_400_000;
  const dates = { notBeforeMs: Date.now() - day, notAfterMs: Date.now() + day };
  const der = issueRoot({ key, organization: group, commonName: user, serial: Buffer.from([1]), ...dates });
  return { certificate: encodePem("CERTIFICATE", der), key: String(key.export({ format: "pem", type: "pkcs8" })) };
};
const [first, second] = [certificateOf("first", "weft-test"), certificateOf("second", "weft-test")];
const stranger = certificateOf("stranger", "weft-test");

let cluster: RealApiServer;
before(async () => {
  const authorities = inFolder("client-ca.pem", `${first.certificate}${second.certificate}`);
  cluster = stack.use(await startApiServer({ flags: ["--client-ca-file", authorities] }));
  await cluster.apply("/api/v1/namespaces", { metadata: { name: "shop" } });
});
after(() => stack.disposeAsync());

/** Who the API server takes the caller for. */
const whoIs = async (access: KubernetesAccess): Promise<() => Promise<string>> => {
  const api = stack.use(openKubernetesApi({ access, setTimer: setRealTimer }));
  return async () => {
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
    const path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    const { status } = (await api.call({ method: "POST", path, body })) as {
      readonly status: { readonly userInfo: { readonly username: string } };
    };
    return status.userInfo.username;
  };
};
const kubeconfigOf = (name: string, user: object): string =>
  inFolder(
    `${name}.kubeconfig`,
    JSON.stringify({
      ...{ apiVersion: "v1", kind: "Config", "current-context": "test" },
      clusters: [{ name: "test-cluster", cluster: { server: cluster.url, "certificate-authority": cluster.caFile } }],
      contexts: [{ name: "test", context: { cluster: "test-cluster", user: "test" } }],
      users: [{ name: "test", user }],
    }),
  );
const accessOf = (file: string): KubernetesAccess =>
  readKubeconfig({ file, environment: process.env, wallMs: Date.now });
const read = {
  apiGroups: ["", "discovery.k8s.io"],
  resources: ["services", "endpointslices"],
  verbs: ["list", "watch"],
};
const tokenOf = (name: string): Promise<string> => cluster.accountToken({ namespace: "shop", name, rules: [read] });
/** Tokens are of one account, not of its name: the former are no good afterwards. */
const renewAccount = async (name: string): Promise<string> => {
  await cluster.delete(`/api/v1/namespaces/shop/serviceaccounts/${name}`);
  return tokenOf(name);
};

test("a pod is its service account, by whichever token its file has now", async () => {
  const mounted = join(folder, "pod");
  mkdirSync(mounted);
  const token = (text: string): void => writeFileSync(join(mounted, "token"), text);
  writeFileSync(join(mounted, "ca.crt"), readFileSync(cluster.caFile));
  token(await tokenOf("robot"));
  const environment = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT_HTTPS: String(cluster.port) };
  const who = await whoIs(inClusterAccess(environment, mounted));
  assert.equal(await who(), "system:serviceaccount:shop:robot");
  token(await tokenOf("other"));
  assert.equal(await who(), "system:serviceaccount:shop:other");
  token("not a token");
  await assert.rejects(who(), { status: 401 });
  const former = await tokenOf("robot");
  const renewed = await renewAccount("robot");
  token(former);
  await eventually("a token of the former account is refused", async () =>
    who().then(
      () => undefined,
      (error: { readonly status: number }) => error.status === 401,
    ),
  );
  token(renewed);
  assert.equal(await who(), "system:serviceaccount:shop:robot");
});

test("a certificate is the user in it, also when its files are replaced; a stranger's is nobody's", async () => {
  const write = ({ certificate, key }: typeof first): void => {
    inFolder("me.pem", certificate);
    inFolder("me.key", key);
  };
  write(first);
  const who = await whoIs(
    accessOf(kubeconfigOf("certificate", { "client-certificate": "me.pem", "client-key": "me.key" })),
  );
  assert.equal(await who(), "first");
  write(second);
  assert.equal(await who(), "second");
  write(stranger);
  await assert.rejects(who(), { status: 401 });
});

test("a credential program is asked again when what it gave is refused, and a control plane goes on with that", async () => {
  const tokenFile = inFolder("plugin-token", await tokenOf("plugin"));
  const runs = join(folder, "runs");
  const program = inFolder(
    "login",
    `#!/bin/sh
echo "$KUBERNETES_EXEC_INFO" >> "$1"
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(cat "$2")"
`,
    0o700,
  );
  const exec = { apiVersion: "client.authentication.k8s.io/v1", command: program, args: [runs, tokenFile] };
  const file = kubeconfigOf("program", { exec: { ...exec, interactiveMode: "Never" } });
  const who = await whoIs(accessOf(file));
  const ran = (): number => readFileSync(runs, "utf8").trim().split("\n").length;
  assert.deepEqual([await who(), await who(), ran()], [...Array(2).fill("system:serviceaccount:shop:plugin"), 1]);

  await using cp = await startControlPlane({ args: ["--registry", `kubernetes://?kubeconfig=${file}`] });
  const known = (name: string) =>
    eventually(
      `${name} is known`,
      async () => {
        const { items } = (await cp.api("GET", "/v1/registry")) as { items: readonly { name: string }[] };
        return items.some((one) => one.name === name);
      },
      30_000,
    );
  const service = (name: string) =>
    cluster.apply("/api/v1/namespaces/shop/services", { metadata: { name }, spec: { ports: [{ port: 80 }] } });
  await service("before");
  await known("before");
  const before = ran();
  writeFileSync(tokenFile, await renewAccount("plugin"));
  await cluster.kill();
  await cluster.restart();
  await service("after");
  await known("after");
  assert.ok(ran() > before, `it ran ${ran()} times`);
  assert.equal(await who(), "system:serviceaccount:shop:plugin");
});

test("a credential program that fails is told as what it is, and is no end of the control plane", async () => {
  const program = inFolder("broken", "#!/bin/sh\necho 'please log in' >&2\nexit 1\n", 0o700);
  const file = kubeconfigOf("broken", { exec: { apiVersion: "client.authentication.k8s.io/v1", command: program } });
  await using cp = await startControlPlane({ args: ["--registry", `kubernetes://?kubeconfig=${file}`] });
  const { items } = (await cp.api("GET", "/v1/analyze")) as { items: readonly { code: string; message: string }[] };
  const told = items.find(({ code }) => code === "WF2158");
  assert.match(told?.message ?? "", /please log in/);
});
