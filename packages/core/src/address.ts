/** Socket addresses as values: `10.0.0.1:80`, `[::1]:80`. Names are not resolved here. */
export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/** Parses `HOST:PORT` or `[IPV6]:PORT`; the port is 0 to 65535. `undefined` when it is neither. */
export const parseAddress = (text: string): SocketAddress | undefined => {
  const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const port = Number(match[3]);
  const host = match[1] ?? match[2] ?? "";
  return port > 65_535 || host === "" ? undefined : { host, port };
};

export const formatAddress = ({ host, port }: SocketAddress): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
