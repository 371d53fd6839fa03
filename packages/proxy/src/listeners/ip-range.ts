import { ConfigError } from "@weft/core/config-error";
import type { CidrRangeJson } from "@weft/xds/gen/envoy/config/core/v3/address";

/** An address as numbers: 4 or 8 groups of 16 bits are overkill for what is compared once per connection, so bigint. */
export interface IpNumber {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

const parseV4 = (text: string): bigint | undefined => {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256n + BigInt(part);
  }
  return value;
};

const parseV6 = (text: string): bigint | undefined => {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const groups = (half: string | undefined): bigint[] | undefined => {
    const list: bigint[] = [];
    for (const group of half ? half.split(":") : []) {
      if (group.includes(".")) {
        const v4 = parseV4(group);
        if (v4 === undefined) return undefined;
        list.push(v4 >> 16n, v4 & 0xffffn);
      } else if (/^[0-9a-f]{1,4}$/i.test(group)) list.push(BigInt(`0x${group}`));
      else return undefined;
    }
    return list;
  };
  const head = groups(halves[0]);
  const tail = groups(halves[1]);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  return [...head, ...new Array<bigint>(missing).fill(0n), ...tail].reduce((sum, group) => (sum << 16n) | group, 0n);
};

/** An IPv4-mapped IPv6 address is the IPv4 address: the kernel tells it that way on dual-stack sockets. */
export const parseIp = (text: string): IpNumber | undefined => {
  if (!text.includes(":")) {
    const value = parseV4(text);
    return value === undefined ? undefined : { bits: 32, value };
  }
  const value = parseV6(text.split("%")[0] ?? "");
  if (value === undefined) return undefined;
  return value >> 32n === 0xffffn ? { bits: 32, value: value & 0xffff_ffffn } : { bits: 128, value };
};

export interface IpRange {
  readonly base: IpNumber;
  readonly prefixLength: number;
}

export const compileIpRange = (json: CidrRangeJson, at: string): IpRange => {
  const base = parseIp(json.addressPrefix ?? "");
  if (base === undefined) throw new ConfigError(`${at}.addressPrefix`, `"${json.addressPrefix}" is not an IP address`);
  const prefixLength = Math.min(json.prefixLen ?? 0, base.bits);
  return { base, prefixLength };
};

export const rangeHolds = ({ base, prefixLength }: IpRange, ip: IpNumber): boolean => {
  if (base.bits !== ip.bits) return false;
  const shift = BigInt(base.bits - prefixLength);
  return base.value >> shift === ip.value >> shift;
};

/** The longest prefix among the ranges that holds the address, plus 1; 0 when there are no ranges; -1 when none holds it. */
export const longestHolding = (ranges: readonly IpRange[], ip: IpNumber | undefined): number => {
  if (ranges.length === 0) return 0;
  if (ip === undefined) return -1;
  let best = -1;
  for (const range of ranges) {
    if (rangeHolds(range, ip) && range.prefixLength + 1 > best) best = range.prefixLength + 1;
  }
  return best;
};
