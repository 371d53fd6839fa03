/** What the main thread and its workers say to each other. Plain data; configuration crosses as JSON text, made once. */

import type { SocketAddress } from "@weft/core/address";
import type { LogLevel, LogScope } from "@weft/core/world";
import type { PassedSocket } from "@weft/net/tcp/pass-sockets";
import type { FoundAddress, NameQuestion } from "../dns/resolve-name.ts";
import type { ProxyNode } from "../filters/http/filter.ts";
import type { Discouraged, DrainScope } from "../http/leaving.ts";
import type { SharedSeries } from "../observe/create-stats.ts";
import type { AskOutcome, DemandedName } from "../on-demand/demands.ts";
import type { DemandedKind } from "../on-demand/on-demand.ts";
import type { OverloadShare } from "../overload/process-overload.ts";
import type { ListenerState, Rejection } from "../runtime/data-plane.ts";
import type { CountsMemory } from "./shared-counts.ts";
import type { TableMemory } from "./shared-table.ts";

/** What a worker is started with. */
export interface WorkerStart {
  readonly lane: number;
  readonly counts: CountsMemory;
  readonly connections: TableMemory;
  readonly buckets: TableMemory;
  readonly retries: SharedArrayBuffer;
  readonly node: ProxyNode;
  readonly logFormat: "text" | "json";
  readonly levels: ReadonlyMap<LogScope, LogLevel>;
  /** The main thread's distance from the clock that all threads have in common. */
  readonly clockOffsetMs: number;
  /** This thread's share of what the process may use. */
  readonly overload: OverloadShare;
  /** False: sockets that were inherited are not accepted on before `accept`. */
  readonly accepting: boolean;
}

/** An error in words that crosses threads; what is thrown at the other side reads the same. */
export interface ErrorText {
  readonly code: string;
  readonly message: string;
  readonly next: string | undefined;
}

/** The address that a listener of that name wants; the same port for every worker. */
export interface Claim {
  readonly listener: string;
  readonly address: SocketAddress;
  readonly ipv6Only: boolean;
}

export type ToWorker =
  /** Compile, touch nothing, answer `prepared`. */
  | { readonly kind: "prepare"; readonly batch: number; readonly text: string }
  /** Put the batch in force but for those keys, answer `committed`, and `settled` when its listeners are bound. */
  | { readonly kind: "commit"; readonly batch: number; readonly except: readonly string[] }
  /** With descriptors, the worker's from then on, nothing is to be bound. */
  | {
      readonly kind: "granted";
      readonly id: number;
      readonly address: SocketAddress;
      readonly descriptors: readonly number[];
    }
  | { readonly kind: "refused"; readonly id: number; readonly error: ErrorText }
  | { readonly kind: "resolved"; readonly id: number; readonly addresses: readonly FoundAddress[] }
  | { readonly kind: "unresolved"; readonly id: number; readonly reason: string }
  | { readonly kind: "demanded"; readonly id: number; readonly outcome: AskOutcome }
  | { readonly kind: "level"; readonly scope: LogScope; readonly level: LogLevel }
  | { readonly kind: "reopenLogs" }
  | { readonly kind: "accept" }
  /** Answer `sockets`. */
  | { readonly kind: "listSockets" }
  | { readonly kind: "discourage"; readonly why: Discouraged }
  /** Answer `drained`. Others may be under way. */
  | { readonly kind: "drain"; readonly id: number; readonly timeoutMs: number; readonly scope: DrainScope }
  | { readonly kind: "close" };

export type FromWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "prepared"; readonly batch: number; readonly rejections: readonly Rejection[] }
  | { readonly kind: "committed"; readonly batch: number }
  | { readonly kind: "settled"; readonly batch: number }
  | { readonly kind: "listeners"; readonly states: readonly ListenerState[] }
  | { readonly kind: "claim"; readonly id: number; readonly claim: Claim }
  | { readonly kind: "release"; readonly claim: Claim }
  | { readonly kind: "resolve"; readonly id: number; readonly question: NameQuestion }
  /** Answered by `demanded`, once what was found is in force everywhere. */
  | { readonly kind: "demand"; readonly id: number; readonly of: DemandedKind; readonly wanted: DemandedName }
  | { readonly kind: "undemand"; readonly id: number }
  | { readonly kind: "series"; readonly series: readonly SharedSeries[] }
  /** Duplicates, the main thread's from then on. */
  | { readonly kind: "sockets"; readonly sockets: readonly PassedSocket[] }
  | { readonly kind: "log"; readonly line: string }
  | { readonly kind: "drained"; readonly id: number }
  | { readonly kind: "closed" };
