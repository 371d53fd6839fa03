/** Which services' checks came into a state or left it, from one answer of `/v1/health/state/STATE` to the next. */
import type { ConsulAnswer } from "./consul-calls.ts";

export interface CheckChange {
  /** "" of a check of the node, which all services on it share. */
  readonly service: string;
  readonly node: string;
}

/** Of the first answer, every check. Throws for an answer that is none. */
export const changedChecks = (): ((answer: ConsulAnswer) => readonly CheckChange[]) => {
  let before: ReadonlyMap<string, CheckChange> = new Map();
  return ({ body }) => {
    if (!Array.isArray(body)) throw new Error("the answer for the checks of a state is no list");
    const now = new Map<string, CheckChange>();
    for (const one of body as readonly unknown[]) {
      if (typeof one !== "object" || one === null) continue;
      const { Node, CheckID, ServiceName } = one as Readonly<Record<string, unknown>>;
      if (typeof Node !== "string" || typeof CheckID !== "string") continue;
      const service = typeof ServiceName === "string" ? ServiceName : "";
      now.set(JSON.stringify([Node, CheckID, service]), { service, node: Node });
    }
    const came = [...now].filter(([key]) => !before.has(key));
    const left = [...before].filter(([key]) => !now.has(key));
    before = now;
    return [...came, ...left].map(([, change]) => change);
  };
};
