import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { any, type ResourceKind } from "@weft/xds/resource";
import type { Rejection, ResourceChange } from "../runtime/data-plane.ts";
import { createResourceStore } from "./resource-store.ts";

const setup = () => {
  const batches: string[][] = [];
  const refusing = new Map<string, string>();
  const late = new Map<string, string>();
  let nowMs = 0;
  const show = ({ kind, name, json }: ResourceChange): string => `${json === undefined ? "-" : "+"}${kind} ${name}`;
  const store = createResourceStore({
    dataPlane: {
      apply: (changes) => {
        batches.push(changes.map(show));
        return changes.flatMap(({ kind, name }): Rejection[] => {
          const reason = late.get(name);
          return reason === undefined ? [] : [{ kind, name, reason }];
        });
      },
      check: ({ kind, name }) => {
        const reason = refusing.get(name);
        return reason === undefined ? undefined : { kind, name, reason };
      },
    },
    clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    log: silentLogger,
  });
  const offer = (of: ResourceKind, ...jsons: readonly object[]): readonly Rejection[] =>
    store.offer(
      "ads",
      of,
      jsons.map((json) => {
        const { name, clusterName } = json as { name?: string; clusterName?: string };
        return { name: name ?? clusterName ?? "", version: "1", json };
      }),
    );
  const remove = (of: ResourceKind, name: string) => store.offer("ads", of, [{ name, version: "", json: undefined }]);
  const take = (): string[][] => batches.splice(0);
  return { store, offer, remove, take, refusing, late, pass: (ms: number) => (nowMs += ms) };
};

const eds = (name: string, extra: object = {}) => ({
  name,
  type: "EDS",
  edsClusterConfig: { edsConfig: { ads: {} } },
  ...extra,
});
const rds = (name: string, route: string, fetchTimeout?: string) => ({
  name,
  filterChains: [
    {
      filters: [
        {
          name: "http",
          typedConfig: any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
            rds: {
              routeConfigName: route,
              configSource: { ads: {}, ...(fetchTimeout ? { initialFetchTimeout: fetchTimeout } : {}) },
            },
          }),
        },
      ],
    },
  ],
});
const secured = (name: string, secret: string) => ({
  name,
  filterChains: [
    {
      transportSocket: {
        name: "tls",
        typedConfig: any("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", {
          commonTlsContext: {
            tlsCertificateSdsSecretConfigs: [
              {
                name: secret,
                sdsConfig: {
                  apiConfigSource: { apiType: "GRPC", grpcServices: [{ envoyGrpc: { clusterName: "sds-grpc" } }] },
                  initialFetchTimeout: "0s",
                },
              },
            ],
          },
        }),
      },
    },
  ],
});
const fixed = (name: string) => ({ name, type: "STATIC" });

test("a cluster waits for its endpoints and takes effect together with them", () => {
  const { store, offer, take } = setup();
  offer("cluster", fixed("s"), eds("a"));
  assert.deepEqual(take(), [["+cluster s"]]);
  assert.deepEqual(store.waiting(), [{ of: "cluster", name: "a", needs: ["endpoints a"] }]);
  offer("endpoints", { clusterName: "a" });
  assert.deepEqual(take(), [["+cluster a", "+endpoints a"]]);
  assert.deepEqual(store.waiting(), []);
});

test("a changed cluster keeps its cached endpoints and does not wait", () => {
  const { offer, take } = setup();
  offer("cluster", eds("a"));
  offer("endpoints", { clusterName: "a" });
  take();
  offer("cluster", eds("a", { connectTimeout: "1s" }));
  assert.deepEqual(take(), [["+cluster a", "+endpoints a"]]);
});

test("a listener waits for its route table; until then the former one stays", () => {
  const { store, offer, take } = setup();
  offer("listener", rds("l", "80"));
  offer("route", { name: "80" });
  assert.deepEqual(take(), [["+route 80", "+listener l"]]);
  offer("listener", rds("l", "81"));
  assert.deepEqual(take(), []);
  assert.ok(store.entries("listener").get("l")?.active);
  offer("route", { name: "81" });
  assert.deepEqual(take(), [["+route 81", "+listener l"], ["-route 80"]]);
});

test("a listener waits for the keys it names, whoever provides them", () => {
  const { store, offer, take } = setup();
  offer("listener", secured("l", "default"));
  assert.deepEqual(take(), []);
  store.offer("identity", "secret", [{ name: "default", version: "1", json: { name: "default" } }]);
  assert.deepEqual(take(), [["+secret default", "+listener l"]]);
});

