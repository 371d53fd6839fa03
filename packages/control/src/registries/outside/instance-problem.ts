/** What makes an instance unusable, whichever registry tells it: one bad record never reaches a proxy. */
import { isIPv4, isIPv6 } from "@weft/core/ip";
import type { SourceInstance } from "./source-events.ts";

export const keyCharsMax = 1_024;
export const labelsMax = 64;
export const labelCharsMax = 1_024;
export const weightMax = 65_535;

/** In words; `undefined` for an instance that can be used. */
export const problemOf = (instance: SourceInstance): string | undefined => {
  const { key, address, port, servicePort, labels, locality, weight, serviceAccount } = instance;
  if (key.length > keyCharsMax) return `its key is over ${keyCharsMax} characters`;
  if (!isIPv4(address) && !isIPv6(address)) return `the address ${quoted(address)} is not an IP address`;
  if (!isPort(port)) return `the port ${port} is not 1 to 65535`;
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

const isPort = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65_535;

const quoted = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
