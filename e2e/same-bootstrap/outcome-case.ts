import type { Http2Call } from "./http2-call.ts";
import type { Step } from "./talk.ts";

/** One way a request can end. */
export interface OutcomeCase {
  readonly name: string;
  readonly listener?: "plain" | "mapped" | "hasty" | "strict" | "idle";
  readonly steps?: readonly Step[];
  readonly http2?: Http2Call;
  /** Lines of the access log that it leaves. */
  readonly lines?: number;
  readonly silenceMs?: number;
  readonly lingerMs?: number;
}
