/** A node:test reporter that prints each failure in full, then one line per package, then the totals. */
import { relative } from "node:path";
import type { TestEvent } from "node:test/reporters";

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const areaOf = (file: string): string => {
  const [top = "", second = "", , fourth = ""] = relative(process.cwd(), file).split("/");
  if (top !== "packages") return top;
  return fourth === "" || fourth.endsWith(".ts") ? second : `${second}/${fourth}`;
};

const describeFailure = (name: string, file: string | undefined, error: unknown): string => {
  const [first = error, ...deeper] = causesOf(error);
  const because = deeper.map((cause) => `caused by ${cause.message}\n`).join("");
  const text = first instanceof Error ? (first.stack ?? first.message) : String(first);
  return `\nFAILED ${file ? relative(process.cwd(), file) : ""}: ${name}\n${text}\n${because}`;
};

/** What the runner's own error is about, the outermost first. */
const causesOf = (error: unknown): readonly Error[] => {
  const found: Error[] = [];
  let cause: unknown = error instanceof Error ? (error.cause ?? error) : undefined;
  for (; cause instanceof Error && found.length < causesMax; cause = cause.cause) found.push(cause);
  return found;
};
const causesMax = 8;

export default async function* summary(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const areas = new Map<string, Tally>();
  const total: Tally = { passed: 0, failed: 0, skipped: 0 };
  const startedMs = performance.now();
  for await (const event of events) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { data } = event;
    if (data.details.type === "suite") continue;
    const kind = data.skip !== undefined ? "skipped" : event.type === "test:pass" ? "passed" : "failed";
    const area = areaOf(data.file ?? "?");
    const tally = areas.get(area) ?? { passed: 0, failed: 0, skipped: 0 };
    tally[kind]++;
    total[kind]++;
    areas.set(area, tally);
    if (event.type === "test:fail")
      yield describeFailure(data.name, data.file, "error" in data.details ? data.details.error : undefined);
  }
  yield "\n";
  for (const [area, { passed, failed, skipped }] of [...areas].sort(([a], [b]) => (a < b ? -1 : 1))) {
    yield `${area.padEnd(28)} ${String(passed).padStart(5)} passed${failed ? `, ${failed} FAILED` : ""}${skipped ? `, ${skipped} skipped` : ""}\n`;
  }
  yield `${((performance.now() - startedMs) / 1000).toFixed(1)} s\n`;
  yield `${total.passed} passed, ${total.failed} failed${total.skipped ? `, ${total.skipped} skipped` : ""}\n`;
}
