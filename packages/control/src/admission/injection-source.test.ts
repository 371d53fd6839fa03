import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { eventually } from "@weft/testkit/eventually";
import { type InjectionSource, openInjectionSource } from "./injection-source.ts";

/** A cluster of one new node, with that ConfigMap; none of it until the promise is kept. */
const server = (values: string | undefined, there: Promise<unknown> = Promise.resolve()): KubernetesApi => ({
  cluster: "test",
  server: "https://test",
  async call({ path }) {
    await there;
    if (path.includes("/nodes")) return { items: [{ status: { nodeInfo: { kubeletVersion: "v1.33.1" } } }] };
    if (!path.includes("/configmaps/")) return { metadata: { resourceVersion: "1" }, items: [] };
    if (values === undefined) throw new KubernetesError(404, "NotFound", "no such thing");
    return { data: { values } };
  },
  watch: () => {},
  probe: () => Promise.resolve(),
  leaveConnections: () => {},
  [Symbol.dispose]: () => {},
});

const open = (api: KubernetesApi): InjectionSource =>
  openInjectionSource({
    ...{ api, namespace: "mesh", revision: "default", trustDomain: "shop.example" },
    place: { namespace: "mesh", sidecarImage: "reg.example/weft:7" },
    ...{ clock: realClock, setTimer: setRealTimer, random: () => 0.5, log: silentLogger },
  });
const read = (source: InjectionSource) =>
  eventually("the values are read", () => {
    const settings = source.settings("shop", {});
    return settings.unread ? undefined : settings;
  });

test("values that say only resources leave the rest as the control plane was installed", async () => {
  const resources = { requests: { cpu: "70m" } };
  using source = open(server(`global: {proxy: {resources: ${JSON.stringify(resources)}}}`));
  const { values, nativeSidecars } = await read(source);
  assert.deepEqual(values.resources, resources);
  assert.deepEqual(
    [values.image, values.systemNamespace, values.trustDomain, nativeSidecars],
    ["reg.example/weft:7", "mesh", "shop.example", true],
  );
});

test("without a ConfigMap, and with one that cannot be used, pods are injected as by default", async () => {
  for (const values of [undefined, "global: [", "global: {proxy: {resources: {requests: {cpu: much}}}}"]) {
    using source = open(server(values));
    assert.equal((await read(source)).values.image, "reg.example/weft:7");
  }
});

test("nothing is injected before it is known what", async () => {
  const there = Promise.withResolvers<void>();
  using source = open(server("global: {proxy: {logLevel: debug}}", there.promise));
  for (let turn = 0; turn < 5; turn++) {
    assert.equal(source.settings("shop", {}).unread, true);
    await new Promise((resolve) => setImmediate(resolve));
  }
  there.resolve();
  assert.equal((await read(source)).values.logLevel, "debug");
});
