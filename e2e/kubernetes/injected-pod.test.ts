/** The containers of an injected pod, run as its node would run them, in a network namespace that stands for the pod. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type InjectOutcome, injectPod } from "@weft/config/inject/inject-pod";
import { defaultInjectorValues } from "@weft/config/inject/injector-values";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { createNetworkNamespace } from "@weft/testkit/network-namespace";
import { weftEntry } from "@weft/testkit/processes";
import { asProxyUser, proxyFolder } from "../intercept/proxy-user.ts";

interface Container {
  readonly name: string;
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly readinessProbe?: { readonly httpGet: { readonly path: string; readonly port: number } };
  readonly lifecycle?: Readonly<Record<string, { readonly exec: { readonly command: readonly string[] } }>>;
}

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
`;

const injectedOf = (
  outcome: InjectOutcome,
): { readonly spec: { readonly containers: Container[]; readonly initContainers: Container[] } } => {
  assert.equal(outcome.kind, "injected");
  return (outcome as unknown as { pod: never }).pod;
};

/** As the kubelet expands `$(NAME)`. */
const expand = (text: string, values: ReadonlyMap<string, string>): string =>
  text.replaceAll(/\$\$|\$\(([A-Z_a-z]+)\)/g, (whole, name?: string) =>
    whole === "$$" ? "$" : (values.get(name ?? "") ?? whole),
  );

test("an injected pod's containers intercept, become ready, answer the application's probes under STRICT, and drain", {
  timeout: 110_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const net = stack.use(createNetworkNamespace());
  const [world] = net.outside.ipv4;
  const secure = `${world}:${await findFreePort(world, 0)}`;
  const cp = stack.use(
    await startControlPlane({ yaml: strict, addresses: { xds: "127.0.0.1:0", secure, http: "127.0.0.1:0" } }),
  );
  const folder = proxyFolder(stack, cp);
  const app = net.start(process.execPath, [join(import.meta.dirname, "../programs/echo.ts"), "app", "8080", "0.0.0.0"]);
  stack.use(app);
  await app.waitFor(/^listening/);

  const [cautious, cautiousPort] = [join(import.meta.dirname, "../programs/echo.ts"), 8081];
  const own = stack.use(net.start(process.execPath, [cautious, "own", String(cautiousPort), net.inside.ipv4]));
  await own.waitFor(/^listening/);

  const container = {
    ...{ name: "web", image: "example/web", ports: [{ name: "http", containerPort: 8080 }] },
    readinessProbe: { httpGet: { path: "/ready", port: "http" } },
    livenessProbe: { tcpSocket: { port: 9 } },
  };
  const alone = {
    ...{ name: "own", image: "example/own" },
    readinessProbe: { httpGet: { path: "/ready", port: cautiousPort } },
    livenessProbe: { tcpSocket: { port: cautiousPort } },
  };
  const { spec } = injectedOf(
    injectPod({
      pod: { metadata: { name: "web", labels: { app: "web" } }, spec: { containers: [container, alone] } },
      ...{ namespace: { name: "shop", labels: {} }, values: defaultInjectorValues, nativeSidecars: true },
    }),
  );
  const [init, proxy] = spec.initContainers as [Container, Container];
  const [web] = spec.containers as [Container];

  const run = (args: readonly string[]) => net.run(process.execPath, [weftEntry, ...args]);
  const intercepted = await run(init.args);
  assert.equal(intercepted.code, 0, intercepted.stderr);

  const values = new Map([
    ...[
      ["POD_NAME", "web-1"],
      ["POD_NAMESPACE", "shop"],
      ["INSTANCE_IP", net.inside.ipv4],
      ["SERVICE_ACCOUNT", "web"],
    ],
  ] as [string, string][]);
  // What the node mounts is elsewhere here, and the control plane has no name.
  const places: readonly (readonly [string, string])[] = [
    ["/var/run/secrets/istio/root-cert.pem", join(folder, "root-cert.pem")],
    ["/var/run/secrets/tokens/istio-token", join(folder, "join-token")],
    ["/var/lib/istio/data", join(folder, "data")],
    ["istiod.istio-system.svc:15012", cp.secure],
  ];
  const args = proxy.args.map((arg) => places.find(([from]) => from === arg)?.[1] ?? expand(arg, values));
  const env = (proxy.env ?? []).flatMap(({ name, value }) =>
    value === undefined ? [] : [`${name}=${expand(value, values)}`],
  );
  const program = [process.execPath, "--disable-warning=ExperimentalWarning", weftEntry];
  const sidecar = stack.use(net.start("env", [...env, "setpriv", ...asProxyUser, ...program, ...args]));
  await sidecar.waitFor(/\bready\b.*admin=/);

  const statusAt = async (port: number, path: string): Promise<string> => {
    const flags = ["-s", "-m", "5", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"];
    return (await net.run("curl", [...flags, `http://${net.inside.ipv4}:${port}${path}`])).stdout;
  };
  const probe = ({ httpGet }: { readonly httpGet: { readonly path: string; readonly port: number } }) =>
    statusAt(httpGet.port, httpGet.path);
  assert.ok(proxy.readinessProbe && web.readinessProbe);
  assert.equal(await probe(proxy.readinessProbe), "200");
  assert.equal(await probe(web.readinessProbe), "200", "the application is asked behind the mesh");
  assert.equal(await statusAt(15_020, "/app-health/web/livez"), "500", "nobody listens where the liveness probe asks");
  for (const path of ["readyz", "livez"])
    assert.equal(
      await statusAt(15_020, `/app-health/own/${path}`),
      "200",
      "who listens at the pod's address alone is asked there",
    );
  assert.equal(await statusAt(15_020, "/app-health/web/startupz"), "404", "there is no such probe");
  assert.equal(await statusAt(15_090, "/stats/prometheus"), "200");

  assert.equal((await run(["pod", "wait", "--timeout", "5"])).code, 0);
  const [weft, ...drain] = proxy.lifecycle?.preStop?.exec.command ?? [];
  assert.equal(weft, "weft");
  assert.equal((await run(drain)).code, 0);
  await eventually("a draining sidecar is not ready", async () => (await statusAt(15_021, "/healthz/ready")) === "503");
  assert.equal((await run(["pod", "wait", "--timeout", "1"])).code, 1);
  sidecar.kill("SIGTERM");
  await sidecar.exited;
  assert.match((await run(drain)).stderr, /WF2182/);
});
