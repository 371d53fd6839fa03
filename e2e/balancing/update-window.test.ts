/** `update_merge_window`: which changes of hosts wait, when they are minded, and how both count that. */
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually } from "@weft/testkit/eventually";
import { type Pair, type Peer, startPair } from "../same-bootstrap/pair.ts";
import { type } from "../same-bootstrap/parts.ts";
import { type CheckedHosts, startCheckedHosts } from "./checked-hosts.ts";
import { askAll, assigned, at, balancingBootstrap } from "./parts.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-window-"));
const file = join(folder, "said.json");
let upstream: CheckedHosts;
let pair: Pair;
let version = 0;

/** EDS: two hosts, of which one is healthy. */
const say = (healthy: number): void => {
  const lbEndpoints = [1, 2].map((n) =>
    at(n, upstream.port, { healthStatus: n === healthy ? "HEALTHY" : "UNHEALTHY", loadBalancingWeight: healthy }),
  );
  const resource = {
    "@type": type("config.endpoint.v3.ClusterLoadAssignment"),
    ...{ clusterName: "said", endpoints: [{ lbEndpoints }] },
  };
  const next = join(folder, "next");
  writeFileSync(next, JSON.stringify({ versionInfo: String(++version), resources: [resource] }));
  renameSync(next, file);
};

const often = {
  timeout: "1s",
  interval: "0.05s",
  noTrafficInterval: "0.05s",
  unhealthyThreshold: 1,
  healthyThreshold: 1,
};

before(async () => {
  upstream = await startCheckedHosts();
  say(1);
  const common = (updateMergeWindow: string) => ({ healthyPanicThreshold: {}, updateMergeWindow });
  const clusters = [
    {
      name: "said",
      cluster: {
        ...{ type: "EDS", commonLbConfig: common("60s") },
        edsClusterConfig: { edsConfig: { resourceApiVersion: "V3", pathConfigSource: { path: file } } },
      },
    },
    {
      name: "checked",
      cluster: {
        ...assigned({ lbEndpoints: [at(1, upstream.port)] }),
        ...{ commonLbConfig: common("3s"), healthChecks: [{ ...often, httpHealthCheck: { path: "/only-1" } }] },
      },
    },
  ];
  pair = await startPair(["main"], (ports) => balancingBootstrap(ports, clusters));
});
after(async () => {
  for (const each of [pair, upstream]) await each?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const text = async ({ admin }: Peer, path: string): Promise<string> =>
  (await fetch(`http://127.0.0.1:${admin}/${path}`)).text();
const counted = async (proxy: Peer): Promise<readonly number[]> => {
  const stats = await text(proxy, "stats?filter=^cluster_manager");
  return ["cluster_updated", "cluster_updated_via_merge", "update_merge_cancelled", "update_out_of_merge_window"].map(
    (name) => Number(new RegExp(`^cluster_manager\\.${name}: (\\d+)$`, "m").exec(stats)?.[1]),
  );
};
const answers = async (proxy: Peer, cluster: string): Promise<string> =>
  [...new Set(await askAll(proxy, cluster, new Array<string>(6).fill(""), 1))].join();
const becomes = (proxy: Peer, cluster: string, wanted: string): Promise<unknown> =>
  eventually(
    `${cluster} of ${proxy.name} is ${wanted}`,
    async () => (await answers(proxy, cluster)) === wanted || undefined,
  );

test("what EDS says of health and weights holds at once, whatever the window", async () => {
  for (const healthy of [2, 1, 2]) {
    say(healthy);
    for (const proxy of [pair.envoy, pair.weft]) await becomes(proxy, "said", `127.0.0.${healthy}`);
  }
  for (const proxy of [pair.envoy, pair.weft]) assert.deepEqual(await counted(proxy), [3, 0, 0, 0], proxy.name);
});

test("what checks find holds at once when no window is open, and at its end when one is", async () => {
  const both = [pair.envoy, pair.weft];
  const fails = async (proxy: Peer): Promise<true | undefined> =>
    /checked::127.*failed_active_hc/.test(await text(proxy, "clusters")) || undefined;
  for (const proxy of both) assert.equal(await answers(proxy, "checked"), "127.0.0.1");
  upstream.failing = true;
  for (const proxy of both) await becomes(proxy, "checked", "503");
  upstream.failing = false;
  for (const proxy of both) {
    await eventually(`${proxy.name} sees it`, async () => ((await fails(proxy)) ? undefined : true));
    for (;;) {
      const seen = await answers(proxy, "checked");
      if ((await counted(proxy))[1] === 1) break;
      assert.equal(seen, "503", `${proxy.name}: nothing is used before that is counted`);
    }
    await becomes(proxy, "checked", "127.0.0.1");
  }
  for (const proxy of both) assert.deepEqual(await counted(proxy), [4, 1, 0, 1], proxy.name);
});
