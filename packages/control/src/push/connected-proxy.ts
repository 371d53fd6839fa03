import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { Snapshot } from "@weft/xds/snapshot";
import type { StreamMode, TypeSync } from "@weft/xds/stream-messages";
import type { ProxyFacts } from "../generate/proxy-facts.ts";

/** A proxy as status commands see it. */
export interface ConnectedProxy {
  readonly proxy: ProxyFacts;
  readonly node: NodeJson;
  readonly mode: StreamMode;
  readonly peerAddress: string;
  readonly secure: boolean;
  readonly connectedAtMs: number;
  /** Times of the clock's `nowMs`. */
  readonly types: () => readonly TypeSync[];
  /** What it was told to have. */
  readonly snapshot: () => Snapshot | undefined;
  readonly isSubscribed: (typeUrl: string, name: string) => boolean;
}
