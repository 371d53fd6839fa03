import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import { type OnDemandAnswer, withOnDemand } from "./on-demand.ts";
import { parseQuestion } from "./question.ts";
import type { ProxyResources } from "./resources.ts";

const table = (name: string, hosts: readonly string[], asks = true): RouteConfigurationJson => ({
  name,
  virtualHosts: [...hosts, "*"].map((domain) => ({ name: domain, domains: [domain] })),
  ...(asks ? { vhds: { configSource: { ads: {} } } } : {}),
});
const resourcesOf = (...tables: readonly RouteConfigurationJson[]): ProxyResources => ({
  listeners: [],
  routes: new Map(tables.map((one) => [one.name ?? "", one])),
  clusters: new Map([["outbound|80||a", { name: "outbound|80||a" }]]),
  endpoints: new Map(),
  live: undefined,
});
const question = (destination: string) =>
  parseQuestion({ destination, method: undefined, path: undefined, headers: [] });
const given: OnDemandAnswer = {
  onDemand: true,
  virtualHost: { name: "b:80", domains: ["b"] },
  clusters: [{ name: "outbound|80||b" }],
  endpoints: [{ clusterName: "outbound|80||b" }],
};

test("a host that the proxy has is nothing to ask for, nor one of a table that is whole or of another port", async () => {
  const resources = resourcesOf(table("80", ["a"]), table("81", []), table("http_proxy", [], false));
  const asked: string[] = [];
  const { steps, resources: same } = await withOnDemand(resources, question("a"), async (one) => void asked.push(one));
  assert.deepEqual([asked, steps, same === resources], [[], [], true]);
});

test("what the first request brings is added to what the proxy has, which is not touched", async () => {
  const resources = resourcesOf(table("http_proxy", ["a"]));
  const asked: string[] = [];
  const { steps, resources: now } = await withOnDemand(resources, question("b"), async (one) => {
    asked.push(one);
    return given;
  });
  assert.deepEqual(asked, ["http_proxy/b"]);
  assert.match(steps[0]?.found ?? "", /^b is not asked for yet$/);
  assert.match(steps[0]?.notes[0] ?? "", /waits until/);
  assert.deepEqual(
    now.routes.get("http_proxy")?.virtualHosts?.map(({ name }) => name),
    ["a", "*", "b:80"],
  );
  assert.deepEqual(
    [[...now.clusters.keys()].sort(), [...now.endpoints.keys()]],
    [["outbound|80||a", "outbound|80||b"], ["outbound|80||b"]],
  );
  assert.equal(resources.routes.get("http_proxy")?.virtualHosts?.length, 2);
});

test("a host nobody knows, and a control plane that cannot be asked, are told apart", async () => {
  const resources = resourcesOf(table("http_proxy", []));
  const noteOf = async (answer: OnDemandAnswer | undefined): Promise<string> => {
    const { steps, resources: same } = await withOnDemand(resources, question("b"), async () => answer);
    assert.equal(same, resources);
    return steps[0]?.notes[0] ?? "";
  };
  assert.match(await noteOf({ onDemand: true }), /knows no such host/);
  assert.match(await noteOf(undefined), /cannot be asked now/);
});
