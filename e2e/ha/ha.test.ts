/** Three control planes share an etcd: any of them can go, and so can etcd; what was acknowledged stays. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { createCertificatePath } from "@weft/control/ca/ca-service";
import { parseAddress } from "@weft/core/address";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { createCsr } from "@weft/protocols/x509/csr";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startProgram } from "@weft/testkit/processes";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { startLoad } from "@weft/testkit/steady-load";
import { decodeMessage, encodeMessage } from "@weft/xds/codec";
import { IstioCertificateRequestSchema, IstioCertificateResponseSchema } from "@weft/xds/gen/istio/ca";
import { encodeLoadReport, streamLoadStatsPath } from "@weft/xds/load-reports";
import { deltaState } from "./delta-state.ts";
import { type Replica, type Replicas, startReplicas } from "./replicas.ts";

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;
const entry = (name: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}}
spec:
  hosts: [${name}.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.9.9.9}]
`;
const get = { host: "catalog", path: "/items/1" };

const stack = new AsyncDisposableStack();
let replicas: Replicas;
let app: EchoServer;
let web: TestSidecar;
before(async () => {
  replicas = stack.use(await startReplicas(strict));
  app = stack.use(await startEchoServer("catalog"));
  const ofCatalog = { service: "catalog", appPort: app.port };
  stack.use(await startSidecar(replicas.together, { name: "catalog-a", ...ofCatalog }));
  stack.use(await startSidecar(replicas.together, { name: "catalog-b", ...ofCatalog }));
  web = stack.use(await startSidecar(replicas.together, { name: "web" }));
  await eventually("catalog answers", async () =>
    (await callHttp(web.outbound, get)).status === 200 ? true : undefined,
  );
});
after(() => stack.disposeAsync());

const instance = (port: number, more: object = {}) => ({ address: "127.0.0.1", port, servicePort: 80, ...more });
const put = (cp: TestControlPlane, service: string, port: number, more: object = {}) =>
  cp.api("PUT", `/v1/registry/${service}/instances/i${port}`, instance(port, more));
const portsAt = async (cp: TestControlPlane, service: string): Promise<string> => {
  const { items } = (await cp.api("GET", "/v1/registry")) as { items: readonly { name: string }[] };
  if (!items.some(({ name }) => name === service)) return "";
  const { items: found } = (await cp.api("GET", `/v1/registry/${service}/endpoints`)) as {
    items: readonly { port: number }[];
  };
  return found
    .map(({ port }) => port)
    .sort()
    .join(" ");
};
const everywhere = (service: string, wanted: string, of = replicas.all) =>
  eventually(`${service} is ${wanted || "gone"} everywhere`, async () => {
    const seen = await Promise.all(of.map(({ cp }) => portsAt(cp, service)));
    return seen.every((ports) => ports === wanted) ? true : undefined;
  });

/** The answer of one replica's API, whatever its status. */
const ask = async ({ http, adminTokenFile }: TestControlPlane, method: string, path: string, body?: object) => {
  const response = await fetch(`http://${http}${path}`, {
    method,
    headers: { authorization: `Bearer ${readFileSync(adminTokenFile, "utf8").trim()}` },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const { code = "" } = (await response.json()) as { code?: string };
  return { status: response.status, code, retryAfter: response.headers.get("retry-after") };
};

/** A channel to a replica's secure port; with a certificate it shows that. */
const secureChannel = (cp: TestControlPlane, own: { readonly key?: string; readonly certificate?: string } = {}) => {
  const address = parseAddress(cp.secure);
  if (!address) throw new Error("no address");
  return createGrpcChannel({
    target: { kind: "tcp", ...address },
    tls: () => ({ roots: readFileSync(cp.rootCertFile, "utf8"), serverName: "localhost", ...own }),
  });
};

const certificateWithKey = async (cp: TestControlPlane, token: string, name: string) => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const csr = createCsr(privateKey, {
    ...{ uris: [`spiffe://cluster.local/ns/default/sa/${name}`], dnsNames: [], ipAddresses: [] },
  });
  using channel = secureChannel(cp);
  const call = { path: createCertificatePath, deadlineMs: 20_000, metadata: { authorization: `Bearer ${token}` } };
  const answer = await channel.unary(call, encodeMessage(IstioCertificateRequestSchema, { csr }));
  const chain = (decodeMessage(IstioCertificateResponseSchema, answer) as { certChain: string[] }).certChain;
  return { chain, key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
};
const certificate = async (cp: TestControlPlane, token: string, name: string): Promise<readonly string[]> =>
  (await certificateWithKey(cp, token, name)).chain;

test("what is registered or applied at any replica is at all of them, and all send the same bytes", async () => {
  const [one, two, three] = replicas.all;
  await Promise.all([put(one.cp, "shop", 7001), put(two.cp, "shop", 7002), put(three.cp, "shop", 7003)]);
  await everywhere("shop", "7001 7002 7003");
  await Promise.all(replicas.all.map(({ cp }, i) => cp.apply(entry(`e${i}`))));
  const clusters = ["outbound|80||shop.default.svc.cluster.local", "outbound|80||catalog.default.svc.cluster.local"];
  const same = await eventually("all replicas send the same", async () => {
    const states = await Promise.all(replicas.all.map(({ cp }) => deltaState(cp.xds, clusters)));
    const [first, ...others] = states.map(({ resources }) => JSON.stringify([...resources].sort()));
    return states[0] && first?.includes("e2.example") && others.every((other) => other === first)
      ? states[0]
      : undefined;
  });
  assert.ok(["e0", "e1", "e2", "shop"].every((name) => [...same.resources.keys()].some((key) => key.includes(name))));
  // A sidecar that comes over from another replica says what it has, and is sent nothing of it again.
  const again = await deltaState(two.cp.xds, clusters, same.resources);
  assert.equal(again.resources.size, 0, [...again.resources.keys()].join());
  // The heads of four answers that hold nothing.
  assert.ok(again.bytes < 400, `${again.bytes} bytes again, ${same.bytes} at first`);
});

test("a time to live that ends takes the instance out once, at the same version everywhere", async () => {
  const [one, two] = replicas.all;
  const { resourceVersion: since } = (
    (await one.cp.api("GET", "/v1/registry")) as { summary: { resourceVersion: number } }
  ).summary;
  await put(two.cp, "brief", 7100, { ttlSeconds: 2 });
  await everywhere("brief", "7100");
  await everywhere("brief", "");
  const told = await Promise.all(
    replicas.all.map(async ({ cp }) => {
      const until = new AbortController();
      const response = await fetch(`http://${cp.http}/v1/registry/watch?since=${since}`, { signal: until.signal });
      let text = "";
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        text += Buffer.from(chunk).toString();
        if (text.includes('"DELETED"')) break;
      }
      until.abort();
      const events = text
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { type: string; object: { service: string }; resourceVersion: number });
      return events
        .filter(({ object }) => object.service === "brief")
        .map(({ type, resourceVersion }) => `${type} ${resourceVersion}`);
    }),
  );
  assert.deepEqual(
    told[0]?.map((line) => line.split(" ")[0]),
    ["ADDED", "DELETED"],
  );
  for (const other of told) assert.deepEqual(other, told[0]);
});

