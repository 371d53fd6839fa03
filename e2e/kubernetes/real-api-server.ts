/**
 * A real Kubernetes API server with Debian's etcd behind it, on free ports: RBAC, service accounts, admission webhooks,
 * but no controllers, no scheduler and no nodes: nobody makes service accounts, EndpointSlices or pods but the test.
 *
 *   await using cluster = await startApiServer();
 *   cluster.kubeconfig                      // file of the administrator (system:masters)
 *   await cluster.api.call({ method: "GET", path: "/api/v1/namespaces" });
 *   await cluster.apply("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
 *   const limited = await cluster.accountKubeconfig({ namespace: "shop", name: "reader", rules: [
 *     { apiGroups: [""], resources: ["services"], verbs: ["get", "list", "watch"] } ] });   // cluster-wide rules
 *   await cluster.kill(); await cluster.restart();         // the same port, key and etcd
 *   await cluster.etcd.compact();  cluster.saveEtcd();  await cluster.restoreEtcd();        // an older state
 */
import { generateKeyPairSync } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setRealTimer } from "@weft/net/clock";
import { readKubeconfig } from "@weft/net/kubernetes/kubeconfig";
import { type KubernetesApi, openKubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import type { Program } from "@weft/testkit/processes";
import { buildKubeApiServer } from "../peers/kube-apiserver.ts";
import { here, type Place } from "../registries/place.ts";
import { type RealEtcd, startEtcd } from "../registries/real-etcd.ts";

export interface PolicyRule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly verbs: readonly string[];
}

export interface AccountOptions {
  readonly namespace: string;
  readonly name: string;
  /** What it may do in the whole cluster; absent: nothing beyond what everybody may. */
  readonly rules?: readonly PolicyRule[];
  /** What it may do within one namespace. */
  readonly namespaced?: ReadonlyMap<string, readonly PolicyRule[]>;
}

export interface RealApiServer extends AsyncDisposable {
  /** `https://127.0.0.1:PORT`, elsewhere where the test reaches it. */
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  /** PEM of what signs the server's certificate. */
  readonly caFile: string;
  /** The administrator's. */
  readonly kubeconfig: string;
  /** As `kubeconfig`, of another address. */
  adminKubeconfig(name: string, server: string): string;
  /** As the administrator. */
  readonly api: KubernetesApi;
  readonly etcd: RealEtcd;
  /** Creates the object in the collection, or replaces what is there; gives it as stored. */
  apply(collection: string, object: KubernetesObject): Promise<KubernetesObject>;
  delete(path: string): Promise<void>;
  /** The account, its roles and bindings, made where missing; gives a token. */
  accountToken(options: AccountOptions): Promise<string>;
  /** As `accountToken`; gives a kubeconfig file. */
  accountKubeconfig(options: AccountOptions): Promise<string>;
  /** A kubeconfig for that token, optionally of another address (a relay before the server). */
  writeKubeconfig(name: string, token: string, server?: string): string;
  /** Stops the API server with no warning. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Keeps a copy of what etcd has; the API server must be down and etcd is restarted for it. */
  saveEtcd(): Promise<void>;
  /** Puts the copy back; the API server must be down. */
  restoreEtcd(): Promise<void>;
}

export interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly resourceVersion?: string;
    readonly uid?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export interface ApiServerOptions {
  /** More flags of kube-apiserver. */
  readonly flags?: readonly string[];
  /** The program of its etcd; absent: the machine's own. */
  readonly etcd?: string;
  readonly place?: Place;
}

const adminToken = "administrator-of-a-test";
const startTimeoutMs = 120_000;

