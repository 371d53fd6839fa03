/** IP addresses and ranges as numbers. */
import { ConfigError } from "@weft/core/config-error";
import type { CidrRangeJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import { member, refuseOthers, required, unsigned } from "../compile/fields.ts";

/** Four 32-bit words; IPv4 as its IPv4-mapped IPv6 address, so that one comparison serves both. */
export type IpWords = readonly [number, number, number, number];

/** Four decimal octets and nothing else: other readers take a leading zero for octal, so it is no address here. */
const parseV4 = (text: string): number | undefined => {
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let i = 0; i <= text.length; i++) {
    const code = i === text.length ? 46 : text.charCodeAt(i);
    if (code === 46) {
      if (octet < 0) return undefined;
      value = value * 256 + octet;
      octet = -1;
      dots++;
    } else if (code >= 48 && code <= 57 && octet !== 0) {
      octet = Math.max(octet, 0) * 10 + code - 48;
      if (octet > 255) return undefined;
    } else {
      return undefined;
    }
  }
  return dots === 4 ? value : undefined;
};

/** `last` says whether the address ends here, as only its end may be written the IPv4 way. */
const groupsOf = (text: string, last: boolean): number[] | undefined => {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (last && part.includes(".") && index === parts.length - 1) {
      const v4 = parseV4(part);
      if (v4 === undefined) return undefined;
      groups.push(Math.floor(v4 / 65_536), v4 % 65_536);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
};

const parseV6 = (text: string): IpWords | undefined => {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? "", halves.length === 1);
  const tail = groupsOf(halves[1] ?? "", true);
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const word = (at: number): number => ((all[at] as number) * 65_536 + (all[at + 1] as number)) >>> 0;
  return [word(0), word(2), word(4), word(6)];
};

/** `undefined` when the text is no IP address. The zone of a link-local one (`fe80::1%eth0`) is left out. */
export const parseIp = (text: string): IpWords | undefined => {
  const v4 = parseV4(text);
  if (v4 !== undefined) return [0, 0, 0xffff, v4 >>> 0];
  if (!text.includes(":")) return undefined;
  const zone = text.indexOf("%");
  if (zone < 0) return parseV6(text);
  return linkLocalZone.test(text) ? parseV6(text.slice(0, zone)) : undefined;
};

const linkLocalZone = /^fe[89ab][0-9a-f]:[0-9a-f:]*%[\w.-]{1,15}$/i;

export const isIp = (text: string): boolean => parseIp(text) !== undefined;

export interface Cidr {
  readonly words: IpWords;
  /** Of 128: an IPv4 length plus 96. */
  readonly bits: number;
}

export const parseCidr = (json: CidrRangeJson, at: string): Cidr => {
  refuseOthers(json, "CidrRange", at, ["addressPrefix", "prefixLen"]);
  const prefix = required(json.addressPrefix, member(at, "addressPrefix"));
  const words = prefix.includes("%") ? undefined : parseIp(prefix);
  if (!words) throw new ConfigError(member(at, "addressPrefix"), `"${prefix}" is not an IP address`);
  const length = unsigned(json.prefixLen, member(at, "prefixLen")) ?? 0;
  const isV4 = !prefix.includes(":");
  if (length > (isV4 ? 32 : 128)) throw new ConfigError(member(at, "prefixLen"), `${length} is too long`);
  return { words, bits: isV4 ? length + 96 : length };
};

export const inCidr = ({ words, bits }: Cidr, ip: IpWords): boolean => {
  for (let i = 0; i < 4; i++) {
    const left = bits - i * 32;
    if (left <= 0) return true;
    const mask = left >= 32 ? 0xffff_ffff : (0xffff_ffff << (32 - left)) >>> 0;
    if ((((words[i] as number) ^ (ip[i] as number)) & mask) !== 0) return false;
  }
  return true;
};

/** Tests an address's text; what is no IP address is in no range. */
export const compileCidr = (json: CidrRangeJson, at: string): ((ip: string) => boolean) => {
  const cidr = parseCidr(json, at);
  return (ip) => {
    const words = parseIp(ip);
    return words !== undefined && inCidr(cidr, words);
  };
};
