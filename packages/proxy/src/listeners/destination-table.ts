import type { SocketAddress } from "@weft/core/address";
import { parseIPv6 } from "@weft/core/ip";

/** What has addresses that connections may have been going to. */
export interface Destination {
  readonly config: { readonly addresses: readonly SocketAddress[] };
}

interface AtPort<T> {
  readonly byHost: Map<string, T[]>;
  /** Those of any address, in the order they came. */
  readonly wildcards: T[];
}

/** The same for every spelling of an address. */
const hostKey = (host: string): string => {
  if (!host.includes(":")) return host;
  const bytes = parseIPv6(host);
  return bytes === undefined ? host : Buffer.from(bytes).toString("latin1");
};

/** Finds the listener of a destination by its port, however many listeners there are. */
export class DestinationTable<T extends Destination> {
  private readonly listeners: () => Iterable<T>;
  private byPort: Map<number, AtPort<T>> | undefined = undefined;

  constructor(listeners: () => Iterable<T>) {
    this.listeners = listeners;
  }

  /** To be called when listeners came, went or changed: the table is made anew at the next question. */
  changed(): void {
    this.byPort = undefined;
  }

  /** As Envoy: the listener of that very address, else the one of its port on any address; never `from`. */
  find({ host, port }: SocketAddress, from: T): T | undefined {
    this.byPort ??= this.build();
    const at = this.byPort.get(port);
    if (at === undefined) return undefined;
    const other = (listener: T): boolean => listener !== from;
    return at.byHost.get(hostKey(host))?.find(other) ?? at.wildcards.find(other);
  }

  private build(): Map<number, AtPort<T>> {
    const byPort = new Map<number, AtPort<T>>();
    for (const listener of this.listeners()) {
      for (const { host, port } of listener.config.addresses) {
        let at = byPort.get(port);
        if (at === undefined) {
          at = { byHost: new Map(), wildcards: [] };
          byPort.set(port, at);
        }
        if (host === "0.0.0.0" || host === "::") {
          if (at.wildcards.at(-1) !== listener) at.wildcards.push(listener);
          continue;
        }
        const key = hostKey(host);
        const there = at.byHost.get(key);
        if (there === undefined) at.byHost.set(key, [listener]);
        else there.push(listener);
      }
    }
    return byPort;
  }
}
