/** SubjectAltName: written for identities, read strictly, since an access decision hangs on it. */
import { context, sequence } from "./der.ts";
import { DerError, enterOnly } from "./der-reader.ts";

export interface AltNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** Raw bytes, 4 or 16. */
  readonly ipAddresses: readonly Buffer[];
  /** Read only: this mesh gives nobody such a name, but others' certificates have them. */
  readonly emails?: readonly string[];
}

export const noAltNames: AltNames = { uris: [], dnsNames: [], ipAddresses: [] };

const emailTag = 0x81;
const dnsTag = 0x82;
const uriTag = 0x86;
const ipTag = 0x87;
const namesMax = 256;

export const encodeAltNames = ({ uris, dnsNames, ipAddresses }: AltNames): Buffer =>
  sequence(
    ...uris.map((uri) => context(6, "primitive", Buffer.from(uri, "latin1"))),
    ...dnsNames.map((name) => context(2, "primitive", Buffer.from(name, "latin1"))),
    ...ipAddresses.map((address) => context(7, "primitive", address)),
  );

/** Visible ASCII only: a NUL or a line end in a name has fooled readers before (CVE-2025-66220). */
const visible = (content: Buffer): string => {
  const text = content.toString("latin1");
  if (!/^[\x21-\x7e]+$/.test(text)) throw new DerError("a name with characters that are not visible ASCII");
  return text;
};

/** Kinds of names this mesh does not use are left out; a broken list throws DerError. */
export const parseAltNames = (der: Buffer): AltNames => {
  const uris: string[] = [];
  const dnsNames: string[] = [];
  const emails: string[] = [];
  const ipAddresses: Buffer[] = [];
  const names = enterOnly(der);
  if (names.done) throw new DerError("no names");
  for (let count = 0; !names.done; count++) {
    if (count === namesMax) throw new DerError("too many names");
    const { tag, content } = names.next();
    if (tag === uriTag) uris.push(visible(content));
    else if (tag === dnsTag) dnsNames.push(visible(content));
    else if (tag === emailTag) emails.push(visible(content));
    else if (tag === ipTag) ipAddresses.push(content);
    else if ((tag & 0xc0) !== 0x80 || (tag & 0x1f) > 8) throw new DerError("not a name");
  }
  return { uris, dnsNames, ipAddresses, ...(emails.length > 0 ? { emails } : {}) };
};

const spiffeId = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[a-zA-Z0-9._-]+)*$/;
const spiffeIdBytesMax = 2048;

/** Whether the text is a SPIFFE ID by its standard's letter: no query, port, percent, empty or dot segment. */
export const isSpiffeId = (uri: string): boolean =>
  uri.length <= spiffeIdBytesMax && spiffeId.test(uri) && !/\/\.{1,2}(?:\/|$)/.test(uri.slice("spiffe://".length));
