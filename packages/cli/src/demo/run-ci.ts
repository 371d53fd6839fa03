import type { Context } from "../command.ts";
import { applyScenario } from "./apply-scenario.ts";
import { scenarios } from "./shop.ts";
import type { LoadReport, RunningShop } from "./start-shop.ts";
import { type ServiceView, watchShop } from "./watch-shop.ts";

type Views = ReadonlyMap<string, ServiceView>;

/** What must be seen while a scenario holds; a string says what was seen instead. */
interface Expectation {
  readonly scenario: string;
  readonly says: string;
  readonly holds: (views: Views, load: LoadTotals) => boolean;
}
interface LoadTotals {
  readonly answered: number;
  readonly failed: number;
}

const share = (views: Views, service: string, version: string): number =>
  views.get(service)?.versions.find((entry) => entry.version === version)?.share ?? 0;
const within = (value: number, low: number, high: number): boolean => value >= low && value <= high;

const expectations: readonly Expectation[] = [
  { scenario: "normal", says: "every page view succeeds", holds: (_, load) => load.answered > 0 && load.failed === 0 },
  {
    scenario: "normal",
    says: "all traffic is mTLS",
    holds: (views) => [...views.values()].every(({ mtls }) => mtls === 1),
  },
  {
    scenario: "normal",
    says: "every service is called",
    holds: (views) =>
      ["web", "catalog", "details", "reviews", "ratings"].every((name) => (views.get(name)?.rps ?? 0) > 0),
  },
  { scenario: "normal", says: "reviews v1 takes everything", holds: (views) => share(views, "reviews", "v1") === 1 },
  {
    scenario: "canary",
    says: "about 10 % go to reviews v2",
    holds: (views) => within(share(views, "reviews", "v2"), 0.03, 0.2),
  },
  { scenario: "canary", says: "no page view fails", holds: (_, load) => load.failed === 0 },
  { scenario: "break", says: "no page view fails while ratings is half broken", holds: (_, load) => load.failed === 0 },
  {
    scenario: "break",
    says: "the broken endpoint of ratings is ejected",
    holds: (views) => (views.get("ratings")?.ejected ?? 0) === 1,
  },
  {
    scenario: "deny",
    says: "calls from web to ratings are refused",
    holds: (views) => (views.get("ratings")?.success ?? 1) < 1,
  },
  { scenario: "deny", says: "no page view fails", holds: (_, load) => load.failed === 0 },
  { scenario: "after", says: "nothing is refused any more", holds: (views) => views.get("ratings")?.success === 1 },
  {
    scenario: "after",
    says: "reviews v1 takes everything again",
    holds: (views) => share(views, "reviews", "v1") === 1,
  },
];

const observedSeconds = 6;

/** Runs every scenario with its assertions, a line each; true when all held. */
export const runCi = async (
  context: Context,
  shop: RunningShop,
  loads: EventTarget & { total: () => LoadTotals },
  nowMs: () => number,
): Promise<boolean> => {
  const watch = watchShop(shop, nowMs);
  let failures = 0;
  const scenarioOf = (name: string) =>
    scenarios.find((scenario) => scenario.name === (name === "after" ? "normal" : name));
  for (const name of ["normal", "canary", "break", "deny", "after"]) {
    const scenario = scenarioOf(name);
    if (scenario === undefined) continue;
    if (name === "deny") await applyScenario(context, shop, scenarioOf("normal") ?? scenario, nowMs);
    const applied = await applyScenario(context, shop, scenario, nowMs);
    const all = applied.acknowledged === applied.proxies;
    context.print(
      `${all ? "ok  " : "FAIL"} ${name}: ${applied.acknowledged}/${applied.proxies} proxies acknowledged in ${Math.round(applied.ms)} ms\n`,
    );
    if (!all) failures++;
    await seconds(loads, 1);
    await watch.mark();
    const before = loads.total();
    await seconds(loads, observedSeconds);
    const views: Views = new Map((await watch.views()).map((view) => [view.service, view]));
    const after = loads.total();
    const load = { answered: after.answered - before.answered, failed: after.failed - before.failed };
    for (const { says, holds } of expectations.filter((expectation) => expectation.scenario === name)) {
      const held = holds(views, load);
      if (!held) failures++;
      context.print(`${held ? "ok  " : "FAIL"} ${name}: ${says}${held ? "" : ` (saw ${describe(views, load)})`}\n`);
    }
  }
  context.print(failures === 0 ? "all held\n" : `${failures} did not hold\n`);
  return failures === 0;
};

/** Waits for that many reports of the load generator, which come once a second. */
const seconds = async (loads: EventTarget, count: number): Promise<void> => {
  for (let i = 0; i < count; i++) {
    await new Promise<void>((resolve) => loads.addEventListener("report", () => resolve(), { once: true }));
  }
};

const describe = (views: Views, load: LoadTotals): string =>
  JSON.stringify({
    load,
    services: [...views.values()].map(({ service, rps, success, mtls, ejected, versions }) => ({
      service,
      rps,
      success,
      mtls,
      ejected,
      versions,
    })),
  });

/** Adds up what the load generator reports. */
export const createLoadTotals = () => {
  const target = new EventTarget();
  let answered = 0;
  let failed = 0;
  let last: LoadReport | undefined;
  return Object.assign(target, {
    add(report: LoadReport): void {
      answered += report.answered;
      failed += report.failed;
      last = report;
      target.dispatchEvent(new Event("report"));
    },
    total: (): LoadTotals => ({ answered, failed }),
    last: (): LoadReport | undefined => last,
  });
};
