import { WeftError } from "@weft/core/error";
import { meshStateFolder, readMeshContext } from "@weft/net/mesh-context";
import { readKeys } from "@weft/net/process/keys";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { applyScenario } from "../demo/apply-scenario.ts";
import { createLoadTotals, runCi } from "../demo/run-ci.ts";
import { addressTable, createScreen, keyLines, loadLine, shopTable } from "../demo/screen.ts";
import { scenarios } from "../demo/shop.ts";
import { type RunningShop, startShop } from "../demo/start-shop.ts";
import { watchShop } from "../demo/watch-shop.ts";
import { action } from "../mesh/flags.ts";

interface DemoFlags {
  readonly ci?: boolean;
  readonly rate: string;
  readonly verbose?: boolean;
}

const nowMs = (): number => performance.now();
const refreshMs = 1000;

/** A whole mesh with a sample shop and traffic, until Ctrl-C. */
export const demoCommand: Command = {
  name: "demo",
  define(program, context) {
    program
      .command("demo")
      .description("run a whole mesh here: control plane, a shop of seven workloads with sidecars, ingress, load")
      .option("--ci", "run every scenario with assertions and no keys; exit 0 or 1")
      .option("--rate <n>", "page views a second", "40")
      .option("-v, --verbose", "print every line the processes log")
      .action(action(context, (flags: DemoFlags) => demo(context, flags)));
  },
};

const demo = async (context: Context, flags: DemoFlags): Promise<ExitCode> => {
  const rate = Number(flags.rate);
  if (!(rate > 0 && rate <= 1000))
    throw new WeftError("WF9022", `"${flags.rate}" is not a rate`, { next: "--rate 40" });
  const startedMs = nowMs();
  const loads = createLoadTotals();
  const screen = createScreen(context.print);
  await using cleanup = new AsyncDisposableStack();
  const shop = await startShop({
    context,
    cleanup,
    rate,
    onStep: (step) => context.print(` ✔ ${((nowMs() - startedMs) / 1000).toFixed(1).padStart(4)} s  ${step}\n`),
    onLog: (source, line) => {
      if (flags.verbose || /\b(error|warn|WF\d{4})\b/i.test(line)) screen.say(`   ${source}: ${line}\n`);
    },
    onLoad: loads.add,
  });
  if (readMeshContext(meshStateFolder(context.env))?.pid !== shop.controlPlanePid) {
    context.print(` ! another mesh runs on this machine: for this one set WEFT_CP=${shop.addresses.http}\n`);
  }
  for (const { what, wanted, got } of shop.moved) context.print(` ! port ${wanted} (${what}) is busy: using ${got}\n`);
  if (!flags.ci) context.print(`\n${addressTable(shop.workloads)}\n`);
  if (flags.ci) return (await runCi(context, shop, loads, nowMs)) ? exitCodes.ok : exitCodes.failed;
  context.print(
    `   another terminal: ./weft proxy-status   ./weft proxy-config routes web   curl http://${shop.ingress}/\n\n`,
  );
  await live(context, shop, { loads, screen });
  screen.say("stopping\n");
  return exitCodes.ok;
};

const live = async (
  context: Context,
  shop: RunningShop,
  { loads, screen }: { loads: ReturnType<typeof createLoadTotals>; screen: ReturnType<typeof createScreen> },
): Promise<void> => {
  const watch = watchShop(shop, nowMs);
  const { promise: quit, resolve: end } = Promise.withResolvers<"quit">();
  context.signal.addEventListener("abort", () => end("quit"), { once: true });
  using _keys = readKeys((key) => {
    if (key === "q" || key === "\u0003") return end("quit");
    const scenario = scenarios.find((candidate) => candidate.key === key);
    if (scenario === undefined) return;
    applyScenario(context, shop, scenario, nowMs).then(
      ({ changes, acknowledged, proxies, ms }) => {
        const lines = changes
          .map(({ kind, namespace, name, result }) => `     ${kind} ${namespace}/${name} ${result}\n`)
          .join("");
        screen.say(
          ` ✔ ${scenario.title}${scenario.file ? ` (${scenario.file})` : ""}: ${acknowledged}/${proxies} proxies acknowledged in ${Math.round(ms)} ms\n${lines}`,
        );
      },
      (error) => screen.say(` ✗ ${scenario.title}: ${String(error)}\n`),
    );
  });
  await watch.mark();
  for (;;) {
    const timer = Promise.withResolvers<"tick">();
    const handle = setTimeout(() => timer.resolve("tick"), refreshMs);
    const next = await Promise.race([quit, timer.promise]);
    clearTimeout(handle);
    if (next === "quit") return;
    const views = await watch.views();
    const text = `${shopTable(views)}${loadLine(loads.last())}${keyLines()}`;
    if (context.isTty) screen.draw(text);
    else context.print(`${text}\n`);
  }
};
