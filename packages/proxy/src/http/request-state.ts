/** What filters of one request leave for those behind them, for routes, and for logs. */
import type { Exchange } from "./exchange.ts";

type Struct = Readonly<Record<string, unknown>>;

export interface RequestState {
  /** Dynamic metadata, by the filter's namespace. Objects without a prototype. */
  metadata: Readonly<Record<string, Struct>>;
  /** Filter state that is text. */
  readonly filterState: Map<string, string>;
}

const empty = (): Record<string, never> => Object.create(null) as Record<string, never>;

/** The state of an exchange, made where there is none yet; what came with its connection is in it. */
export const stateOf = (exchange: Exchange): RequestState => {
  exchange.state ??= {
    metadata: Object.assign(empty(), exchange.downstream.proxied?.metadata),
    filterState: new Map(),
  };
  return exchange.state;
};

const isStruct = (value: unknown): value is Struct =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Envoy's merge: structs within structs are merged, lists are joined, all else is replaced. */
const merge = (into: Struct, values: Struct): Struct => {
  const merged: Record<string, unknown> = Object.assign(empty(), into);
  for (const [key, value] of Object.entries(values)) {
    const before = merged[key];
    if (isStruct(value) && isStruct(before)) merged[key] = merge(before, value);
    else if (Array.isArray(value) && Array.isArray(before)) merged[key] = [...before, ...(value as unknown[])];
    else merged[key] = value;
  }
  return merged;
};

/** Puts values under a namespace. Without `overwrite`, a namespace that is there stays as it is. */
export const addMetadata = (exchange: Exchange, namespace: string, values: Struct, overwrite: boolean): void => {
  const state = stateOf(exchange);
  const before = state.metadata[namespace];
  if (before !== undefined && !overwrite) return;
  state.metadata = Object.assign(empty(), state.metadata, { [namespace]: merge(before ?? empty(), values) });
};
