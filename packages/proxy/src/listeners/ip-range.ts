import { ConfigError } from "@weft/core/config-error";
import { parseIPv4, parseIPv6 } from "@weft/core/ip";
import type { CidrRangeJson } from "@weft/xds/gen/envoy/config/core/v3/address";

/** An address as numbers: 4 or 8 groups of 16 bits are overkill for what is compared once per connection, so bigint. */
export interface IpNumber {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

const toNumber = (bytes: Uint8Array | undefined): bigint | undefined =>
  bytes?.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

/** An IPv4-mapped IPv6 address is the IPv4 address: the kernel tells it that way on dual-stack sockets. */
export const parseIp = (text: string): IpNumber | undefined => {
  if (!text.includes(":")) {
    const value = toNumber(parseIPv4(text));
    return value === undefined ? undefined : { bits: 32, value };
  }
  const value = toNumber(parseIPv6(text.split("%")[0] ?? ""));
  if (value === undefined) return undefined;
  return value >> 32n === 0xffffn ? { bits: 32, value: value & 0xffff_ffffn } : { bits: 128, value };
};

export interface IpRange {
  readonly base: IpNumber;
  readonly prefixLength: number;
}

const mappedBits = 96;

/** The length of a range that is written as IPv4-mapped IPv6 counts the 96 bits before the address. */
export const compileIpRange = (json: CidrRangeJson, at: string): IpRange => {
  const { addressPrefix = "", prefixLen = 0 } = json;
  const base = addressPrefix.includes("%") ? undefined : parseIp(addressPrefix);
  if (base === undefined) throw new ConfigError(`${at}.addressPrefix`, `"${addressPrefix}" is not an IP address`);
  if (base.bits === 128 || !addressPrefix.includes(":")) return { base, prefixLength: Math.min(prefixLen, base.bits) };
  if (prefixLen < mappedBits)
    throw new ConfigError(
      `${at}.prefixLen`,
      `${prefixLen} holds more than the IPv4 addresses "${addressPrefix}" is of`,
    );
  return { base, prefixLength: Math.min(prefixLen - mappedBits, base.bits) };
};

export const rangeHolds = ({ base, prefixLength }: IpRange, ip: IpNumber): boolean => {
  if (base.bits !== ip.bits) return false;
  const shift = BigInt(base.bits - prefixLength);
  return base.value >> shift === ip.value >> shift;
};
