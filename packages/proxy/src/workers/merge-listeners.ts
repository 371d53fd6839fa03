import type { ListenerState } from "../runtime/data-plane.ts";

/** The better-known state of two workers: a failure anywhere is a failure, and one that serves is not yet drained. */
const worse = (a: ListenerState["state"], b: ListenerState["state"]): ListenerState["state"] => {
  for (const state of ["failed", "active"] as const) if (a === state || b === state) return state;
  return "draining";
};

/** The listeners of all workers as those of one proxy: bound when bound everywhere. */
export const mergeListeners = (
  workers: readonly (readonly ListenerState[])[],
  connections: (listener: string) => number,
): readonly ListenerState[] => {
  const merged = new Map<string, { readonly state: ListenerState; readonly in: number }>();
  for (const states of workers)
    for (const state of states) {
      const key = `${state.name} ${state.state === "draining"}`;
      const known = merged.get(key);
      merged.set(key, { state: known ? mergeTwo(known.state, state) : state, in: (known?.in ?? 0) + 1 });
    }
  return [...merged.values()].map(({ state, in: count }) => ({
    ...state,
    address: count === workers.length || state.state === "draining" ? state.address : undefined,
    connections: connections(state.name),
  }));
};

const mergeTwo = (a: ListenerState, b: ListenerState): ListenerState => ({
  ...a,
  address: a.address === undefined || b.address === undefined ? undefined : a.address,
  state: worse(a.state, b.state),
  error: a.error ?? b.error,
});
