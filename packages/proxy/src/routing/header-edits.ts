/** Header operations of routes, virtual hosts, tables and weighted clusters, compiled from their options. */
import { ConfigError } from "@weft/core/config-error";
import type { Clock } from "@weft/core/world";
import type { RequestHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import type { HeaderValueOptionJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import { member, oneOf, refuseOthers, required } from "../compile/fields.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import { compileFormat, isConstantFormat } from "../observe/format.ts";
import type { OutcomeSource } from "../observe/format-operators.ts";

/** What is known of the exchange when headers are edited, beside its heads. */
export type EditOutcome = OutcomeSource & { readonly response: { readonly status: number } };

/** Applies operations in place. `request` is given in both directions, for values taken from it. */
export type EditHeaders = (
  headers: HeaderList,
  downstream: DownstreamInfo,
  request: RequestHead,
  outcome?: EditOutcome,
) => void;

export const noEdit: EditHeaders = () => {};

export interface EditOptions {
  readonly add: readonly HeaderValueOptionJson[] | undefined;
  readonly remove: readonly string[] | undefined;
  readonly direction: "request" | "response";
  readonly clock: Clock;
  /** Path of the message that has the fields `requestHeadersToAdd` and the like. */
  readonly at: string;
}

const actions = [
  "APPEND_IF_EXISTS_OR_ADD",
  "ADD_IF_ABSENT",
  "OVERWRITE_IF_EXISTS_OR_ADD",
  "OVERWRITE_IF_EXISTS",
] as const;
type Action = (typeof actions)[number];

const put = (headers: HeaderList, name: string, value: string, action: Action): void => {
  switch (action) {
    case "APPEND_IF_EXISTS_OR_ADD":
      headers.add(name, value);
      return;
    case "ADD_IF_ABSENT":
      if (!headers.has(name)) headers.add(name, value);
      return;
    case "OVERWRITE_IF_EXISTS_OR_ADD":
      headers.set(name, value);
      return;
    case "OVERWRITE_IF_EXISTS":
      if (headers.has(name)) headers.set(name, value);
  }
};

const nameOf = (name: string | undefined, at: string): string => {
  const lower = required(name, at).toLowerCase();
  if (!/^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(lower)) throw new ConfigError(at, `"${name}" is not a header name`);
  return lower;
};

const readAction = (json: HeaderValueOptionJson, at: string): Action => {
  if (json.append === undefined) return oneOf(json.appendAction, actions, actions[0], member(at, "appendAction"));
  if (json.appendAction !== undefined && json.appendAction !== actions[0]) {
    throw new ConfigError(member(at, "append"), "cannot be given together with appendAction");
  }
  return json.append ? "APPEND_IF_EXISTS_OR_ADD" : "OVERWRITE_IF_EXISTS_OR_ADD";
};

const compileAdd = (json: HeaderValueOptionJson, at: string, { direction, clock }: EditOptions): EditHeaders => {
  refuseOthers(json, "HeaderValueOption", at, ["header", "append", "appendAction", "keepEmptyValue"]);
  const headerAt = member(at, "header");
  const header = required(json.header, headerAt);
  const name = nameOf(header.key, member(headerAt, "key"));
  const valueAt = member(headerAt, "value");
  const raw = header.rawValue === undefined ? (header.value ?? "") : Buffer.from(header.rawValue, "base64").toString();
  if (/[\r\n\0]/.test(raw)) throw new ConfigError(valueAt, "must be one line");
  const action = readAction(json, at);
  const keepEmpty = json.keepEmptyValue === true;
  // As in Envoy: rewrites are for these.
  if (name.startsWith(":") || name === "host") {
    throw new ConfigError(member(headerAt, "key"), `"${name}" cannot be changed`);
  }
  if (isConstantFormat(raw)) {
    if (raw === "" && !keepEmpty) return noEdit;
    return (headers) => put(headers, name, raw, action);
  }
  const format = compileFormat(raw, { missing: "" }, valueAt);
  const asResponse = direction === "response";
  return (headers, downstream, request, outcome) => {
    const response = asResponse ? { status: outcome?.response.status ?? 0, headers } : undefined;
    const nowWallMs = clock.wallMs();
    const value = format({ request, response, downstream, outcome, startWallMs: nowWallMs, nowWallMs });
    if (value !== "" || keepEmpty) put(headers, name, value, action);
  };
};

/** Removals come first, then additions in order, as Envoy does. */
export const compileHeaderEdits = (options: EditOptions): EditHeaders => {
  const { add = [], remove = [], direction, at } = options;
  const steps: EditHeaders[] = [];
  const removeAt = member(at, `${direction}HeadersToRemove`);
  for (const [index, raw] of remove.entries()) {
    const name = nameOf(raw, `${removeAt}[${index}]`);
    if (name.startsWith(":") || name === "host") throw new ConfigError(`${removeAt}[${index}]`, "cannot be removed");
    steps.push((headers) => void headers.remove(name));
  }
  const addAt = member(at, `${direction}HeadersToAdd`);
  for (const [index, json] of add.entries()) {
    const step = compileAdd(json, `${addAt}[${index}]`, options);
    if (step !== noEdit) steps.push(step);
  }
  return sequence(steps);
};

/** One edit that runs several in order. */
export const sequence = (edits: readonly EditHeaders[]): EditHeaders => {
  const steps = edits.filter((edit) => edit !== noEdit);
  const [only] = steps;
  if (!only) return noEdit;
  if (steps.length === 1) return only;
  return (headers, downstream, request, outcome) => {
    for (const step of steps) step(headers, downstream, request, outcome);
  };
};
