/** Authorities as requests may name them: a host name, an IPv4 address or `[IPv6]`, with or without `:port`. */
import { isIPv6 } from "@weft/core/ip";
import { hostByte } from "./bytes.ts";

/** Whether the rest of the text from `start` is a port: 1 to 5 digits, at most 65535. */
const portIsValid = (text: string, start: number): boolean => {
  const length = text.length - start;
  if (length < 1 || length > 5) return false;
  let port = 0;
  for (let i = start; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= 65_535;
};

/**
 * Whether the text is an authority with one reading. Userinfo, an empty host or port, percent-encoding, IPv6 zones and
 * characters beyond letters, digits and `-._~` are refused, though RFC 3986 knows some of them.
 */
export const isAuthority = (text: string): boolean => {
  let at = 0;
  if (text.startsWith("[")) {
    at = text.indexOf("]") + 1;
    if (!isIPv6(text.slice(1, at - 1))) return false;
  } else {
    while (at < text.length && hostByte[text.charCodeAt(at) & 0xff] === 1 && text.charCodeAt(at) < 0x80) at++;
    if (at === 0) return false;
  }
  return at === text.length || (text.charCodeAt(at) === 0x3a && portIsValid(text, at + 1));
};

/** Whether an authority names a port. */
export const hasPort = (authority: string): boolean => /:\d{1,5}$/.test(authority);
