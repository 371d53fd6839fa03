/** What is written into an object's `.status`: the form Istio's objects have there. */
import { listCodes } from "@weft/config/analyze/explain";
import { type Remark, remarkLine } from "../admission/read-object.ts";
import type { ProxyCount } from "./written-status-proxies.ts";

export interface StatusFacts {
  /** Of the spec these facts are about. */
  readonly generation: number;
  /** What is wrong with the object by itself, and beside others. */
  readonly remarks: readonly Remark[];
  /** The object was taken: nothing is wrong with it by itself. */
  readonly accepted: boolean;
  /** Proxies that have it as it now is, of all that are connected; `undefined`: not given to any yet. */
  readonly proxies: ProxyCount | undefined;
}

interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

interface OwnStatus {
  readonly conditions: readonly Condition[];
  readonly validationMessages: readonly object[];
  readonly observedGeneration: number;
}

const messageCharsMax = 1_024;
const validationMessagesMax = 20;
const ownTypes: ReadonlySet<unknown> = new Set(["Accepted", "Reconciled"]);

/** Our part of the status, without times. Equal facts give equal text. */
export const statusSignature = (facts: StatusFacts): string => JSON.stringify(ownStatus(facts));

/** The same of a status as an API server has it, so that the two can be compared. */
export const signatureIn = (status: unknown): string => {
  const { conditions, validationMessages, observedGeneration } = isRecord(status) ? status : {};
  return JSON.stringify({
    conditions: recordsIn(conditions)
      .filter(({ type }) => ownTypes.has(type))
      .map(({ type, status: value, reason, message = "", observedGeneration: generation }) => ({
        ...{ type, status: value, reason, message },
        observedGeneration: asNumber(generation),
      })),
    validationMessages: recordsIn(validationMessages).map(({ type, level }) => {
      const { code, name } = isRecord(type) ? type : {};
      return { type: { code, name }, level };
    }),
    observedGeneration: asNumber(observedGeneration),
  });
};

/**
 * The status to merge into what is there, or `undefined` when that says the same already. Conditions of others stay,
 * and a condition keeps its time of transition until its status changes.
 */
export const statusPatch = (before: unknown, facts: StatusFacts, nowIso: string): object | undefined => {
  const own = ownStatus(facts);
  if (signatureIn(before) === JSON.stringify(own)) return undefined;
  const known = recordsIn(isRecord(before) ? before.conditions : undefined);
  const conditions = own.conditions.map((condition) => {
    const former = known.find(({ type }) => type === condition.type);
    const same = former?.status === condition.status && typeof former.lastTransitionTime === "string";
    return { ...condition, lastTransitionTime: same ? former.lastTransitionTime : nowIso };
  });
  return { ...own, conditions: [...known.filter(({ type }) => !ownTypes.has(type)), ...conditions] };
};

/** Whether more would change than what comes and goes with proxies. */
export const changesVerdict = (before: unknown, facts: StatusFacts): boolean =>
  verdictIn(signatureIn(before)) !== verdictIn(statusSignature(facts));

const verdictIn = (signature: string): string => {
  const { conditions, ...others } = JSON.parse(signature) as OwnStatus;
  const kept = conditions.map((condition) => {
    if (condition.type !== "Reconciled") return condition;
    const counted = countForm.test(condition.message) ? "counted" : condition.message;
    return [condition.type, condition.observedGeneration, counted];
  });
  return JSON.stringify({ ...others, conditions: kept });
};

const countForm = /^\d+\/\d+ proxies(; .*)?$/;

const ownStatus = (facts: StatusFacts): OwnStatus => ({
  conditions: [acceptedCondition(facts), reconciledCondition(facts)],
  validationMessages: facts.remarks.slice(0, validationMessagesMax).map(({ code, level }) => ({
    type: { code, name: titles.get(code) ?? "" },
    level: level.toUpperCase(),
  })),
  observedGeneration: facts.generation,
});

const acceptedCondition = ({ accepted, remarks, generation }: StatusFacts): Condition => {
  const told = remarks.filter(({ level }) => (accepted ? level !== "info" : level === "error"));
  const reason = !accepted ? "Invalid" : told.length === 0 ? "Accepted" : "AcceptedWithWarnings";
  return {
    ...{ type: "Accepted", status: accepted ? "True" : "False", reason },
    message: cut(told.map(remarkLine).join("; ")),
    observedGeneration: generation,
  };
};

const reconciledCondition = ({ accepted, proxies, generation: observedGeneration }: StatusFacts): Condition => {
  const condition = (status: Condition["status"], reason: string, message: string): Condition => ({
    ...{ type: "Reconciled", status, reason, message, observedGeneration },
  });
  if (!accepted) return condition("False", "NotAccepted", "no proxy is given it");
  if (!proxies) return condition("Unknown", "Pending", "no proxy is given it yet");
  const { current, total, silent = 0, left = 0 } = proxies;
  const message = [`${current}/${total} proxies`, ...missingWords(silent, left)].join("; ");
  if (current < total) return condition("False", "Pending", message);
  if (silent > 0 || left > 0) return condition("Unknown", "Incomplete", message);
  return total === 0 ? condition("Unknown", "NoProxies", message) : condition("True", "Reconciled", message);
};

const missingWords = (silent: number, left: number): readonly string[] => [
  ...(silent > 0 ? [`${silent} other control plane${silent === 1 ? " says" : "s say"} nothing of it yet`] : []),
  ...(left > 0 ? [`${left} more ${left === 1 ? "proxy is" : "proxies are"} not told apart`] : []),
];

const titles: ReadonlyMap<string, string> = new Map(listCodes().map(({ code, title }) => [code, title]));

const cut = (text: string): string =>
  text.length <= messageCharsMax ? text : `${text.slice(0, messageCharsMax - 1)}…`;
const asNumber = (value: unknown): number => Number(value ?? Number.NaN);
const recordsIn = (value: unknown): readonly Readonly<Record<string, unknown>>[] =>
  Array.isArray(value) ? value.filter(isRecord) : [];
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
