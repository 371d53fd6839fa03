import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatAddress } from "@weft/core/address";
import { openTestPlane, type TestPlane } from "../../testing/plane.ts";
import type { NamedRegistry } from "./named-registries.ts";
import type { SourceEvent } from "./source-events.ts";
import { testInstance } from "./testing/instance.ts";

/** A registry whose driver says what a test has it say. */
const registry = (name: string, first: readonly SourceEvent[]) => {
  let emit: (event: SourceEvent) => void = () => {};
  const named: NamedRegistry = {
    ...{ name, url: `${name}://host:1/x`, content: `${name}:/x` },
    open: (tools) => {
      emit = tools.emit;
      const timer = tools.setTimer(() => first.forEach(emit), 0);
      return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
    },
  };
  return { named, tell: (event: SourceEvent) => emit(event) };
};
const listed = (...ids: readonly string[]): SourceEvent => ({
  kind: "listed",
  instances: ids.map((id, at) => testInstance(id, { address: `10.0.0.${at + 1}`, servicePort: 80 })),
});
const connected: SourceEvent = { kind: "connected" };

interface Items {
  readonly items: readonly Record<string, unknown>[];
}
const items = async ({ api }: TestPlane, path: string) => (await api<Items>(path)).body.items;
/** What a turn of the event loop commits is there after the next answer of the API. */
const settled = ({ api }: TestPlane) => api("/v1/registry");
const addresses = async (plane: TestPlane, service = "web") =>
  (await items(plane, `/v1/registry/${service}/endpoints`)).map(({ address, held }) => `${address}${held ? "?" : ""}`);

test("a control plane serves what its registries have from its first answer on, and says how each is", async () => {
  const etcd = registry("etcd", [connected, listed("a", "b")]);
  await using plane = await openTestPlane({ registries: [etcd.named] });
  assert.deepEqual(await addresses(plane), ["10.0.0.1", "10.0.0.2"]);
  const [own, outside] = await items(plane, "/v1/registries");
  assert.deepEqual([own?.name, own?.state], ["Registry", "live"]);
  assert.deepEqual(
    [outside?.name, outside?.url, outside?.state, outside?.ageSeconds, outside?.services, outside?.instances],
    ["etcd", "etcd://host:1/x", "live", 0, 1, 2],
  );

  etcd.tell({ kind: "unreadable", key: "/x/bad", problem: "no JSON" });
  etcd.tell(listed("a"));
  etcd.tell({ kind: "lost", reason: "refused" });
  await settled(plane);
  assert.deepEqual(await addresses(plane), ["10.0.0.1", "10.0.0.2?"]);
  const findings = await items(plane, "/v1/analyze");
  assert.deepEqual(
    findings.map(({ code, message }) => `${code} ${String(message).replace(/\d+ s old/, "N s old")}`).sort(),
    [
      "WF2110 registry etcd: out of reach (refused); its last view stays, N s old",
      "WF2111 registry etcd: 1 instances are missing from its list, and are kept as a last resort for 5 minutes",
      "WF2112 registry etcd: /x/bad: no JSON",
    ],
  );
  const metrics = await (await fetch(`http://${formatAddress(plane.plane.monitoring)}/metrics`)).text();
  for (const line of [
    'weft_registry_connected{source="etcd"} 0',
    'weft_registry_instances{source="Registry"} 0',
    'weft_registry_instances{source="etcd"} 2',
    'weft_registry_held{source="etcd"} 1',
    'weft_registry_events_total{source="etcd",kind="listed"} 2',
  ])
    assert.ok(metrics.includes(`\n${line}\n`), line);
  assert.match(metrics, /\nweft_registry_age_seconds\{source="etcd"\} [\d.e-]+\n/);
});

test("a registry that was never read is said to have no view, rather than an old one", async () => {
  const etcd = registry("etcd", [{ kind: "lost", reason: "refused" }]);
  await using plane = await openTestPlane({ registries: [etcd.named] });
  const findings = async () =>
    (await items(plane, "/v1/analyze")).map(({ message }) => String(message).replace(/\d+ s/, "N s"));
  assert.deepEqual(await findings(), ["registry etcd: out of reach (refused); nothing is known of it, for N s"]);
  for (const event of [connected, listed(), { kind: "lost", reason: "refused" } as const]) etcd.tell(event);
  assert.deepEqual(await findings(), ["registry etcd: out of reach (refused); its last view stays, N s old"]);
});

