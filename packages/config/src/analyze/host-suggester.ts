/** Finds which known host a mistaken one most likely means. */
import { nearest, nearestAmong } from "../schema/nearest.ts";

/** Suggestions compare with many names, so after this many a run makes no more. */
const suggestionsMax = 50;
/** Of more hosts than these, only those are compared that share the first label with the mistaken one, or all but that. */
const wholeHostsMax = 500;

export const hostSuggester = (
  services: readonly { readonly hostname: string }[],
): ((host: string) => string | undefined) => {
  const made = new Map<string, string | undefined>();
  const hosts = [...new Set(services.map(({ hostname }) => hostname))];
  const near = once(() => nearestAmong([...new Set(hosts.flatMap((host) => [host, parted(host).first]))]));
  const byFirst = once(() => Map.groupBy(hosts, (host) => parted(host).first));
  const byRest = once(() => Map.groupBy(hosts, (host) => parted(host).rest));
  const labelsNear = new Map<string, (label: string) => string | undefined>();
  const labelNear = (label: string, rest: string): string | undefined => {
    const known = labelsNear.get(rest) ?? nearestAmong((byRest().get(rest) ?? []).map((one) => parted(one).first));
    labelsNear.set(rest, known);
    return known(label);
  };

  const suggest = (host: string): string | undefined => {
    const longer = hosts.find((one) => one.startsWith(`${host}.`));
    if (longer !== undefined) return longer;
    const { first, rest } = parted(host);
    if (rest === "") return near()(host);
    const label = labelNear(first, rest);
    if (label !== undefined) return `${label}.${rest}`;
    return nearest(host, byFirst().get(first) ?? []) ?? (hosts.length > wholeHostsMax ? undefined : near()(host));
  };
  return (host) => {
    if (!made.has(host) && made.size < suggestionsMax) made.set(host, suggest(host));
    return made.get(host);
  };
};

/** The first label, and what is behind it. */
const parted = (host: string): { readonly first: string; readonly rest: string } => {
  const dot = host.indexOf(".");
  return dot === -1 ? { first: host, rest: "" } : { first: host.slice(0, dot), rest: host.slice(dot + 1) };
};

const once = <T>(make: () => T): (() => T) => {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
};
