/** What one stream knows about one resource type: what the client wants, what it was given, what it said about it. */
import type { Versioned } from "./diff.ts";
import { NameSet } from "./name-set.ts";
import { type ResourceType, resourceTypeOfUrl, resourceTypes } from "./resource.ts";
import type { DeltaRequest, SotwRequest, SyncStatus, TypeSync } from "./stream-messages.ts";

/** A response not yet answered by its nonce. */
export interface Sent {
  readonly nonce: string;
  readonly version: string;
  readonly epoch: number;
  readonly sentAtMs: number;
  readonly entries: readonly { readonly name: string }[];
  /** It brought clusters the client did not have: routes to them wait for its ACK. */
  readonly addsClusters: boolean;
}

/** Unanswered responses remembered per type; older ones count as lost. */
const unansweredMax = 64;
/** Names one client may subscribe to per type. */
export const namesMax = 200_000;
/** Resources remembered as too large per type. */
const tooLargeMax = 64;
const backoffStepMs = 1_000;
const backoffMaxMs = 5_000;

/** The name that all of a type goes by. */
export const wholeSetName = "";
const wholeSet: ReadonlySet<string> = new Set([wholeSetName]);

const nothing: ReadonlyMap<string, Versioned> = new Map();
const noNames: ReadonlySet<string> = new Set();
const noVersions: ReadonlyMap<string, string> = new Map();
const shortName = /[^./]+$/;

/** Envoy answers the removal of a filter's extension config with 500s, so its names are never sent as removed. */
const neverRemoved = new Set(["type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"]);

/** What a client asks for of one type. */
export interface Subscribed {
  readonly wildcard: boolean;
  readonly names: NameSet;
}

export const noSubscription: Subscribed = { wildcard: false, names: new NameSet() };

export class TypeState {
  readonly typeUrl: string;
  readonly type: ResourceType | undefined;
  /** CDS, EDS …, else the message's short name; part of every nonce. */
  readonly label: string;
  readonly removable: boolean;
  requested = false;
  wildcard = false;
  readonly names = new NameSet();
  #everNamed = false;
  /** What the client holds, as far as it is subscribed: the last state it was brought to. */
  cursor: ReadonlyMap<string, Versioned> = nothing;
  /** The cursor is what the client said it holds, subscribed or not. */
  resuming = false;
  /** The client had resources of this type when it came, and what uses them may not have been brought up to date yet. */
  resumed = false;
  /** The version a state-of-the-world client came with. */
  claimedVersion = "";
  /** The client came with the version we have, so nothing had to be sent. */
  resumedEqual = false;
  /** Names that a client of everything is not given for that. */
  unlisted: ReadonlySet<string> = noNames;
  /** Those of them that others of its resources need. */
  granted: ReadonlySet<string> = noNames;
  /** It asks for other names than before. */
  namesChanged = false;
  /** From what all its names were last brought up to date, where they mean resources of other names. */
  servedFrom: object | undefined;
  /** It ever was. */
  demanded = false;
  /** Names to send whatever the cursor says. */
  readonly owed = new NameSet();
  /** A response is due even when it is empty. */
  answerDue = false;
  /** Removals held back until nothing that the client has can use them. */
  readonly held = new Map<string, Versioned>();
  heldSinceMs = 0;
  /** Changes wait for an ACK or for the end of a backoff. */
  changesWait = false;
  blockedUntilMs = 0;
  sent: Sent[] = [];
  lastNonce = "";
  lastEpoch = 0;
  #lastVersion = "";
  #lastSentAtMs: number | undefined;
  #ackedVersion = "";
  #ackedAtMs: number | undefined;
  #error: string | undefined;
  #errorAtMs = 0;
  /** Most clients never reject anything. */
  #rejected: Set<string> | undefined;
  /** What was too large to be sent, by name. */
  #tooLarge: Map<string, string> | undefined;
  #nacksInRow = 0;

  constructor(typeUrl: string) {
    this.typeUrl = typeUrl;
    this.type = resourceTypeOfUrl(typeUrl);
    this.label = this.type?.label ?? shortName.exec(typeUrl)?.[0] ?? "";
    this.removable = !neverRemoved.has(typeUrl);
  }

  covers(name: string): boolean {
    if (this.names.has(name)) return true;
    return this.wildcard && (!this.unlisted.has(name) || this.granted.has(name));
  }

  /** All there are. */
  get coversAll(): boolean {
    return this.wildcard && this.unlisted.size === 0;
  }

