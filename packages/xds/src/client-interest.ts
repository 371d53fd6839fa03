/** What one client wants and holds of one resource type, over all its streams, and what it told this stream. */
import { type SubscribedType, subscribedTypes } from "./resource.ts";

export interface Interest {
  readonly type: SubscribedType;
  /** Every resource of the type, named or not. */
  wildcard: boolean;
  /** With `*` among them where everything is wanted: names beside it are asked for by themselves. */
  readonly wanted: Set<string>;
  /** Accepted resources: name → version. Survives the stream; what nobody wants any more is not in it. */
  readonly held: Map<string, string>;
  /** Other names of resources, by which they may be wanted. */
  readonly aliases: Map<string, readonly string[]>;
  /** Held resources with a lifetime → when it ends. It runs on without a stream. */
  readonly expires: Map<string, number>;
  /** SotW: the version of the last response that was accepted whole. */
  version: string;
  /** Part of a later response was accepted: what is held is not what any version stands for. */
  mixed: boolean;
  /** Nonce of the newest response on this stream. */
  nonce: string;
  /** Whether this stream has a request of this type. */
  requested: boolean;
  /** Names this stream was told, so that only differences are sent. */
  readonly told: Set<string>;
  /** Names waited for on this stream → when to give up waiting. */
  readonly waiting: Map<string, number>;
  /** Responses offered and not judged yet. */
  unjudged: number;
}

export const createInterests = (): ReadonlyMap<string, Interest> =>
  new Map(
    subscribedTypes.map((type): [string, Interest] => [
      type.typeUrl,
      {
        type,
        wildcard: false,
        wanted: new Set(),
        held: new Map(),
        aliases: new Map(),
        expires: new Map(),
        version: "",
        mixed: false,
        nonce: "",
        requested: false,
        told: new Set(),
        waiting: new Map(),
        unjudged: 0,
      },
    ]),
  );

export const isWanted = ({ wildcard, wanted, aliases }: Interest, name: string): boolean =>
  wildcard || wanted.has(name) || aliases.get(name)?.some((alias) => wanted.has(alias)) === true;

/** Forgets what belonged to a stream. */
export const endStream = (interest: Interest): void => {
  interest.nonce = "";
  interest.requested = false;
  interest.told.clear();
  interest.waiting.clear();
  interest.unjudged = 0;
};

/** The resource is held no more. */
export const drop = (interest: Interest, name: string): void => {
  interest.held.delete(name);
  interest.aliases.delete(name);
  interest.expires.delete(name);
};

/** Replaces what is wanted; resources that no longer are stop being held, and so are not claimed on reconnect. */
export const changeInterest = (interest: Interest, names: ReadonlySet<string> | "*"): void => {
  interest.wanted.clear();
  for (const name of names === "*" ? ["*"] : names) interest.wanted.add(name);
  interest.wildcard = interest.wanted.has("*");
  for (const name of interest.held.keys()) if (!isWanted(interest, name)) drop(interest, name);
  for (const name of interest.waiting.keys()) if (!isWanted(interest, name)) interest.waiting.delete(name);
};

/** Starts the clock for wanted names that this stream has asked for and that are not here. */
export const startWaiting = (interest: Interest, untilMs: number): void => {
  for (const name of interest.wanted)
    if (name !== "*" && !interest.held.has(name) && !interest.waiting.has(name)) interest.waiting.set(name, untilMs);
};
