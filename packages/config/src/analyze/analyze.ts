/** Runs every analyzer over a set of objects. */
import type { ConfigObject } from "../config-object.ts";
import type { Finding } from "../finding.ts";
import type { Analyzer } from "./analyzer.ts";
import { type AnalyzeContext, type Facts, gatherFacts } from "./facts.ts";
import { analyzers } from "./index.ts";
import { isSuppressed } from "./suppress.ts";

/** Findings of one analyzer beyond this many are only counted, in the last one's message. */
export const hitsMax = 500;

/**
 * What is wrong between the objects, in the order of file, line, column and code. Findings about single objects come
 * from `parseConfig`. An object with the annotation `weft.dev/suppress: CODE,…` (or Istio's
 * `galley.istio.io/analyze-suppress`) has none of those codes reported; `*` stands for all.
 */
export const analyze = (objects: readonly ConfigObject[], context: AnalyzeContext = {}): Finding[] => {
  const steps = analysisSteps(objects, context);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
};

/** As `analyze`, with a stop before each analyzer, for those who have something else to do meanwhile. */
export const analysisSteps = function* (
  objects: readonly ConfigObject[],
  context: AnalyzeContext,
): Generator<undefined, Finding[]> {
  const facts = gatherFacts(objects, context);
  const found: Finding[] = [];
  for (const analyzer of analyzers) {
    yield;
    found.push(...findingsOf(analyzer, facts));
  }
  return found.sort(compareFindings);
};

const findingsOf = ({ code, level, also, run }: Analyzer, facts: Facts): Finding[] => {
  const hits = run(facts).filter(({ object }) => !isSuppressed(object, { code, also }));
  const more = hits.length - hitsMax;
  return hits.slice(0, hitsMax).map((hit, index): Finding => {
    const { kind, namespace, name } = hit.object;
    const rest = more > 0 && index === hitsMax - 1 ? ` (and ${more} more like this)` : "";
    const message = `${hit.message}${rest}`;
    return {
      code,
      level: hit.level ?? level,
      message,
      kind,
      namespace,
      name,
      ...hit.object.positionOf(hit.path),
      also,
    };
  });
};

/** By file, line, column, then code. */
export const compareFindings = (a: Finding, b: Finding): number =>
  compareText(a.file, b.file) || a.line - b.line || a.column - b.column || compareText(a.code, b.code);

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