test("a service of two registries is merged: the first named has its ports, what differs is a conflict", async () => {
  const one = registry("one", [connected, listed("a")]);
  const instance = testInstance("x", { address: "10.1.0.1", servicePort: 80, protocol: "grpc" });
  const other = testInstance("y", { address: "10.1.0.2", servicePort: 81 });
  const two = registry("two", [connected, { kind: "listed", instances: [instance, other] }]);
  await using plane = await openTestPlane({ registries: [one.named, two.named] });
  const { body } = await plane.api<Record<string, unknown>>("/v1/registry/web");
  assert.deepEqual(body.sources, ["one", "two"]);
  assert.deepEqual(body.conflicts, [
    "port 80 is http for one and grpc for two",
    "port 81 is known to two only, and is left out",
  ]);
  assert.deepEqual(await addresses(plane), ["10.0.0.1", "10.1.0.1"]);
});

test("configuration may name a service that only an outside registry has", async () => {
  await using plane = await openTestPlane({ registries: [registry("etcd", [connected, listed("a")]).named] });
  const virtualService = (host: string) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${host}, namespace: shop }
spec: { hosts: [${host}.shop.svc.cluster.local], http: [{ route: [{ destination: { host: ${host} } }] }] }
`;
  const apply = (body: string) => plane.api("/v1/config/apply", { method: "POST", body });
  await apply(virtualService("web"));
  assert.deepEqual(await items(plane, "/v1/analyze"), []);
  await apply(virtualService("nobody"));
  assert.equal((await items(plane, "/v1/analyze"))[0]?.name, "nobody");
});

test("a start without an answer begins with what was kept; without that it waits for the list", async () => {
  const etcd = registry("etcd", [connected, listed("a")]);
  await using before = await openTestPlane({ registries: [etcd.named] });
  const { folder } = before;
  await before.plane[Symbol.asyncDispose]();
  const silent = registry("etcd", []);
  {
    await using after = await openTestPlane({ folder, registries: [silent.named] });
    assert.deepEqual(await addresses(after), ["10.0.0.1"]);
    const source = (await items(after, "/v1/registries"))[1];
    assert.equal(source?.state, "starting");
  }
  rmSync(join(folder, "data", "registries"), { recursive: true });
  await using again = await openTestPlane({ folder, registries: [registry("etcd", [connected, listed("b")]).named] });
  assert.deepEqual(await addresses(again), ["10.0.0.1"]);
});

test("what is over a bound is a finding with its place and count, and a number of the source and of a metric", async () => {
  const left = (key: string, count: number): SourceEvent => ({
    ...{ kind: "left-out", key, left: { what: "keys", count, max: 2 } },
  });
  const etcd = registry("etcd", [connected, left("/x/", 7), left("/y/", 2), listed("a", "b")]);
  await using plane = await openTestPlane({ registries: [etcd.named] });
  await settled(plane);
  const [, source] = await items(plane, "/v1/registries");
  assert.deepEqual([source?.leftOut, source?.refused], [9, 0]);
  const [first] = (source?.leftOutOf ?? []) as readonly object[];
  assert.deepEqual(first, { key: "/x/", what: "keys", count: 7, max: 2 });
  const found = (await items(plane, "/v1/analyze")).filter(({ code }) => code === "WF2290");
  assert.equal(found.length, 2);
  assert.match(String(found[0]?.message), /^registry etcd: \/x\/ has 7 keys over the 2 that are read; .*: delete what/);
  const metrics = await (await fetch(`http://${formatAddress(plane.plane.monitoring)}/metrics`)).text();
  assert.ok(metrics.includes('\nweft_registry_left_out{source="etcd"} 9\n'));
  etcd.tell(left("/x/", 0));
  etcd.tell(left("/y/", 0));
  assert.equal((await items(plane, "/v1/analyze")).filter(({ code }) => code === "WF2290").length, 0);
});
