import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createGraph } from "@weft/core/collection";
import { silentLogger } from "@weft/core/world";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { eventually } from "@weft/testkit/eventually";
import type { EndpointRecord } from "../../model/service.ts";
import { holdMs } from "../outside/held-instances.ts";
import { readFolderLastGood } from "./folder-last-good.ts";
import { createFolderRegistry } from "./folder-registry.ts";
import { nameFolders } from "./folder-url.ts";

const entry = (host: string, port: number): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${host} }
spec:
  hosts: [${host}.example]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 10.0.0.1, ports: { http: ${port} } }]
`;
const kubernetes = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { ports: [{ port: 80, name: http, targetPort: 8080 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: shop, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [10.1.0.1] }, { addresses: [10.1.0.2] }]
`;

/** A folder and registries over it, each as after a start. */
const setup = () => {
  const root = makePrivateFolder("weft-folder-");
  const folder = join(root.path, "services");
  const data = join(root.path, "data");
  mkdirSync(folder);
  const open = () => {
    const graph = createGraph();
    const instances = graph.source<EndpointRecord>("none");
    const timers: { readonly callback: () => void; readonly delayMs: number; over: boolean }[] = [];
    let nowMs = 0;
    const registry = createFolderRegistry(graph, {
      ...{ name: "file", url: `file://${folder}`, folder, rank: 31, domain: "cluster.local", instances },
      ...{
        dataFolder: data,
        clock: { nowMs: () => nowMs, wallMs: () => 1_700_000_000_000 + nowMs },
        log: silentLogger,
      },
      setTimer: (callback, delayMs) => {
        const timer = { callback, delayMs, over: false };
        timers.push(timer);
        return {
          [Symbol.dispose]: () => {
            timer.over = true;
          },
        };
      },
    });
    registry.open(() => graph.commit());
    const endpoints = (): string =>
      [...registry.view.endpoints.values()]
        .map(({ service, address, port }) => `${service} ${address}:${port}`)
        .sort()
        .join(", ");
    const becomes = (wanted: string) => eventually(`it holds ${wanted}`, () => endpoints() === wanted || undefined);
    const pass = (ms: number): void => {
      nowMs += ms;
      for (const timer of timers) {
        if (timer.over || timer.delayMs > ms) continue;
        timer.over = true;
        timer.callback();
      }
    };
    return { registry, endpoints, becomes, pass };
  };
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  return { folder, data, open, write, [Symbol.dispose]: () => root[Symbol.dispose]() };
};
const a = "default/a.example 10.0.0.1:1";
const b = "default/b.example 10.0.0.1:2";

test("services, slices, entries and workload entries are those of a registry with its own name and rank", () => {
  using place = setup();
  place.write("web.yaml", kubernetes);
  place.write("a.yaml", entry("a", 1));
  place.write(
    "legacy.yaml",
    `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: legacy }
spec:
  hosts: [legacy.example]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  workloadSelector: { labels: { app: legacy } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: vm, labels: { app: legacy } }
spec: { address: 10.0.0.9 }
`,
  );
  const { registry, endpoints } = place.open();
  using _ = registry;
  assert.equal(
    endpoints(),
    `${a}, default/legacy.example 10.0.0.9:80, shop/web.shop.svc.cluster.local 10.1.0.1:8080, shop/web.shop.svc.cluster.local 10.1.0.2:8080`,
  );
  assert.deepEqual(
    [...registry.view.services.values()].map(({ source, rank }) => `${source} ${rank}`),
    ["file 31", "file 31", "file 31"],
  );
  const { state, ageMs, services, instances } = registry.status();
  assert.deepEqual([state, ageMs, services, instances], ["live", 0, 3, 4]);
  assert.deepEqual(registry.findings(), []);
});

test("what changes, what comes and what is taken out takes effect", async () => {
  using place = setup();
  place.write("a.yaml", entry("a", 1));
  const { registry, becomes } = place.open();
  using _ = registry;
  place.write("b.yaml", entry("b", 7));
  await becomes(`${a}, default/b.example 10.0.0.1:7`);
  place.write("b.yaml", entry("b", 2));
  await becomes(`${a}, ${b}`);
  rmSync(join(place.folder, "a.yaml"));
  await becomes(b);
});

