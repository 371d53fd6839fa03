/** Most of a service of weft's own registry stops renewing at once: it is held, whoever keeps the registry. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar } from "@weft/testkit/sidecar";
import { startReplicas } from "./replicas.ts";

const ids = ["a", "b", "c"] as const;
const path = (id: string): string => `/v1/registry/shop/instances/${id}`;
const put = (cp: TestControlPlane, id: string, port: number) =>
  cp.api("PUT", path(id), { address: "127.0.0.1", port, servicePort: 80, protocol: "http", ttlSeconds: 2 });

/** `8001 held, 8002`, by port. */
const shown = async (cp: TestControlPlane): Promise<string> => {
  const { items } = (await cp.api("GET", "/v1/registry/shop/endpoints")) as {
    items: readonly { readonly port: number; readonly held?: string }[];
  };
  return items
    .map(({ port, held }) => (held === "expired" ? `${port} held` : `${port}`))
    .sort()
    .join(", ");
};
const becomes = (cp: TestControlPlane, wanted: string) =>
  eventually(`shop is ${wanted}`, async () => ((await shown(cp)) === wanted ? true : undefined));

const heldSaid = async (cp: TestControlPlane) => {
  const { items } = (await cp.api("GET", "/v1/registries")) as {
    items: readonly { readonly name: string; readonly held: { readonly expired: number } }[];
  };
  const findings = (await cp.api("GET", "/v1/analyze")) as { items: readonly { code: string; message: string }[] };
  return {
    held: items.find(({ name }) => name === "Registry")?.held.expired,
    finding: findings.items.find(({ code }) => code === "WF2111")?.message,
  };
};

test("a service that stops renewing is called on, over a kill of the control plane, and who renews is live again", async () => {
  using folder = makePrivateFolder("weft-held-");
  await using echo = await startEchoServer("shop");
  const options = { folder: join(folder.path, "cp") };
  await using first = await startControlPlane(options);
  await using web = await startSidecar(first, { name: "web" });
  const ports = ids.map((_, at) => (at === 0 ? echo.port : at));
  await Promise.all(ids.map((id, at) => put(first, id, ports[at] ?? 0)));
  const held = ports.map((port) => `${port} held`).sort();
  await becomes(first, held.join(", "));
  assert.deepEqual(await heldSaid(first), {
    held: 3,
    finding:
      "registry Registry: 3 instances expired with most of their service, and are kept as a last resort for 5 minutes",
  });
  const metrics = await (await fetch(`http://${first.monitoring}/metrics`)).text();
  assert.match(metrics, /\nweft_registry_held\{source="Registry"\} 3\n/);
  // One that is there as ever is preferred to all that are held, and only for as long as it is.
  await put(first, "a", echo.port);
  await eventually("the one that registered again is called and nothing else", async () => {
    const statuses = await Promise.all(
      Array.from({ length: 6 }, async () => (await callHttp(web.outbound, { host: "shop", path: "/" })).status),
    );
    return statuses.every((status) => status === 200) ? true : undefined;
  });
  await becomes(first, held.join(", "));
  first.program.kill("SIGKILL");
  await first.program.exited;

  const { xds, secure, http } = first;
  await using again = await startControlPlane({ ...options, addresses: { xds, secure, http } });
  assert.equal(await shown(again), held.join(", "));
  await again.api("DELETE", path("b"));
  await again.api("POST", `${path("a")}/heartbeat`);
  assert.match(await shown(again), new RegExp(`${echo.port}(,|$)`));
  assert.equal((await heldSaid(again)).held, 1);
});

test("replicas that share a store hold the same, and a heartbeat at any of them ends it at all", async () => {
  await using replicas = await startReplicas();
  const [one, two, three] = replicas.all;
  await Promise.all(ids.map((id, at) => put([one, two, three][at]?.cp ?? one.cp, id, 7001 + at)));
  for (const { cp } of replicas.all) await becomes(cp, "7001 held, 7002 held, 7003 held");
  for (const { cp } of replicas.all) assert.equal((await heldSaid(cp)).held, 3);
  await three.kill();
  await three.restart();
  assert.equal(await shown(three.cp), "7001 held, 7002 held, 7003 held");
  await two.cp.api("PUT", path("a"), {
    ...{ address: "127.0.0.1", port: 7001, servicePort: 80, protocol: "http", ttlSeconds: 600 },
  });
  await three.cp.api("DELETE", path("c"));
  for (const { cp } of replicas.all) await becomes(cp, "7001, 7002 held");
});
