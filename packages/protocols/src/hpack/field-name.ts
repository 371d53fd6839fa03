import { isUnderscoreTwin } from "../http1/known-names.ts";

/** What a field name means to HTTP/2; found once per name, not once per field. */
export const FIELD = {
  ordinary: 0,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  protocol: 5,
  status: 6,
  unknownPseudo: 7,
  connectionSpecific: 8,
  te: 9,
  contentLength: 10,
  host: 11,
  cookie: 12,
  /** An ordinary name with an underscore. */
  underscored: 13,
  /** One that reads, with hyphens instead, as a name that frames a message or that the proxy vouches for. */
  underscoreTwin: 14,
} as const;

const kinds = new Map<string, number>([
  [":method", FIELD.method],
  [":scheme", FIELD.scheme],
  [":authority", FIELD.authority],
  [":path", FIELD.path],
  [":protocol", FIELD.protocol],
  [":status", FIELD.status],
  ["connection", FIELD.connectionSpecific],
  ["keep-alive", FIELD.connectionSpecific],
  ["proxy-connection", FIELD.connectionSpecific],
  ["transfer-encoding", FIELD.connectionSpecific],
  ["upgrade", FIELD.connectionSpecific],
  ["te", FIELD.te],
  ["content-length", FIELD.contentLength],
  ["host", FIELD.host],
  ["cookie", FIELD.cookie],
]);

const TOKEN_BYTES = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
const isTokenByte = new Uint8Array(256);
for (let i = 0; i < TOKEN_BYTES.length; i++) isTokenByte[TOKEN_BYTES.charCodeAt(i)] = 1;

/** True for a lower-case token, the only field name HTTP/2 allows beside pseudo-headers (RFC 9113 section 8.2.1). */
export const isFieldName = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (isTokenByte[text.charCodeAt(i)] !== 1) return false;
  return text.length > 0;
};

/** A field name with what was found out about it. One object per distinct name, so comparing is by reference. */
export class FieldName {
  readonly text: string;
  readonly kind: number;
  /** False for what no HTTP/2 message may carry as a name. */
  readonly valid: boolean;

  constructor(text: string) {
    this.text = text;
    this.kind = kinds.get(text) ?? kindOfOther(text);
    this.valid = (this.kind !== FIELD.ordinary && this.kind < FIELD.underscored) || isFieldName(text);
  }
}

const kindOfOther = (text: string): number => {
  if (text.startsWith(":")) return FIELD.unknownPseudo;
  if (!text.includes("_")) return FIELD.ordinary;
  return isUnderscoreTwin(text) ? FIELD.underscoreTwin : FIELD.underscored;
};
