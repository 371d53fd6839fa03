/** The two forms of the protocol, as one interface: incremental ("delta") and state of the world. */
import type { Interest } from "./client-interest.ts";
import type { DeltaRequest, DeltaResponse, DiscoveryRequest, DiscoveryResponse, ErrorDetail } from "./discovery.ts";

export type ClientRequest =
  | ({ readonly form: "delta" } & DeltaRequest)
  | ({ readonly form: "sotw" } & DiscoveryRequest);
export type ClientResponse =
  | ({ readonly form: "delta" } & DeltaResponse)
  | ({ readonly form: "sotw" } & DiscoveryResponse);

export interface Dialect {
  /** The type's first request on a stream: everything wanted and, in delta, everything held. */
  first(interest: Interest): ClientRequest;
  /** Tells the stream how what is wanted differs from what it was told; `undefined` when it does not. */
  change(interest: Interest): ClientRequest | undefined;
  /** Answers the response of that nonce. `undefined` when a newer response will be answered instead. */
  answer(interest: Interest, nonce: string, error: ErrorDetail | undefined): ClientRequest | undefined;
}

const tell = (interest: Interest): void => {
  interest.told.clear();
  for (const name of interest.wanted) interest.told.add(name);
};

const differs = ({ told, wanted }: Interest): boolean =>
  told.size !== wanted.size || [...wanted].some((name) => !told.has(name));

/** Everything there is, and nothing by name, is asked for by no name at all. */
const namesOf = ({ wildcard, wanted }: Interest): readonly string[] =>
  wildcard && wanted.size === 1 ? [] : [...wanted];

const none: ReadonlyMap<string, string> = new Map();
const delta = (interest: Interest, rest: Partial<DeltaRequest>): ClientRequest => ({
  form: "delta",
  node: undefined,
  typeUrl: interest.type.typeUrl,
  subscribe: [],
  unsubscribe: [],
  initialVersions: none,
  responseNonce: "",
  errorDetail: undefined,
  ...rest,
});

export const deltaDialect: Dialect = {
  first: (interest) => {
    tell(interest);
    return delta(interest, { subscribe: namesOf(interest), initialVersions: new Map(interest.held) });
  },
  change: (interest) => {
    if (!differs(interest)) return undefined;
    const subscribe = [...interest.wanted].filter((name) => !interest.told.has(name));
    const unsubscribe = [...interest.told].filter((name) => !interest.wanted.has(name));
    tell(interest);
    return delta(interest, { subscribe, unsubscribe });
  },
  answer: (interest, nonce, errorDetail) => delta(interest, { responseNonce: nonce, errorDetail }),
};

const sotw = (interest: Interest, nonce: string, rest: Partial<DiscoveryRequest> = {}): ClientRequest => {
  tell(interest);
  return {
    form: "sotw",
    node: undefined,
    typeUrl: interest.type.typeUrl,
    versionInfo: interest.version,
    resourceNames: namesOf(interest),
    responseNonce: nonce,
    errorDetail: undefined,
    ...rest,
  };
};

export const sotwDialect: Dialect = {
  // A server may leave a version it has itself unanswered, so only who holds exactly that may come with it.
  first: (interest) => sotw(interest, "", interest.mixed ? { versionInfo: "" } : {}),
  // A request with the newest nonce would acknowledge it, so a change waits for the verdict and goes with the answer.
  change: (interest) => (!differs(interest) || interest.unjudged > 0 ? undefined : sotw(interest, interest.nonce)),
  answer: (interest, nonce, errorDetail) =>
    nonce === interest.nonce ? sotw(interest, nonce, { errorDetail }) : undefined,
};
