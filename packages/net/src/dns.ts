import { lookup } from "node:dns/promises";

export type AddressFamily = "auto" | "v4" | "v6" | "v4Preferred" | "all";

/** Resolves a name by the system's resolver; rejects when it has no address. Never cached here. */
export type ResolveName = (name: string, family: AddressFamily) => Promise<readonly string[]>;

/** `auto` prefers IPv6 and takes IPv4 without it, `v4Preferred` the other way round, as Envoy does. */
export const resolveName: ResolveName = async (name, family) => {
  const found = await lookup(name, { all: true, family: family === "v4" ? 4 : family === "v6" ? 6 : 0 });
  const v4 = found.filter((each) => each.family === 4).map(({ address }) => address);
  const v6 = found.filter((each) => each.family === 6).map(({ address }) => address);
  if (family === "all") return [...v4, ...v6];
  const [first, second] = family === "auto" ? [v6, v4] : [v4, v6];
  return first.length > 0 ? first : second;
};
