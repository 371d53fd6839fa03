/** A Consul followed for ever: one connection after the other, with a growing pause between those that fail. */
import { exponentialBackoff } from "@weft/xds/backoff";
import type { OpenSource } from "../outside/source-events.ts";
import type { ConsulCalls } from "./consul-calls.ts";
import type { ConsulRules } from "./consul-record.ts";
import { runConsulSession } from "./consul-session.ts";
import { createConsulView } from "./consul-view.ts";

export interface ConsulSourceOptions {
  /** Calls to the next of the agents. */
  readonly dial: () => ConsulCalls;
  readonly rules: ConsulRules;
  readonly watches: number;
}

const retryLimits = { baseMs: 250, maxMs: 10_000 };

export const openConsulSource =
  ({ dial, rules, watches }: ConsulSourceOptions): OpenSource =>
  (tools) => {
    const backoff = exponentialBackoff(retryLimits, tools.random);
    const view = createConsulView(rules);
    const stop = new AbortController();
    const states = rules.passingOnly ? ["critical", "warning"] : ["critical"];
    let timer: Disposable | undefined;

    const start = async (): Promise<void> => {
      timer = undefined;
      const calls = dial();
      const session = { calls, view, tools, watches, states, worked: backoff.reset };
      const reason = await runConsulSession(session, stop.signal);
      calls[Symbol.dispose]();
      if (stop.signal.aborted) return;
      tools.emit({ kind: "lost", reason });
      timer = tools.setTimer(() => void start(), backoff.next());
    };
    // What opens a source is done before the source speaks.
    timer = tools.setTimer(() => void start(), 0);
    return {
      [Symbol.dispose]: () => {
        stop.abort();
        timer?.[Symbol.dispose]();
      },
    };
  };