  /** Something is left for later. */
  get waits(): boolean {
    return this.changesWait || this.held.size > 0;
  }

  get fullState(): boolean {
    return this.type?.fullState === true;
  }

  get nacked(): boolean {
    return this.#error !== undefined;
  }

  /** The newest list replaces the last; names that are new in it are owed. */
  subscribeSotw({ names }: SotwRequest, first: boolean): void {
    const legacy = names.length === 0 && !this.#everNamed && this.fullState;
    if (names.length > 0) this.#everNamed = true;
    const wanted = new Set(names);
    const wildcard = legacy || wanted.delete("*");
    if (wildcard && !this.wildcard && !first) this.cursor = nothing;
    for (const name of wanted) if (first || !this.names.has(name)) this.owed.add(name);
    if (first || this.owed.size > 0 || (wildcard && !this.wildcard)) this.answerDue = true;
    this.wildcard = wildcard;
    this.names.clear();
    for (const name of wanted) this.names.add(name);
    for (const name of [...this.owed]) if (!this.covers(name)) this.owed.delete(name);
  }

  subscribeDelta(request: DeltaRequest, first: boolean): void {
    const { subscribe, unsubscribe, initialVersions } = request;
    if (subscribe.length + unsubscribe.length > 0) {
      this.namesChanged = true;
      this.servedFrom = undefined;
    }
    if (first) {
      this.wildcard = this.fullState && subscribe.length === 0 && unsubscribe.length === 0;
      // Those who come with nothing have the same of it: what they are sent is found once for all.
      if (initialVersions.size > 0)
        this.cursor = new Map([...initialVersions].map(([name, version]) => [name, { version }]));
      this.resuming = initialVersions.size > 0;
      this.answerDue = true;
    }
    if (this.names.size === 0 && initialVersions.size === 0 && !subscribe.includes("*")) {
      this.names.addAll(subscribe);
      this.owed.addAll(subscribe);
    } else {
      this.#subscribe(subscribe, first ? initialVersions : noVersions, first);
    }
    for (const name of unsubscribe) this.#unsubscribe(name);
  }

