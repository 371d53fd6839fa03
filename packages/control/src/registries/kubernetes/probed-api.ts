/**
 * The API of a server that may hang. Each watch has a connection of its own (HTTP/1.1 has no pings), and all of them may
 * be silent for a minute; so one small probe on one kept connection asks for all. Where it is not answered and nothing
 * else was heard, all that is under way fails, and what is asked next gets new connections, to whoever is there then.
 */
import type { Clock, SetTimer } from "@weft/core/world";
import type { KubernetesApi, KubernetesCall, WatchHandlers } from "@weft/net/kubernetes/kubernetes-api";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { createLiveness } from "./liveness.ts";

export interface ProbedApi extends Pick<KubernetesApi, "call" | "watch">, Disposable {
  /** Since when the server says nothing; `undefined` unless a probe was not answered, and from the next word on. */
  silentSinceMs(): number | undefined;
}

export interface ProbedApiOptions {
  /** Owned from now on. */
  readonly api: KubernetesApi;
  /** Between an answer and the next probe, whose answer may take half as long. */
  readonly probeAfterMs: number;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
}

export const openProbedApi = ({ api, probeAfterMs, clock, setTimer }: ProbedApiOptions): ProbedApi => {
  const answerMs = probeAfterMs / 2;
  const liveness = createLiveness({ quietMs: probeAfterMs, answerMs });
  const underWay = new Set<AbortController>();
  let timer: Disposable | undefined;
  let armedMs = 0;

  const disarm = (): void => {
    timer?.[Symbol.dispose]();
    timer = undefined;
  };
  /** A timer that is there and comes too early looks again then: words come often. */
  const arm = (): void => {
    const next = liveness.deadlineMs();
    if (next === undefined) disarm();
    else if (!timer || next < armedMs) {
      disarm();
      armedMs = next;
      timer = setTimer(due, Math.max(0, next - clock.nowMs()));
    }
  };
  const due = (): void => {
    timer = undefined;
    const verdict = liveness.due(clock.nowMs());
    if (verdict === "ask") ask();
    else if (verdict === "gone") giveUp();
    arm();
  };
  const heard = (): void => {
    liveness.heard(clock.nowMs());
    arm();
  };
  const ask = (): void => {
    api.probe(answerMs).then(heard, () => {
      liveness.unanswered(clock.nowMs());
      arm();
    });
  };
  const giveUp = (): void => {
    api.leaveConnections();
    const seconds = Math.round((probeAfterMs + answerMs) / 1_000);
    const error = new KubernetesError(0, "Timeout", `it said nothing for ${seconds} s, and did not answer a probe`);
    for (const one of [...underWay]) one.abort(error);
  };
  const begin = (): AbortController => {
    const own = new AbortController();
    underWay.add(own);
    liveness.busy(true, clock.nowMs());
    arm();
    return own;
  };
  const end = (own: AbortController): void => {
    underWay.delete(own);
    if (underWay.size > 0) return;
    liveness.busy(false, clock.nowMs());
    arm();
  };

  const call = async (asked: KubernetesCall): Promise<unknown> => {
    const own = begin();
    try {
      const signal = asked.signal ? AbortSignal.any([asked.signal, own.signal]) : own.signal;
      const body = await api.call({ ...asked, signal });
      liveness.answered();
      return body;
    } catch (error) {
      throw own.signal.aborted ? own.signal.reason : error;
    } finally {
      end(own);
    }
  };
  const watch = (path: string, handlers: WatchHandlers, signal: AbortSignal): void => {
    const own = begin();
    const over = (): void => end(own);
    signal.addEventListener("abort", over, { once: true });
    own.signal.addEventListener("abort", () => {
      signal.removeEventListener("abort", over);
      over();
      if (!signal.aborted) handlers.ended(own.signal.reason as KubernetesError);
    });
    const noted: WatchHandlers = {
      line: (text) => {
        heard();
        handlers.line(text);
      },
      ended: (error) => {
        signal.removeEventListener("abort", over);
        over();
        handlers.ended(error);
      },
    };
    api.watch(path, noted, AbortSignal.any([signal, own.signal]));
  };
  return {
    ...{ call, watch, silentSinceMs: liveness.silentSinceMs },
    [Symbol.dispose]: () => {
      disarm();
      api[Symbol.dispose]();
    },
  };
};
