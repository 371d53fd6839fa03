import { networkInterfaces } from "node:os";

/** The addresses of this machine's interfaces as they are now, without zones. */
export const localHosts = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));
