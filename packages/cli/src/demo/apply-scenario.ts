import { joinPath } from "@weft/core/path";
import { listConfigFiles, readText } from "@weft/net/read-text";
import type { Context } from "../command.ts";
import type { ConfigItem } from "../commands/get.ts";
import { askApi } from "../mesh/api.ts";
import type { ProxyItem } from "../mesh/proxies.ts";
import { baseFolder, type Scenario, scenarios } from "./shop.ts";
import type { RunningShop } from "./start-shop.ts";

interface Change {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly result: string;
}

export interface Applied {
  readonly changes: readonly Change[];
  readonly acknowledged: number;
  readonly proxies: number;
  readonly ms: number;
}

const settleTimeoutMs = 5000;
const yaml = "application/yaml";

/** Applies a scenario's file (or takes all of them back) and waits until every proxy has acknowledged. */
export const applyScenario = async (
  context: Context,
  shop: RunningShop,
  scenario: Scenario,
  nowMs: () => number,
): Promise<Applied> => {
  const startedMs = nowMs();
  const changes: Change[] = [];
  const send = async (path: string): Promise<void> => {
    for (const file of listConfigFiles(joinPath(context.root, path))) {
      const answer = await askApi<{ items: readonly Change[] }>(
        shop.api,
        `/v1/config/apply?file=${encodeURIComponent(file)}`,
        {
          method: "POST",
          body: readText(file),
          contentType: yaml,
        },
      );
      changes.push(...answer.items);
    }
  };
  if (scenario.name === "break" || scenario.name === "normal") await setRatings(shop, scenario.name === "break");
  if (scenario.file !== undefined) await send(scenario.file);
  else {
    await send(baseFolder);
    changes.push(...(await deleteAdded(context, shop)));
  }
  const { acknowledged, proxies } = await settled(shop, nowMs);
  return { changes, acknowledged, proxies, ms: nowMs() - startedMs };
};

/** Takes out what scenarios added; what they replaced is the base's again already, so nobody is without rules meanwhile. */
const deleteAdded = async (context: Context, shop: RunningShop): Promise<readonly Change[]> => {
  // Here and not above: it is a third of what the demo would load before it starts anything.
  const { parseConfig } = await import("@weft/config/parse-config");
  const objectsIn = (path: string) =>
    listConfigFiles(joinPath(context.root, path)).flatMap((file) => parseConfig(readText(file), file).objects);
  const keyOf = ({ kind, namespace, name }: { kind: string; namespace: string; name: string }): string =>
    `${kind}/${namespace}/${name}`;
  const base = new Set(objectsIn(baseFolder).map(keyOf));
  const present = await askApi<{ items: readonly ConfigItem[] }>(shop.api, "/v1/config");
  const known = new Set(
    present.items.map(({ kind, metadata }) =>
      keyOf({ kind, namespace: metadata.namespace ?? "default", name: metadata.name }),
    ),
  );
  const added = scenarios.flatMap(({ file }) => (file === undefined ? [] : objectsIn(file)));
  const deleted: Change[] = [];
  for (const { kind, namespace, name } of added) {
    const key = keyOf({ kind, namespace, name });
    if (base.has(key) || !known.delete(key)) continue;
    await askApi(shop.api, `/v1/config/${key}`, { method: "DELETE" });
    deleted.push({ kind, namespace, name, result: "deleted" });
  }
  return deleted;
};

/** The application breaks, not the mesh: told on its own port, past its sidecar. */
const setRatings = async (shop: RunningShop, broken: boolean): Promise<void> => {
  const ratings = shop.workloads.find(({ service }) => service === "ratings");
  await fetch(`http://127.0.0.1:${ratings?.appPorts[0]}/${broken ? "break" : "mend"}`);
};

const settled = async (shop: RunningShop, nowMs: () => number): Promise<{ acknowledged: number; proxies: number }> => {
  const deadlineMs = nowMs() + settleTimeoutMs;
  for (;;) {
    const { items } = await askApi<{ items: readonly ProxyItem[] }>(shop.api, "/v1/proxies");
    const acknowledged = items.filter(({ types }) =>
      Object.values(types).every(({ status }) => !/STALE|NACK/.test(status)),
    ).length;
    if (acknowledged === items.length || nowMs() > deadlineMs) return { acknowledged, proxies: items.length };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
