/** Follows one collection: carries out what its reflector decides, on the API and on the clock. */
import type { Clock, SetTimer } from "@weft/core/world";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import {
  createReflector,
  type Failure,
  type ReflectorInput,
  type ReflectorOptions,
  type ReflectorOutput,
} from "./reflector.ts";

/** A page of the largest objects over a slow line. */
const listTimeoutMs = 120_000;
/** Of what is asked in order to see how far the server is; one that takes 10 s to answer still serves. */
export const smallTimeoutMs = 15_000;

export type CollectionFact = Extract<ReflectorOutput, { readonly kind: "listed" | "put" | "removed" | "state" }>;

export interface FollowOptions extends ReflectorOptions {
  readonly api: Pick<KubernetesApi, "call" | "watch">;
  /** Of the collection, without a query. */
  readonly path: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly tell: (fact: CollectionFact) => void;
}

/** Runs until disposed, and tells nothing after that. */
export const followCollection = (options: FollowOptions): Disposable => {
  const { api, path, clock, setTimer, tell } = options;
  const reflector = createReflector(options);
  let timer: Disposable | undefined;
  let under: AbortController | undefined;
  let silence = 0;
  let disposed = false;

  const stop = (): void => {
    timer?.[Symbol.dispose]();
    timer = undefined;
    under?.abort();
    under = undefined;
  };
  const arm = (ms: number): void => {
    timer?.[Symbol.dispose]();
    timer = setTimer(() => step({ kind: "due" }), ms);
  };
  const get = (query: string, timeoutMs: number): void => {
    stop();
    const own = new AbortController();
    under = own;
    const asked = { method: "GET", path: withQuery(path, query), timeoutMs, signal: own.signal } as const;
    api.call(asked).then(
      (body) => {
        if (under === own) step({ kind: "answer", body });
      },
      (error: unknown) => {
        if (under === own) step({ kind: "failed", failure: failureOf(error) });
      },
    );
  };
  const watch = (query: string, silenceMs: number): void => {
    stop();
    const own = new AbortController();
    under = own;
    silence = silenceMs;
    arm(silence);
    const handlers = {
      line: (text: string) => {
        if (under !== own) return;
        arm(silence);
        step({ kind: "line", text });
      },
      ended: (error: KubernetesError | undefined) => {
        if (under === own) step(error ? { kind: "failed", failure: failureOf(error) } : { kind: "ended" });
      },
    };
    api.watch(withQuery(path, query), handlers, own.signal);
  };
  const step = (input: ReflectorInput): void => {
    for (const output of reflector.step(input, clock.nowMs())) {
      if (disposed) return;
      if (output.kind === "get") get(output.query, output.small ? smallTimeoutMs : listTimeoutMs);
      else if (output.kind === "watch") watch(output.query, output.silenceMs);
      else if (output.kind === "silence") {
        silence = output.ms;
        arm(silence);
      } else if (output.kind === "wait") {
        stop();
        arm(output.ms);
      } else tell(output);
    }
  };
  timer = setTimer(() => step({ kind: "start" }), 0);
  return {
    [Symbol.dispose]: () => {
      disposed = true;
      stop();
    },
  };
};

const withQuery = (path: string, query: string): string => (query === "" ? path : `${path}?${query}`);

const failureOf = (error: unknown): Failure =>
  error instanceof KubernetesError
    ? { status: error.status, reason: error.reason, message: error.message, retryAfterMs: error.retryAfterMs }
    : { status: 0, reason: "", message: String(error) };
