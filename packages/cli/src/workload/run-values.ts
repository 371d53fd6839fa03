import { isLoopback, parseAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";

const bad = (message: string, next: string): WeftError => new WeftError("WF9022", message, { next });

/** A service's, workload's or namespace's name: as Kubernetes has it, for it becomes part of host names. */
export const parseName = (flag: string, text: string): string => {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text)) return text;
  throw bad(`${flag} "${text}" is not a name: small letters, digits and -, at most 63`, `${flag} billing`);
};

/** A service account's name: dots are taken too. */
export const parseAccount = (flag: string, text: string): string => {
  if (/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(text)) return text;
  throw bad(`${flag} "${text}" is not a name: small letters, digits, - and .`, `${flag} billing`);
};

export const parsePort = (flag: string, text: string, example: string): number => {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw bad(`"${text}" is not a port`, `${flag} ${example}`);
};

export const protocols = ["http", "http2", "grpc", "tcp"] as const;

export const parseProtocol = (text: string): (typeof protocols)[number] => {
  const found = protocols.find((protocol) => protocol === text.toLowerCase());
  if (found) return found;
  throw bad(`"${text}" is not a protocol`, `--protocol ${protocols.join("|")}`);
};

/** The port of the program's way out. It is on loopback always: what comes in there is taken to be the program. */
export const parseOutbound = (text: string): number => {
  const address = parseAddress(text);
  if (address && ["127.0.0.1", "localhost"].includes(address.host)) return address.port;
  throw bad(`--outbound "${text}" is not an address on 127.0.0.1`, "--outbound 127.0.0.1:15001");
};

/** Where the sidecar answers DNS: as given, or Istio's port; `undefined` when it is not asked to. */
export const parseDns = (given: string | true | undefined): string | undefined => {
  if (given === undefined) return undefined;
  if (given === true) return "127.0.0.1:15053";
  const address = parseAddress(given);
  if (address && isLoopback(address.host)) return given;
  throw new WeftError("WF3112", `--dns ${given}: DNS is answered on loopback only`, { next: "--dns 127.0.0.1:15053" });
};

/** `a=1,b=2`. */
export const parseLabels = (text: string): Readonly<Record<string, string>> => {
  const pairs = text.split(",").filter(Boolean);
  const wrong = pairs.find((pair) => !/^[^=]+=[^=]*$/.test(pair));
  if (wrong !== undefined) throw bad(`"${wrong}" is not a label`, "--labels version=v2,team=a");
  return Object.fromEntries(pairs.map((pair) => pair.split("=") as [string, string]));
};
