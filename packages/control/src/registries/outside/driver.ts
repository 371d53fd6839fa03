/** What a driver of an outside registry is: a scheme, and how to open what its URLs name. */
import type { RegistryUrl } from "./registry-url.ts";
import type { OpenSource } from "./source-events.ts";
import type { OpenWriter } from "./write-session.ts";

/** Read from a file, never from a URL. */
export interface SourceCredentials {
  readonly username: string;
  readonly password: string;
}

export interface Driver {
  readonly scheme: string;
  /** How its URLs look, for messages. */
  readonly usage: string;
  /** `credentials` are read anew for every login, so that a changed file is used. Throws WF2102 for a URL it cannot use. */
  readonly open: (url: RegistryUrl, credentials: (() => SourceCredentials) | undefined) => OpenSource;
  /** How instances of the mesh are written there (`--register-into`); absent where it only reads. As `open`. */
  readonly write?: (url: RegistryUrl, credentials: (() => SourceCredentials) | undefined) => OpenWriter;
}
