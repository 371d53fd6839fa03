/**
 * Decides when an API server is asked whether it is there, and when it counts as gone. A watch may be silent for a
 * minute, so silence alone proves nothing; silence with a question that was not answered does. It is asked from the
 * beginning, so that the connection of the questions is as old as those of the watches and leads where they lead. Pure:
 * the time is an argument.
 */

/** Between an answer and the next question; as often as other Kubernetes clients ping. */
export const quietMsDefault = 30_000;
/** Whoever is late itself, as after a standstill of its own, leaves an answer that may be there by now so long to be read. */
export const lateMs = 1_000;

export interface LivenessOptions {
  readonly quietMs: number;
  /** How long an answer may take. */
  readonly answerMs: number;
}

/** `ask`: send one question. `gone`: nothing on the connections there are is to be waited for. */
export type LivenessVerdict = "ask" | "gone" | "wait";

export interface Liveness {
  /** Whether anything is under way; nobody is asked for the sake of nothing. */
  busy(busy: boolean, nowMs: number): void;
  /** A word came, of a watch or as the answer to a question. */
  heard(nowMs: number): void;
  /** Another request was answered: somebody is there, if perhaps not behind the connections that are silent. */
  answered(): void;
  /** The question ended without an answer. Where that was at once, it may be the fault of its connection: it is asked again. */
  unanswered(nowMs: number): void;
  /** To be called at `deadlineMs`, or later. */
  due(nowMs: number): LivenessVerdict;
  deadlineMs(): number | undefined;
  /** Since when the server says nothing, once it counts as gone and until it is heard again. */
  silentSinceMs(): number | undefined;
}

/** A question that failed at once is asked again so often within the time of an answer. */
const asksMax = 3;

export const createLiveness = ({ quietMs, answerMs }: LivenessOptions): Liveness => {
  let busy = false;
  let heardMs: number | undefined;
  /** The verdict falls `quietMs` and `answerMs` after it at the earliest. */
  let quietFromMs = 0;
  let askMs = Number.NEGATIVE_INFINITY;
  /** When it was asked last, while the question is open. */
  let askedMs: number | undefined;
  let verdictMs = 0;
  let silentSinceMs: number | undefined;

  const heard = (nowMs: number): void => {
    heardMs = nowMs;
    quietFromMs = nowMs;
    silentSinceMs = undefined;
    if (askedMs === undefined) return;
    askedMs = undefined;
    askMs = nowMs + quietMs;
  };
  return {
    busy(now, nowMs) {
      if (now && !busy) {
        quietFromMs = nowMs;
        if (askedMs !== undefined) askMs = askedMs + quietMs;
        askedMs = undefined;
      }
      busy = now;
    },
    heard,
    answered() {
      silentSinceMs = undefined;
    },
    unanswered(nowMs) {
      if (askedMs !== undefined && nowMs - askedMs < answerMs / 2) askMs = nowMs + answerMs / asksMax;
    },
    due(nowMs) {
      if (!busy) return "wait";
      if (askedMs !== undefined && nowMs >= verdictMs) {
        if (nowMs - verdictMs >= lateMs) {
          verdictMs = nowMs + lateMs / 2;
          return "wait";
        }
        silentSinceMs ??= heardMs ?? quietFromMs;
        quietFromMs = nowMs;
        askedMs = undefined;
        askMs = nowMs;
        return "gone";
      }
      if (nowMs < askMs) return "wait";
      if (askedMs === undefined) verdictMs = Math.max(nowMs, quietFromMs + quietMs) + answerMs;
      askedMs = nowMs;
      askMs = Number.POSITIVE_INFINITY;
      return "ask";
    },
    deadlineMs() {
      if (!busy) return undefined;
      return askedMs === undefined ? askMs : Math.min(verdictMs, askMs);
    },
    silentSinceMs: () => silentSinceMs,
  };
};
