/**
 * The filter chains of a listener by what their matches ask for, property by property in Envoy's order of precedence.
 * At each property the most specific value that holds is taken, and a chain left out there does not come back later.
 */
import { isLoopback } from "@weft/core/address";
import type { CompiledMatch, ConnectionFacts } from "./filter-chain-match.ts";
import { type IpNumber, type IpRange, parseIp } from "./ip-range.ts";

/** All values of all properties of all chains, each with each: more of them than this are refused. */
export const chainPlacesMax = 1_000_000;

const anyPort = 0;

/** Values by address range; the longest range that holds an address gives its value. */
class RangeMap<T> {
  private anywhere: T | undefined = undefined;
  private readonly byLength = new Map<number, Map<bigint, T>>();
  private lengths: readonly number[] = [];

  at(range: IpRange | undefined, make: () => T): T {
    if (range === undefined) {
      this.anywhere ??= make();
      return this.anywhere;
    }
    const key = lengthKey(range.base, range.prefixLength);
    let values = this.byLength.get(key);
    if (values === undefined) {
      values = new Map();
      this.byLength.set(key, values);
      this.lengths = [...this.byLength.keys()].sort((a, b) => b - a);
    }
    return place(values, networkOf(range.base, range.prefixLength), make);
  }

  find(ip: IpNumber | undefined): T | undefined {
    if (ip === undefined) return this.anywhere;
    const family = lengthKey(ip, 0);
    for (const length of this.lengths) {
      if (length < family || length > family + ip.bits) continue;
      const found = this.byLength.get(length)?.get(networkOf(ip, length - family));
      if (found !== undefined) return found;
    }
    return this.anywhere;
  }
}

/** Lengths of both families in one order, each from its own number on. */
const lengthKey = ({ bits }: IpNumber, length: number): number => (bits === 32 ? 0 : 1000) + length;
const networkOf = ({ bits, value }: IpNumber, length: number): bigint => value >> BigInt(bits - length);

const place = <K, T>(map: Map<K, T>, key: K, make: () => T): T => {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
};

type Ports<T> = Map<number, T>;
type Sources<T> = RangeMap<Ports<T>>;
type SourceTypes<T> = Map<CompiledMatch["sourceType"], Sources<T>>;
type Directs<T> = RangeMap<SourceTypes<T>>;
type Protocols<T> = Map<string, Directs<T>>;
type Transports<T> = Map<string, Protocols<T>>;
type Names<T> = Map<string, Transports<T>>;
type Destinations<T> = RangeMap<Names<T>>;

const orAny = <T>(list: readonly T[]): readonly (T | undefined)[] => (list.length === 0 ? [undefined] : list);

/** As Envoy: of all the addresses a machine has for itself only the usual one. */
const isLocal = ({ sourceHost, destinationHost }: ConnectionFacts): boolean =>
  sourceHost === destinationHost || (isLoopback(sourceHost) && (sourceHost === "127.0.0.1" || sourceHost === "::1"));

interface Matched {
  readonly match: CompiledMatch;
}

export class ChainIndex<T extends Matched> {
  private readonly ports = new Map<number, Destinations<T>>();
  private places = 0;

  /** The chain that has one of its places already; `undefined`: it was put in. */
  add(chain: T): T | "tooMany" | undefined {
    const { match } = chain;
    const { length: many } = match.serverNames;
    const lists = [match.destinationRanges, match.applicationProtocols, match.directSourceRanges, match.sourceRanges];
    const product = lists.reduce((product, list) => product * Math.max(1, list.length), Math.max(1, many));
    this.places += product * Math.max(1, match.sourcePorts.length);
    if (this.places > chainPlacesMax) return "tooMany";
    const destinations = place(this.ports, match.destinationPort ?? anyPort, () => new RangeMap<Names<T>>());
    for (const range of orAny(match.destinationRanges)) {
      const names = destinations.at(range, () => new Map());
      for (const name of orAny(match.serverNames)) {
        const twin = this.addNamed(names, name?.replace(/^\*/, "") ?? "", chain);
        if (twin !== undefined) return twin;
      }
    }
    return undefined;
  }

  find(facts: ConnectionFacts): T | undefined {
    const destinations = this.ports.get(facts.destinationPort) ?? this.ports.get(anyPort);
    const names = destinations?.find(parseIp(facts.destinationHost));
    const transports = names && byName(names, facts.serverName);
    const protocols = transports?.get(facts.transportProtocol) ?? transports?.get("");
    const directs = protocols && byProtocol(protocols, facts.applicationProtocols);
    const types = directs?.find(parseIp(facts.directSourceHost ?? facts.sourceHost));
    const sources = types && (bySourceType(types, facts) ?? types.get("ANY"));
    const ports = sources?.find(parseIp(facts.sourceHost));
    return ports?.get(facts.sourcePort) ?? ports?.get(anyPort);
  }

  private addNamed(names: Names<T>, name: string, chain: T): T | undefined {
    const { match } = chain;
    const transports = place(names, name, (): Transports<T> => new Map());
    const protocols = place(transports, match.transportProtocol, (): Protocols<T> => new Map());
    for (const protocol of orAny(match.applicationProtocols)) {
      const directs = place(protocols, protocol ?? "", () => new RangeMap<SourceTypes<T>>());
      for (const direct of orAny(match.directSourceRanges)) {
        const types = directs.at(direct, () => new Map());
        const sources = place(types, match.sourceType, () => new RangeMap<Ports<T>>());
        for (const source of orAny(match.sourceRanges)) {
          const twin = addPorts(
            sources.at(source, () => new Map()),
            chain,
          );
          if (twin !== undefined) return twin;
        }
      }
    }
    return undefined;
  }
}

const addPorts = <T extends Matched>(ports: Ports<T>, chain: T): T | undefined => {
  for (const port of orAny(chain.match.sourcePorts)) {
    const there = ports.get(port ?? anyPort);
    if (there !== undefined) return there;
    ports.set(port ?? anyPort, chain);
  }
  return undefined;
};

/** The name itself, then by ever shorter endings, then whoever asks for no name. */
const byName = <T>(names: Names<T>, name: string): Transports<T> | undefined => {
  const exact = names.get(name);
  if (exact !== undefined) return exact;
  for (let at = name.indexOf(".", 1); at > 0 && at < name.length - 1; at = name.indexOf(".", at + 1)) {
    const found = names.get(name.slice(at));
    if (found !== undefined) return found;
  }
  return names.get("");
};

/** The first that the client offers, in its order. */
const byProtocol = <T>(protocols: Protocols<T>, offered: readonly string[]): Directs<T> | undefined => {
  for (const each of offered) {
    const found = protocols.get(each);
    if (found !== undefined) return found;
  }
  return protocols.get("");
};

const bySourceType = <T>(types: SourceTypes<T>, facts: ConnectionFacts): Sources<T> | undefined => {
  const [local, external] = [types.get("SAME_IP_OR_LOOPBACK"), types.get("EXTERNAL")];
  if (local === undefined && external === undefined) return undefined;
  return isLocal(facts) ? local : external;
};
