/** Who may change things over HTTP: a bearer token, and no page of a browser that was lured here. */
import { hash, timingSafeEqual } from "node:crypto";
import { isLoopback } from "@weft/core/address";
import { HttpRefusal, type RequestHeadFacts } from "./server.ts";

export interface AccessOptions {
  readonly token: string;
  /** Names beside loopback under which this server may be reached, without ports. */
  readonly hosts: readonly string[];
  /** Paths anybody may read from anywhere, such as a load balancer's check. */
  readonly openPaths: readonly string[];
}

const safeMethods = new Set(["GET", "HEAD"]);

/**
 * A guard: every request must be for a host that is ours (a foreign name that resolves here is DNS rebinding) and from
 * our own origin where it has one; a change, and a read from another machine, must carry the token. Refuses with 401
 * WF8401 or 403 WF8403.
 */
export const accessGuard = (options: AccessOptions): ((head: RequestHeadFacts) => void) => {
  const ours = (host: string): boolean => isLoopback(host) || options.hosts.includes(host);
  /** The last one that was ours, as it was written: most who ask write the same. */
  let known: string | undefined;
  const isForUs = (written: string): boolean => {
    if (written === known) return true;
    const host = hostOf(`http://${written}`);
    if (host === undefined || !ours(host)) return false;
    known = written;
    return true;
  };
  return ({ method, headers, path, peerAddress }) => {
    if (!isForUs(one(headers.host))) {
      throw new HttpRefusal(403, "WF8403", "the request is for a host that is not this control plane", {
        next: "use 127.0.0.1 or localhost, or name the host with --http-host",
      });
    }
    const origin = one(headers.origin);
    if (origin !== "" && !ours(hostOf(origin) ?? "")) {
      throw new HttpRefusal(403, "WF8403", "the request comes from a page of another origin");
    }
    const open = isLoopback(peerAddress.replace(/^::ffff:/, "")) || options.openPaths.includes(path);
    if (open && safeMethods.has(method)) return;
    const given = /^Bearer ([^\s]+)$/i.exec(one(headers.authorization))?.[1];
    if (given === undefined || !sameSecret(given, options.token)) {
      throw new HttpRefusal(
        401,
        "WF8401",
        safeMethods.has(method) ? "reading from another machine needs the admin token" : "changes need the admin token",
        {
          next: "send it as `Authorization: Bearer TOKEN`; it is in the control plane's data folder, in admin-token",
        },
      );
    }
  };
};

const one = (value: string | string[] | undefined): string => (Array.isArray(value) ? (value[0] ?? "") : (value ?? ""));

const hostOf = (url: string): string | undefined => {
  try {
    return new URL(url).hostname.replace(/^\[|\]$/g, "");
  } catch {
    return undefined;
  }
};

/** Compares in a time that does not depend on where the two differ, nor on their lengths. */
export const sameSecret = (a: string, b: string): boolean =>
  timingSafeEqual(hash("sha256", a, "buffer"), hash("sha256", b, "buffer"));