export const startApiServer = async (options: ApiServerOptions = {}): Promise<RealApiServer> => {
  const { flags = [], etcd: command, place = here } = options;
  const program = buildKubeApiServer();
  await using opened = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "weft-test-kubernetes-"));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const etcd = opened.use(await startEtcd(command === undefined ? { place } : { command, place }));
  const port = await findFreePort("127.0.0.1", 0);
  const url = `https://${place.testHost}:${port}`;
  const [key, tokens, certificates] = ["account.key", "tokens.csv", "certificates"].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(key, privateKey.export({ type: "pkcs1", format: "pem" }), { mode: 0o600 });
  writeFileSync(tokens, `${adminToken},admin,admin,"system:masters"\n`, { mode: 0o600 });
  const caFile = join(certificates, "apiserver.crt");
  const start = (): Program =>
    place.start(program, [
      ...["--etcd-servers", `http://${etcd.address}`, "--etcd-compaction-interval=0"],
      ...[`--bind-address=${place.listen}`, `--secure-port=${port}`, "--cert-dir", certificates],
      ...["--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16"],
      ...["--authorization-mode=RBAC", "--token-auth-file", tokens, "--allow-privileged=true"],
      ...["--service-account-key-file", key, "--service-account-signing-key-file", key],
      "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
      // No controller makes service accounts and their tokens, which this would wait for.
      "--disable-admission-plugins=ServiceAccount",
      ...(place === here ? [] : [`--advertise-address=${place.host}`]),
      ...flags,
    ]);
  let running = start();
  opened.defer(() => running[Symbol.asyncDispose]());
  const serverName = place === here ? {} : { "tls-server-name": "kubernetes.default.svc" };
  const writeKubeconfig = (name: string, token: string, server = url): string => {
    const file = join(folder, `${name}.kubeconfig`);
    writeFileSync(file, JSON.stringify(kubeconfig(server, caFile, token, serverName), undefined, 2), { mode: 0o600 });
    return file;
  };
  await ready(running, url, caFile);
  const adminFile = writeKubeconfig("admin", adminToken, `https://${place.host}:${port}`);
  const access = readKubeconfig({
    file: writeKubeconfig("test", adminToken),
    environment: process.env,
    wallMs: Date.now,
  });
  const api = opened.use(openKubernetesApi({ access, setTimer: setRealTimer }));
  const serves = () =>
    eventually(
      "the API server is ready",
      async () => (await api.call({ method: "GET", path: "/readyz", timeoutMs: 5_000 })) === "ok",
      startTimeoutMs,
    );
  await serves();
  const kill = async (): Promise<void> => {
    running.kill("SIGCONT");
    running.kill("SIGKILL");
    await running.exited;
  };
  // It keeps nothing itself, and a polite end waits for every watch.
  opened.defer(kill);
  const account = accounts(api);
  const saved = join(folder, "etcd-saved");
  const kept = opened.move();
  return {
    ...{ url, port, folder, caFile, kubeconfig: adminFile, api, etcd, kill, writeKubeconfig, accountToken: account },
    adminKubeconfig: (name, server) => writeKubeconfig(name, adminToken, server),
    apply: (collection, object) => applyObject(api, collection, object),
    delete: async (path) => void (await api.call({ method: "DELETE", path })),
    accountKubeconfig: async (options) =>
      writeKubeconfig(`${options.namespace}-${options.name}`, await account(options)),
    restart: async () => {
      running = start();
      await serves();
    },
    signal: (signal) => running.kill(signal),
    saveEtcd: async () => {
      await etcd.kill();
      rmSync(saved, { recursive: true, force: true });
      cpSync(etcd.dataFolder, saved, { recursive: true });
      await etcd.restart();
    },
    restoreEtcd: async () => {
      await etcd.kill();
      rmSync(etcd.dataFolder, { recursive: true, force: true });
      cpSync(saved, etcd.dataFolder, { recursive: true });
      await etcd.restart();
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
};

/** Waits until it has written its certificate, which it signs itself. */
const ready = async (running: Program, url: string, caFile: string): Promise<void> => {
  let ended: number | string | undefined;
  void running.exited.then((how) => {
    ended = how;
  });
  await eventually(
    `the API server listens on ${url}`,
    () => {
      if (ended !== undefined) return true;
      return readFileSync(caFile, "utf8").includes("END CERTIFICATE");
    },
    startTimeoutMs,
  );
  if (ended !== undefined) throw new Error(`kube-apiserver ended (${ended}):\n${running.lines.slice(-20).join("\n")}`);
};

const kubeconfig = (server: string, caFile: string, token: string, more: object) => ({
  apiVersion: "v1",
  kind: "Config",
  "current-context": "test",
  clusters: [{ name: "test-cluster", cluster: { server, "certificate-authority": caFile, ...more } }],
  contexts: [{ name: "test", context: { cluster: "test-cluster", user: "test" } }],
  users: [{ name: "test", user: { token } }],
});

const statusOf = (error: unknown): unknown => (error as { readonly status?: unknown }).status;

const applyObject = async (api: KubernetesApi, collection: string, object: KubernetesObject) => {
  const path = `${collection}/${object.metadata.name}`;
  for (let attempt = 0; ; attempt++) {
    try {
      return (await api.call({ method: "POST", path: collection, body: object })) as KubernetesObject;
    } catch (error) {
      if (statusOf(error) !== 409) throw error;
    }
    try {
      const { metadata } = (await api.call({ method: "GET", path })) as KubernetesObject;
      const body = { ...object, metadata: { ...object.metadata, resourceVersion: metadata.resourceVersion } };
      return (await api.call({ method: "PUT", path, body })) as KubernetesObject;
    } catch (error) {
      if (attempt >= 4 || (statusOf(error) !== 409 && statusOf(error) !== 404)) throw error;
    }
  }
};

const rbac = "/apis/rbac.authorization.k8s.io/v1";

const accounts =
  (api: KubernetesApi) =>
  async ({ namespace, name, rules = [], namespaced = new Map() }: AccountOptions): Promise<string> => {
    const unlessThere = async (path: string, body: KubernetesObject): Promise<void> => {
      try {
        await api.call({ method: "POST", path, body });
      } catch (error) {
        if (statusOf(error) !== 409) throw error;
      }
    };
    await unlessThere("/api/v1/namespaces", { metadata: { name: namespace } });
    await unlessThere(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } });
    const roleName = `${namespace}-${name}`;
    const subjects = [{ kind: "ServiceAccount", name, namespace }];
    const roleRef = (kind: string) => ({ apiGroup: "rbac.authorization.k8s.io", kind, name: roleName });
    const metadata = { name: roleName };
    await applyObject(api, `${rbac}/clusterroles`, { metadata, rules });
    await applyObject(api, `${rbac}/clusterrolebindings`, { metadata, subjects, roleRef: roleRef("ClusterRole") });
    for (const [within, own] of namespaced) {
      await unlessThere("/api/v1/namespaces", { metadata: { name: within } });
      await applyObject(api, `${rbac}/namespaces/${within}/roles`, { metadata, rules: own });
      const binding = { metadata, subjects, roleRef: roleRef("Role") };
      await applyObject(api, `${rbac}/namespaces/${within}/rolebindings`, binding);
    }
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    const answer = (await api.call({ method: "POST", path, body: { spec: { expirationSeconds: 3_600 } } })) as {
      readonly status: { readonly token: string };
    };
    return answer.status.token;
  };
