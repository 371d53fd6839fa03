/**
 * The handing over of listening sockets as the process that has them sees it: they are offered, somebody takes them, and
 * that one confirms or is given up. No input or output; time is an argument.
 */
export type Handover =
  /** Waits for somebody to ask; so it is again after who asked was given up. */
  | { readonly kind: "offered" }
  /** Somebody has them and gets ready; we serve as ever. */
  | { readonly kind: "taken"; readonly untilMs: number }
  /** Somebody else serves: we stop. */
  | { readonly kind: "confirmed" }
  /** We stop by ourselves and hand nothing over. */
  | { readonly kind: "withdrawn" };

export type HandoverEvent =
  | { readonly kind: "ask" }
  /** What it said when it was ready. */
  | { readonly kind: "answer"; readonly ours: boolean }
  /** The conversation is over. */
  | { readonly kind: "gone" }
  /** The sockets could not be sent. */
  | { readonly kind: "unsent"; readonly reason: string }
  | { readonly kind: "time" }
  | { readonly kind: "withdraw" };

export type HandoverEffect =
  | { readonly kind: "none" }
  /** Send the sockets to who asks. */
  | { readonly kind: "send" }
  /** Say nothing to who asks and end the conversation with it; the one before it stands. */
  | { readonly kind: "refuse"; readonly reason: string }
  /** End the conversation with who has them. */
  | { readonly kind: "giveUp"; readonly reason: string }
  /** Say that they are its own now, and stop. */
  | { readonly kind: "handOver" }
  /** Stop offering and end whatever conversation there is. */
  | { readonly kind: "stop" };

export interface HandoverStep {
  readonly state: Handover;
  readonly effect: HandoverEffect;
}

export const offered: Handover = { kind: "offered" };
const nothing: HandoverEffect = { kind: "none" };

/** What an event makes of the handing over. Who took the sockets has `readyMs` to confirm. */
export const stepHandover = (state: Handover, event: HandoverEvent, nowMs: number, readyMs: number): HandoverStep => {
  const stay = (effect: HandoverEffect = nothing): HandoverStep => ({ state, effect });
  const again = (reason: string): HandoverStep => ({ state: offered, effect: { kind: "giveUp", reason } });
  if (event.kind === "ask") {
    if (state.kind === "offered")
      return { state: { kind: "taken", untilMs: nowMs + readyMs }, effect: { kind: "send" } };
    return stay({
      kind: "refuse",
      reason: state.kind === "taken" ? "another process is taking the sockets" : "the sockets are no longer offered",
    });
  }
  if (event.kind === "withdraw") {
    if (state.kind === "confirmed" || state.kind === "withdrawn") return stay();
    return { state: { kind: "withdrawn" }, effect: { kind: "stop" } };
  }
  if (state.kind !== "taken") return stay();
  switch (event.kind) {
    case "gone":
      return again("the process that asked went without taking the sockets");
    case "unsent":
      return again(event.reason);
    case "answer":
      if (!event.ours) return again("the answer is not one of ours");
      if (nowMs >= state.untilMs) return again(late(readyMs));
      return { state: { kind: "confirmed" }, effect: { kind: "handOver" } };
    case "time":
      return nowMs < state.untilMs ? stay() : again(late(readyMs));
    default:
      return event satisfies never;
  }
};

const late = (readyMs: number): string => `the process that asked was not ready within ${readyMs / 1000} s`;