test("at first listeners wait for clusters too, later they do not", () => {
  const { offer, take } = setup();
  offer("cluster", eds("a"));
  offer("listener", rds("l", "80"));
  offer("route", { name: "80" });
  assert.deepEqual(take(), []);
  offer("endpoints", { clusterName: "a" });
  assert.deepEqual(take(), [["+cluster a", "+endpoints a", "+route 80", "+listener l"]]);
  offer("cluster", eds("b"));
  offer("listener", rds("m", "80"));
  assert.deepEqual(take(), [["+route 80", "+listener m"]]);
});

test("a missing resource ends the wait, unless the configuration waits for ever", () => {
  const { store, offer, take } = setup();
  offer("listener", rds("l", "80"), rds("patient", "81", "0s"));
  store.missing("route", "80");
  store.missing("route", "81");
  assert.deepEqual(take(), [["+listener l"]]);
  assert.deepEqual(
    store.waiting().map(({ name }) => name),
    ["patient"],
  );
});

test("a new resource gives up waiting by itself, a changed one leaves the former in force", () => {
  const { store, offer, take, pass } = setup();
  offer("listener", rds("l", "80"));
  assert.equal(store.deadlineMs(), 15_000);
  pass(15_000);
  store.tick();
  assert.deepEqual(take(), [["+listener l"]]);
  offer("listener", rds("l", "81"));
  assert.equal(store.deadlineMs(), undefined);
  pass(60_000);
  store.tick();
  assert.deepEqual(take(), []);
});

test("a refused resource is named with its reason and leaves the former in force; the others go on", () => {
  const { store, offer, take, refusing } = setup();
  offer("cluster", fixed("a"));
  take();
  refusing.set("a", "type: not supported");
  const rejections = offer("cluster", fixed("a"), fixed("b"));
  assert.deepEqual(rejections, [{ kind: "cluster", name: "a", reason: "type: not supported" }]);
  assert.deepEqual(take(), [["+cluster b"]]);
  assert.equal(store.entries("cluster").get("a")?.error?.reason, "type: not supported");
  assert.ok(store.entries("cluster").get("a")?.active);
});

test("what is refused only when it takes effect is refused as well", () => {
  const { store, offer, late } = setup();
  late.set("a", "no such file");
  assert.deepEqual(offer("cluster", fixed("a"), fixed("b")), [{ kind: "cluster", name: "a", reason: "no such file" }]);
  assert.equal(store.entries("cluster").get("a")?.active, undefined);
  assert.ok(store.entries("cluster").get("b")?.active);
});

test("removals come last in a batch, and endpoints go with the cluster that used them", () => {
  const { offer, remove, take } = setup();
  offer("cluster", eds("a"));
  offer("endpoints", { clusterName: "a" });
  take();
  remove("cluster", "a");
  assert.deepEqual(take(), [["-cluster a", "-endpoints a"]]);
});

test("endpoints and routes that the server says are gone stay while something uses them", () => {
  const { store, offer, remove, take } = setup();
  offer("cluster", eds("a"));
  offer("endpoints", { clusterName: "a" });
  take();
  remove("endpoints", "a");
  assert.deepEqual(take(), []);
  assert.ok(store.entries("endpoints").get("a")?.active);
});

test("endpoints that do not exist end their cluster's wait", () => {
  const { offer, remove, take } = setup();
  offer("cluster", eds("a"));
  remove("endpoints", "a");
  assert.deepEqual(take(), [["+cluster a"]]);
});

test("static resources cannot be replaced or removed by a server", () => {
  const { store, offer, remove, take } = setup();
  store.offer("static", "cluster", [{ name: "a", version: "", json: fixed("a") as never }]);
  take();
  assert.match(offer("cluster", fixed("a"))[0]?.reason ?? "", /already given by static/);
  assert.deepEqual(remove("cluster", "a"), []);
  assert.deepEqual(take(), []);
});

test("what is wanted follows references of active and warming resources", () => {
  const { store, offer, remove } = setup();
  offer("cluster", eds("a", { edsClusterConfig: { serviceName: "svc", edsConfig: { ads: {} } } }), eds("b"));
  offer("listener", rds("l", "80"), secured("m", "default"));
  const wanted = () =>
    store
      .wants()
      .map(({ of, source, names }) => [of, source.kind, [...names].sort().join()].join(" "))
      .sort();
  assert.deepEqual(wanted(), ["endpoints ads b,svc", "route ads 80", "secret api default"]);
  remove("cluster", "b");
  remove("listener", "l");
  assert.deepEqual(wanted(), ["endpoints ads svc", "secret api default"]);
});
