import { isAuthority } from "../http1/authority.ts";
import { FIELD } from "./field-name.ts";

// A space or tab counts only at the ends; NUL, CR, LF and the other controls are refused anywhere.
const isValueByte = new Uint8Array(256).fill(1);
isValueByte.fill(0, 0, 32);
isValueByte[9] = 1;
isValueByte[127] = 0;

/** True when the bytes may be a field value as RFC 9113 section 8.2.1 and RFC 9110 section 5.5 want it. */
export const isFieldValue = (bytes: Buffer, start: number, end: number): boolean => {
  for (let i = start; i < end; i++) if (isValueByte[bytes[i]!] === 0) return false;
  if (start === end) return true;
  const first = bytes[start];
  const last = bytes[end - 1];
  return first !== 32 && first !== 9 && last !== 32 && last !== 9;
};

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
/** Origin form or `*`: an absolute URI, a relative path or `svc/Method` would be read differently further on. */
const PATH = /^(?:\/[^ ]*|\*)$/;
const STATUS = /^[1-9][0-9]{2}$/;
const CONTENT_LENGTH = /^[0-9]{1,15}$/;

/** True when `value`, which passed `isFieldValue`, is also one that fields of that kind may have. */
export const isValueOfKind = (kind: number, value: string): boolean => {
  switch (kind) {
    case FIELD.ordinary:
    case FIELD.cookie:
    case FIELD.underscored:
    case FIELD.underscoreTwin:
      return true;
    case FIELD.method:
    case FIELD.protocol:
      return TOKEN.test(value);
    case FIELD.scheme:
      return SCHEME.test(value);
    case FIELD.authority:
    case FIELD.host:
      return isAuthority(value);
    case FIELD.path:
      return PATH.test(value);
    case FIELD.status:
      return STATUS.test(value);
    case FIELD.contentLength:
      return CONTENT_LENGTH.test(value);
    case FIELD.te:
      return value.toLowerCase() === "trailers";
    default:
      return false;
  }
};
