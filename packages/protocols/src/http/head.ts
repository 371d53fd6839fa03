import type { HeaderList } from "./headers.ts";

/**
 * A request's head, the same for HTTP/1 and HTTP/2. `authority` is the Host header or `:authority` as received,
 * `path` is origin-form with its query (`*` for OPTIONS, empty for CONNECT). `host` is never among the headers.
 */
export interface RequestHead {
  method: string;
  scheme: string;
  authority: string;
  path: string;
  /** Set by extended CONNECT (RFC 8441) and by an accepted HTTP/1 Upgrade: `websocket`; else empty. */
  protocol: string;
  readonly headers: HeaderList;
}

/** A response's head. Interim (1xx) responses other than 101 come as separate heads before the final one. */
export interface ResponseHead {
  status: number;
  readonly headers: HeaderList;
}