test("what is wrong is told with file, line and column, keeps its last good form and harms no other", async () => {
  using place = setup();
  place.write("a.yaml", entry("a", 1));
  place.write("b.yaml", entry("b", 2));
  const { registry, endpoints } = place.open();
  using _ = registry;
  place.write("b.yaml", entry("b", 2).replace("resolution: STATIC", "resolution: SOMEHOW"));
  place.write("c.yaml", "kind: [");
  place.write(
    "d.yaml",
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: p }\nspec: { mtls: { mode: STRICT } }\n",
  );
  const found = () => registry.findings().map(({ code, file, line, column }) => [code, file, line, column].join(" "));
  await eventually("all is found", () => found().length >= 3 || undefined);
  assert.equal(endpoints(), `${a}, ${b}`);
  assert.ok(
    found().some((one) => one.includes(`${place.folder}/b.yaml 8 `)),
    found().join("\n"),
  );
  assert.ok(
    found().some((one) => one.includes(`${place.folder}/c.yaml 1 `)),
    found().join("\n"),
  );
  assert.ok(
    found().some((one) => one.startsWith(`WF2263 ${place.folder}/d.yaml 1 `)),
    found().join("\n"),
  );
  assert.ok([...registry.status().unreadable.keys()].some((key) => key.startsWith(`${place.folder}/b.yaml:8:`)));
});

test("a folder that is away keeps what it said and is told of; it is live again when it is back", async () => {
  using place = setup();
  place.write("a.yaml", entry("a", 1));
  const { registry, endpoints, pass } = place.open();
  using _ = registry;
  renameSync(place.folder, `${place.folder}-away`);
  await eventually("it is lost", () => registry.status().state === "lost" || undefined);
  pass(60_000);
  assert.equal(endpoints(), a);
  assert.equal(registry.status().ageMs, 60_000);
  assert.ok(registry.findings().some(({ code, message }) => code === "WF2110" && message.includes("ENOENT")));
  renameSync(`${place.folder}-away`, place.folder);
  await eventually("it is live", () => registry.status().state === "live" || undefined);
  assert.deepEqual([endpoints(), registry.status().ageMs], [a, 0]);
});

test("a folder that has lost all its files is not believed for five minutes, one that has others at once", async () => {
  using place = setup();
  place.write("a.yaml", entry("a", 1));
  const { registry, endpoints, becomes, pass } = place.open();
  using _ = registry;
  rmSync(join(place.folder, "a.yaml"));
  await eventually("it is lost", () => registry.status().state === "lost" || undefined);
  pass(holdMs - 1);
  assert.equal(endpoints(), a);
  place.write("b.yaml", entry("b", 2));
  await becomes(b);
  assert.equal(registry.status().state, "live");
  rmSync(join(place.folder, "b.yaml"));
  await eventually("it is lost", () => registry.status().state === "lost" || undefined);
  pass(holdMs);
  assert.deepEqual([endpoints(), registry.status().state], ["", "live"]);
});

test("a start while the folder is away begins with what was kept; what was kept and damaged is not used", () => {
  using place = setup();
  place.write("a.yaml", entry("a", 1));
  const first = place.open();
  first.registry[Symbol.dispose]();
  const path = join(place.data, "file.json");
  assert.equal(readFolderLastGood(path, place.folder).files.length, 1);
  assert.deepEqual(readFolderLastGood(path, "/elsewhere"), { files: [], problem: "" });
  renameSync(place.folder, `${place.folder}-away`);
  {
    const { registry, endpoints } = place.open();
    using _ = registry;
    assert.deepEqual([endpoints(), registry.status().state], [a, "lost"]);
  }
  for (const text of ["", "x", "weft-last-files 1 00\n{}", "weft-last-files 1 "]) {
    writeFileSync(path, text);
    const { registry, endpoints } = place.open();
    assert.equal(endpoints(), "");
    assert.ok(registry.findings().some(({ code }) => code === "WF2115"));
    registry[Symbol.dispose]();
  }
});

test("URLs name a folder by its whole path, and each registry has a name of its own", () => {
  const named = nameFolders(["file:///etc/a/", "file:///etc/b?name=b", "file:///etc/c%20d"], ["file"]);
  assert.deepEqual(
    named.map(({ name, folder }) => `${name} ${folder}`),
    ["file-2 /etc/a", "b /etc/b", "file-3 /etc/c d"],
  );
  for (const wrong of [
    "file://etc/a",
    "file:a",
    "file:///",
    "file://",
    "file:///a?x=1",
    "file:///a?name=file",
    "file:///%",
  ])
    assert.throws(() => nameFolders([wrong], ["file"]), { code: "WF2102" }, wrong);
});
