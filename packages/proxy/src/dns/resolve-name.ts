import type { SocketAddress } from "@weft/core/address";

export type AddressFamily = "auto" | "v4" | "v6" | "v4Preferred" | "all";

/** Whom to ask and how, where configuration says other than the machine does. Plain data: it crosses threads. */
export interface ResolverSettings {
  /** Empty: the machine's. */
  readonly servers: readonly SocketAddress[];
  /** The servers given are only for machines that have none of their own. */
  readonly fallbackOnly: boolean;
  readonly useTcp: boolean;
  readonly noSearch: boolean;
  readonly rotate: boolean;
  readonly timeoutMs: number | undefined;
  readonly attempts: number | undefined;
}

export const machineResolver: ResolverSettings = {
  servers: [],
  fallbackOnly: false,
  useTcp: false,
  noSearch: false,
  rotate: false,
  timeoutMs: undefined,
  attempts: undefined,
};

export interface NameQuestion {
  readonly name: string;
  readonly family: AddressFamily;
  readonly resolver: ResolverSettings;
}

export interface FoundAddress {
  readonly address: string;
  /** For how many seconds it may be kept; 0 where nobody says, as of a hosts file. */
  readonly ttl: number;
}

/** The addresses of a name: none where it is known that there are none; rejects when that could not be found out. */
export type ResolveName = (question: NameQuestion) => Promise<readonly FoundAddress[]>;
