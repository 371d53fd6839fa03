/** What makes an instance unusable, whichever registry tells it: one bad record never reaches a proxy. */
import { parseIPv4, parseIPv6 } from "@weft/core/ip";
import type { SourceInstance } from "./source-events.ts";

export const keyCharsMax = 1_024;
export const labelsMax = 64;
export const labelCharsMax = 1_024;
export const weightMax = 65_535;

/** In words; `undefined` for an instance that can be used. */
export const problemOf = (instance: SourceInstance): string | undefined => {
  const { key, address, port, servicePort, labels, locality, weight, serviceAccount } = instance;
  if (key.length > keyCharsMax) return `its key is over ${keyCharsMax} characters`;
  const bytes = parseIPv4(address) ?? parseIPv6(address);
  if (!bytes) return `the address ${quoted(address)} is not an IP address`;
  const nowhere = nowhereOf(bytes);
  if (nowhere !== undefined) return `the address ${quoted(address)} is ${nowhere}`;
  if (Number.isNaN(port)) return "the port is not a number";
  if (!isPort(port)) return `the port ${port} is not 1 to 65535`;
  if (Number.isNaN(servicePort)) return "the service port is not a number";
  if (servicePort !== undefined && !isPort(servicePort)) return `the service port ${servicePort} is not 1 to 65535`;
  if (!Number.isInteger(weight) || weight < 0 || weight > weightMax)
    return `the weight ${weight} is not a whole number up to ${weightMax}`;
  if (locality.length > labelCharsMax || locality.split("/").length > 3)
    return `the locality ${quoted(locality)} is not REGION/ZONE/SUBZONE`;
  if (!/^[a-z0-9.-]{0,253}$/.test(serviceAccount)) return `the service account ${quoted(serviceAccount)} is not a name`;
  const entries = Object.entries(labels);
  if (entries.length > labelsMax) return `it has more than ${labelsMax} labels`;
  const long = entries.find(([name, value]) => name.length > labelCharsMax || value.length > labelCharsMax);
  return long && `the label ${quoted(long[0])} is over ${labelCharsMax} characters`;
};

/** Who calls one of these calls itself, or nobody: an application that registers what it listens on writes `0.0.0.0`. */
export const nowhereOf = (bytes: Uint8Array | undefined): string | undefined => {
  if (!bytes) return undefined;
  const isMapped = bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff;
  const own = isMapped ? bytes.subarray(12) : bytes;
  if (own.every((byte) => byte === 0)) return "what one listens on, not where one is reached";
  const [first = 0] = own;
  const isMulticast = own.length === 4 ? first >= 224 && first < 240 : first === 0xff;
  if (isMulticast) return "that of a multicast group";
  return own.length === 4 && own.every((byte) => byte === 255) ? "a broadcast" : undefined;
};

const isPort = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65_535;

const quoted = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