  #subscribe(names: readonly string[], held: ReadonlyMap<string, string>, first: boolean): void {
    for (const name of names) {
      if (name === "*") {
        if (!this.wildcard && !first) this.cursor = this.#subscribedPart();
        this.wildcard = true;
      } else {
        this.names.add(name);
        if (!held.has(name)) this.owed.add(name);
      }
    }
  }

  /** Every name it asks for is to be sent. */
  oweAll(): void {
    if (this.#owesNames) return;
    for (const name of this.names) this.owed.add(name);
  }

  /** All that it is subscribed to is to be sent, which is found without looking at each name. */
  get owesAll(): boolean {
    return !this.wildcard && (this.names.size === 0 || this.#owesNames);
  }

  get #owesNames(): boolean {
    return this.owed.shared !== undefined && this.owed.shared === this.names.shared;
  }

  #unsubscribe(name: string): void {
    if (name === "*") {
      if (!this.wildcard) return;
      this.wildcard = false;
      for (const other of [...this.owed]) if (!this.names.has(other)) this.owed.delete(other);
      return;
    }
    this.names.delete(name);
    this.#rejected?.delete(name);
    this.#tooLarge?.delete(name);
    if (this.wildcard) {
      this.owed.add(name);
    } else {
      this.owed.delete(name);
      this.held.delete(name);
    }
  }

  #subscribedPart(): ReadonlyMap<string, Versioned> {
    const part = new Map<string, Versioned>();
    for (const name of this.names) {
      const held = this.cursor.get(name);
      if (held) part.set(name, held);
    }
    return part;
  }

  /** The client holds these now, by what its names mean. */
  servedHosts(from: object, cursor: ReadonlyMap<string, Versioned>): void {
    this.cursor = cursor;
    this.servedFrom = from;
    this.owed.clear();
    this.answerDue = false;
    this.resuming = false;
  }

  remember(sent: Sent): void {
    this.sent.push(sent);
    if (this.sent.length > unansweredMax) this.sent.shift();
    this.#lastVersion = sent.version;
    this.#lastSentAtMs = sent.sentAtMs;
    this.lastNonce = sent.nonce;
    this.lastEpoch = sent.epoch;
  }

  /** The response the nonce answers, no longer waiting; older ones go with it, for answers come in order. */
  answer(nonce: string): Sent | undefined {
    let at = nonce === "" ? -1 : this.sent.length - 1;
    while (at >= 0 && this.sent[at]?.nonce !== nonce) at--;
    const found = this.sent[at];
    // Nearly always it is the only one: its place is used again.
    if (found && this.sent.length === 1) this.sent.pop();
    else if (found) this.sent = this.sent.slice(at + 1);
    return found;
  }

  ack(sent: Sent, nowMs: number): void {
    this.#ackedVersion = sent.version;
    this.#ackedAtMs = nowMs;
    this.#nacksInRow = 0;
    this.blockedUntilMs = 0;
    if (this.#error === undefined) return;
    for (const { name } of sent.entries) this.#rejected?.delete(name);
    if (!this.#rejected?.size && sent.sentAtMs >= this.#errorAtMs) this.#error = undefined;
  }

  /** Gives the names the peer's text speaks of. While they are known, an ACK of others does not end the NACK. */
  nack(sent: Sent, error: string, nowMs: number): readonly string[] {
    this.#error = error;
    this.#errorAtMs = nowMs;
    this.#nacksInRow++;
    // The first NACK must not delay the correction that may follow; a client that goes on refusing is slowed down.
    const delay = Math.min(backoffMaxMs, (this.#nacksInRow - 1) * backoffStepMs);
    this.blockedUntilMs = delay === 0 ? 0 : nowMs + delay;
    this.#rejected = new Set();
    for (const { name } of sent.entries) if (mentions(error, name)) this.#rejected.add(name);
    return [...this.#rejected];
  }

  /** Removed resources cannot be wrong any more. */
  forgetRejected(names: Iterable<string>): void {
    if (!this.#rejected?.size) return;
    for (const name of names) this.#rejected.delete(name);
    if (this.#rejected.size === 0) this.#error = undefined;
  }

  /** Gives the error's text when it is not known yet. */
  keepBack(name: string, bytes: number, bytesMax: number): string | undefined {
    const what = name === wholeSetName ? "the whole set" : name;
    const error = `WF3020 ${what} has ${bytes} bytes, and this client takes ${bytesMax} in one message`;
    this.#tooLarge ??= new Map();
    if (this.#tooLarge.get(name) === error || this.#tooLarge.size >= tooLargeMax) return undefined;
    this.#tooLarge.set(name, error);
    return error;
  }

  get hasTooLarge(): boolean {
    return this.#tooLarge !== undefined && this.#tooLarge.size > 0;
  }

  /** These could be sent, or are no more. */
  forgetTooLarge(names: Iterable<string>): void {
    if (this.#tooLarge) for (const name of names) this.#tooLarge.delete(name);
  }

  sync(behind: boolean): TypeSync {
    return {
      typeUrl: this.typeUrl,
      status: this.#status(behind),
      version: this.#lastVersion,
      ackedVersion: this.#ackedVersion,
      nonce: this.lastNonce,
      sentAtMs: this.#lastSentAtMs,
      ackedAtMs: this.#ackedAtMs,
      error: this.#error ?? this.#tooLarge?.values().next().value,
      rejected: this.#rejectedNames(),
      wildcard: this.wildcard,
      names: this.names.size,
    };
  }

  #rejectedNames(): ReadonlySet<string> {
    if (this.#error !== undefined) return this.#rejected ?? noNames;
    return this.#tooLarge ? new Set(this.#tooLarge.keys()).difference(wholeSet) : noNames;
  }

  #status(behind: boolean): SyncStatus {
    if (this.#error !== undefined) return "NACK";
    if (this.hasTooLarge) return "ERROR";
    if (this.#lastSentAtMs === undefined && !this.resumedEqual) return "NOT SENT";
    return behind || this.sent.length > 0 ? "STALE" : "SYNCED";
  }
}

/** Where its type comes in a push. */
export const rankOf = ({ typeUrl }: TypeState): number => {
  const at = resourceTypes.findIndex((type) => type.typeUrl === typeUrl);
  return at < 0 ? resourceTypes.length : at;
};

const partOfName = /[\w.\-|:~/]/;

/** Whether the text has the name as a word of its own. */
const mentions = (text: string, name: string): boolean => {
  for (let at = text.indexOf(name); at >= 0 && name !== ""; at = text.indexOf(name, at + 1)) {
    const after = text[at + name.length];
    const ends = after === undefined || !partOfName.test(after) || /[.:]/.test(after);
    if (ends && !partOfName.test(text[at - 1] ?? " ")) return true;
  }
  return false;
};
