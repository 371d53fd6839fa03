/** DNS messages (RFC 1035 §4, EDNS of RFC 6891) as values. */

export const recordType = {
  a: 1,
  ns: 2,
  cname: 5,
  soa: 6,
  ptr: 12,
  txt: 16,
  aaaa: 28,
  srv: 33,
  opt: 41,
  any: 255,
} as const;
export const internetClass = 1;
export const responseCode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;

export interface DnsQuestion {
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

/** What a record says: addresses as text, names as text, everything else as bytes whose names are not compressed. */
export type DnsData =
  | { readonly kind: "address"; readonly address: string }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "soa"; readonly primary: string; readonly mailbox: string; readonly numbers: SoaNumbers }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array };

export interface SoaNumbers {
  readonly serial: number;
  readonly refresh: number;
  readonly retry: number;
  readonly expire: number;
  readonly minimum: number;
}

export interface DnsRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Seconds. */
  readonly ttl: number;
  readonly data: DnsData;
}

/** What an OPT record says of who sent it. */
export interface Edns {
  /** The largest UDP message it takes. */
  readonly udpBytes: number;
  readonly version: number;
  readonly dnssecOk: boolean;
}

export interface DnsMessage {
  readonly id: number;
  readonly response: boolean;
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionDesired: boolean;
  readonly recursionAvailable: boolean;
  /** With the upper bits that EDNS carries. */
  readonly code: number;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  /** Without OPT. */
  readonly additionals: readonly DnsRecord[];
  readonly edns: Edns | undefined;
}

/** A standard question for one name, that recursion is wanted for. */
export const createQuery = (id: number, question: DnsQuestion, edns?: Edns): DnsMessage => ({
  id,
  response: false,
  opcode: 0,
  authoritative: false,
  truncated: false,
  recursionDesired: true,
  recursionAvailable: false,
  code: responseCode.noError,
  questions: [question],
  answers: [],
  authorities: [],
  additionals: [],
  edns,
});

/** The answer to a question, with nothing in it but what is given. */
export const createReply = (query: DnsMessage, parts: Partial<DnsMessage>): DnsMessage => ({
  ...query,
  response: true,
  authoritative: false,
  truncated: false,
  recursionAvailable: true,
  code: responseCode.noError,
  answers: [],
  authorities: [],
  additionals: [],
  ...parts,
});
