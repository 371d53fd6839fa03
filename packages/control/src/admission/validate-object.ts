/** Judges one object as it came to the API server, with the rules and the analyzers that judge files. */
import type { ConfigObject } from "@weft/config/config-object";
import type { Analysis } from "../analysis/analysis.ts";
import type { AdmissionVerdict } from "./admission-review.ts";
import { type ObjectRead, type Remark, readKubernetesObject, remarkLine } from "./read-object.ts";

export interface ObjectToJudge {
  readonly document: Readonly<Record<string, unknown>>;
  /** What the object is for where it does not say so itself. */
  readonly namespace: string;
}

export interface JudgingContext {
  /** All objects in force, for what only shows between them. */
  readonly others: () => readonly ConfigObject[];
  readonly analysis: Analysis;
}

const errorsShownMax = 8;
/** With more in force, an object is judged by itself alone: an API server waits for the answer. */
export const objectsJudgedMax = 5_000;
/** As it is while so many others wait. */
export const judgementsWaitingMax = 16;

/**
 * An error of the object alone denies, with its code and field. Unknown fields, and all that an object is found wrong
 * with only beside others, are warnings: objects come in any order.
 */
export const judgeObject = async (
  { document, namespace }: ObjectToJudge,
  context: JudgingContext,
): Promise<AdmissionVerdict> => {
  const read = readKubernetesObject(document, namespace);
  const errors = read.remarks.filter(({ level }) => level === "error");
  const warnings = read.remarks.filter(({ level }) => level === "warning").map(remarkLine);
  if (errors.length > 0) return { kind: "denied", message: sentence(errors), warnings };
  const beside = await foundBeside(read, context);
  return { kind: "allowed", warnings: [...warnings, ...beside.map(remarkLine)] };
};

/** What `weft analyze` says of the object as it would stand among the others. */
const foundBeside = async (read: ObjectRead, { others, analysis }: JudgingContext): Promise<readonly Remark[]> => {
  const { object } = read;
  if (!object || others().length > objectsJudgedMax || analysis.waiting() >= judgementsWaitingMax) return [];
  const isSame = (other: ConfigObject): boolean =>
    other.kind === object.kind && other.namespace === object.namespace && other.name === object.name;
  const withIt = (): readonly ConfigObject[] => {
    const before = others();
    const known = before.find(isSame);
    const placed = { ...object, creationOrder: known?.creationOrder ?? Number.MAX_SAFE_INTEGER } as ConfigObject;
    return [...before.filter((other) => !isSame(other)), placed];
  };
  const findings = await analysis.run(withIt);
  return findings.filter((finding) => read.isAbout(finding) && finding.level !== "info").map(read.remarkOf);
};

const sentence = (errors: readonly Remark[]): string => {
  const more = errors.length - errorsShownMax;
  return `${errors.slice(0, errorsShownMax).map(remarkLine).join("; ")}${more > 0 ? ` (and ${more} more)` : ""}`;
};