test("a token for one use that two replicas are shown at once is taken by exactly one", async () => {
  const [one, two, three] = replicas.all;
  for (let round = 0; round < 3; round++) {
    const { token } = (await three.cp.api("POST", "/v1/tokens", {})) as { token: string };
    const raced = await Promise.allSettled([one, two].map(({ cp }) => certificate(cp, token, "racer")));
    assert.deepEqual(raced.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    await assert.rejects(() => certificate(three.cp, token, "racer"), /WF7110/);
  }
  const { id, token } = (await one.cp.api("POST", "/v1/tokens", { uses: "unlimited" })) as {
    id: string;
    token: string;
  };
  const chain = await certificate(two.cp, token, "racer");
  assert.equal(chain.length, 3);
  assert.equal(chain.at(-1), readFileSync(three.cp.rootCertFile, "utf8"));
  await two.cp.api("DELETE", `/v1/tokens/${id}`);
  await assert.rejects(() => certificate(two.cp, token, "racer"), /WF7110/);
});

/** What each of those replicas counts of proxies, over all of them. */
const counted = (wanted: object, of: readonly Replica[] = replicas.all) =>
  eventually(`${JSON.stringify(wanted)} is counted`, async () => {
    const answers = await Promise.all(
      of.map(async ({ cp }) => (await cp.api("GET", "/v1/proxies")) as { summary: { everywhere: object } }),
    );
    return answers.every(({ summary }) => isDeepStrictEqual({ ...summary.everywhere, ...wanted }, summary.everywhere));
  });

test("each replica counts the proxies of all, and says whose record is none", { timeout: 20_000 }, async () => {
  await counted({ controlPlanes: 3, proxies: 3, synced: 3, silent: 0 });
  const connected = await Promise.all(
    replicas.all.map(async ({ cp }) => ((await cp.api("GET", "/v1/proxies")) as { items: unknown[] }).items.length),
  );
  // Each is connected to one, so no replica but one, if any, could count them all by itself.
  assert.equal(
    connected.reduce((sum, count) => sum + count),
    3,
    `${connected}`,
  );
  const { etcd } = replicas;
  const lease = await etcd.grantLease(60);
  await etcd.put("/weft/replicas/liar", "{}", lease);
  await etcd.put("/weft/proxies/liar", JSON.stringify({ v: 1, total: 1e9, synced: -1 }), lease);
  await counted({ controlPlanes: 3, proxies: 3, silent: 1 });
  const { items } = (await replicas.all[0].cp.api("GET", "/v1/analyze")) as {
    items: readonly { code: string; name: string }[];
  };
  assert.deepEqual(
    items.filter(({ code }) => code === "WF2280").map(({ name }) => name),
    ["liar"],
  );
  await etcd.delete("/weft/replicas/liar");
  await etcd.delete("/weft/proxies/liar");
  await counted({ controlPlanes: 3, proxies: 3, silent: 0 });
});

test("what a proxy reports to one replica all of them send, in the same bytes, until its replica is gone", {
  timeout: 60_000,
}, async () => {
  const [one, two, three] = replicas.all;
  const [first, second] = ["10.9.1.1", "10.9.1.2"];
  await one.cp.apply(entry("checked").replace("[{address: 10.9.9.9}]", `[{address: ${first}}, {address: ${second}}]`));
  const { token } = (await one.cp.api("POST", "/v1/tokens", {})) as { token: string };
  const { chain, key } = await certificateWithKey(one.cp, token, "checker");
  using channel = secureChannel(one.cp, { key, certificate: chain.join("") });
  const stream = channel.open({ path: streamLoadStatsPath }, { onMessage: () => {}, onEnd: () => {} });
  const cluster = { cluster: "outbound|80||checked.example", service: "", dropped: 0, intervalMs: 1, localities: [] };
  const clusters = [
    { ...cluster, checksHosts: true as const, unhealthy: [{ address: `${first}:80`, flags: "/failed_active_hc" }] },
  ];
  const node = {
    id: "sidecar~10.0.0.1~checker.default~default.svc.cluster.local",
    metadata: { NAMESPACE: "default", SERVICE_ACCOUNT: "checker" },
  };
  stream.send(encodeLoadReport({ node, clusters }));
  const sentAs = async ({ cp }: Replica): Promise<string> => {
    const { items } = (await cp.api("GET", "/v1/registry/checked.example/endpoints")) as {
      items: readonly { address: string; sentAs: string }[];
    };
    return items.find(({ address }) => address === first)?.sentAs ?? "";
  };
  const all = (wanted: string, of: readonly Replica[]) =>
    eventually(`${first} is ${wanted} at all replicas`, async () =>
      (await Promise.all(of.map(sentAs))).every((seen) => seen === wanted) ? true : undefined,
    );
  await all("unhealthy", replicas.all);
  const states = await Promise.all(replicas.all.map(({ cp }) => deltaState(cp.xds, [cluster.cluster])));
  const [bytes, ...others] = states.map(({ resources }) => JSON.stringify([...resources].sort()));
  for (const other of others) assert.equal(other, bytes);
  await one.kill();
  await all("healthy", [two, three]);
  await counted({ controlPlanes: 2, proxies: 3, synced: 3, silent: 0 }, [two, three]);
  await one.restart();
});

test("sidecars whose certificates come from different replicas speak strict TLS with each other", async () => {
  for (const [i, { cp }] of replicas.all.entries()) {
    await using own = await startSidecar(cp, { name: `caller-${i}` });
    await eventually(`the sidecar of replica ${i} is answered`, async () =>
      (await callHttp(own.outbound, get)).status === 200 ? true : undefined,
    );
  }
});

test("each replica in turn is killed under load: nothing fails, and who was with it hears of changes from another", {
  timeout: 120_000,
}, async () => {
  await using load = startLoad(web.outbound, get, ({ status }) => status === 200, 2);
  await load.more(20);
  for (const [i, replica] of replicas.all.entries()) {
    await replica.kill();
    const other = replicas.all[(i + 1) % 3]?.cp as TestControlPlane;
    const host = `late${i}`;
    await put(other, host, app.port);
    await eventually(`${host} is known to the sidecar`, async () =>
      (await callHttp(web.outbound, { host })).status === 200 ? true : undefined,
    );
    await load.more(20);
    await replica.restart();
    await everywhere(host, `${app.port}`);
  }
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test("a replica that is cut off from etcd reads on and refuses changes; mended it has what it missed", async () => {
  const [one, two] = replicas.all;
  one.way.cut();
  await eventually("changes are refused there", async () => {
    const { status, code, retryAfter } = await ask(one.cp, "PUT", "/v1/registry/cut/instances/a", instance(7200));
    return status === 503 && code === "WF2202" && Number(retryAfter) > 0 ? true : undefined;
  });
  assert.equal((await ask(one.cp, "POST", "/v1/tokens", {})).code, "WF2202");
  assert.equal((await ask(one.cp, "DELETE", "/v1/registry/shop/instances/i7001")).code, "WF2202");
  assert.equal(await portsAt(one.cp, "shop"), "7001 7002 7003");
  await put(two.cp, "cut", 7201);
  assert.equal(await portsAt(one.cp, "cut"), "");
  // Commands that know all of them ask the next.
  const all = replicas.all.map(({ cp }) => cp.http).join(",");
  await using command = startProgram(process.execPath, [
    ...["packages/cli/src/bin/weft.ts", "token", "--cp", all, "--token-file", one.cp.adminTokenFile],
  ]);
  await command.waitFor(/^weft\.[0-9a-f]+\./);
  one.way.mend();
  await everywhere("cut", "7201");
  await put(one.cp, "cut", 7202);
  await everywhere("cut", "7201 7202");
});

test("etcd is killed: sidecars start and serve, a control plane starts from its disk, nothing acknowledged is lost", {
  timeout: 120_000,
}, async () => {
  const { etcd, all } = replicas;
  const acknowledged: number[] = [];
  let killing: Promise<void> | undefined;
  for (let port = 7300; port < 7400; port++) {
    const answer = await ask(
      all[port % 3]?.cp as TestControlPlane,
      "PUT",
      `/v1/registry/many/instances/i${port}`,
      instance(port),
    );
    if (answer.status === 201) acknowledged.push(port);
    else assert.equal(answer.code, "WF2202");
    if (port === 7350) killing = etcd.kill();
    if (port > 7350 && answer.status === 503) break;
  }
  await killing;
  assert.ok(acknowledged.length >= 50);
  await using late = await startSidecar(replicas.together, { name: "late" });
  await eventually("a sidecar that starts now is answered", async () =>
    (await callHttp(late.outbound, get)).status === 200 ? true : undefined,
  );
  await all[2].kill();
  await all[2].restart();
  assert.equal(await portsAt(all[2].cp, "shop"), "7001 7002 7003");
  await etcd.restart();
  await everywhere("many", acknowledged.join(" "));
  await eventually("changes are taken again", async () => {
    const answers = await Promise.all(
      all.map(({ cp }) => ask(cp, "PUT", "/v1/registry/back/instances/a", instance(7500))),
    );
    return answers.every(({ status }) => status < 300) ? true : undefined;
  });
});

test("an etcd that lost everything takes nothing away", { timeout: 90_000 }, async () => {
  const { etcd, all } = replicas;
  const before = await portsAt(all[0].cp, "shop");
  await etcd.kill();
  await etcd.restart({ empty: true });
  for (const { cp } of all) await cp.program.waitFor(/WF2205/);
  for (const { cp } of all) {
    assert.equal(await portsAt(cp, "shop"), before);
    assert.equal((await ask(cp, "PUT", "/v1/registry/x/instances/a", instance(1))).code, "WF2202");
  }
});

test("two control planes cannot have one data folder", async () => {
  await using cp = await startControlPlane();
  await using second = startProgram(process.execPath, [
    ...["packages/cli/src/bin/weft.ts", "cp", "--data", `${cp.folder}/data`, "--xds-address", "127.0.0.1:0"],
    ...["--secure-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--monitoring-address", "127.0.0.1:0"],
  ]);
  await second.waitFor(/WF2031 another control plane has/);
  assert.equal(await second.exited, 1);
});
