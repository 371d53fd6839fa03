/** The host of a request whose own name says where it goes: it may have to be waited for. */
import { parseAddress } from "@weft/core/address";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { NoHost } from "../dns/dynamic-hosts.ts";
import type { Exchange, LocalReply } from "./exchange.ts";
import type { HttpTools } from "./hcm-settings.ts";

const unavailable = (flags: string, details: string, body: string): LocalReply => ({
  status: 503,
  flags,
  details,
  body,
});

const replies: Readonly<Record<NoHost, LocalReply>> = {
  unresolved: unavailable("DF", "dns_resolution_failure", "DNS resolution failure"),
  tooManyHosts: unavailable("", "dns_cache_overflow", "DNS cache overflow"),
  tooManyWaiting: unavailable(
    "",
    "dynamic_forward_proxy_pending_request_overflow",
    "Dynamic forward proxy pending request overflow",
  ),
};
const noName: LocalReply = { status: 400, flags: "", details: "empty_host_header", body: "Empty host header" };

/** What filters set in place of the request's authority. */
const nameOf = ({ request, state }: Exchange): string => {
  const host = state?.filterState.get("envoy.upstream.dynamic_host");
  const port = state?.filterState.get("envoy.upstream.dynamic_port");
  const name = host ?? request.authority;
  if (port === undefined || !/^\d{1,5}$/.test(port)) return name;
  const bare = parseAddress(name)?.host ?? name;
  return bare.includes(":") ? `[${bare}]:${port}` : `${bare}:${port}`;
};

export class DynamicHost {
  private search: object | undefined = undefined;
  private found: Host | undefined = undefined;
  /** Later tries go by the name of the first, whatever became of the authority since. */
  private name: string | undefined = undefined;

  /** The host of the name looked up last. */
  get host(): Host | undefined {
    return this.found;
  }

  /**
   * False when the host is there. Else `onDone` comes, maybe before this returns: with the answer to give in its place,
   * or with nothing, to ask again.
   */
  awaits(
    exchange: Exchange,
    cluster: Cluster,
    tools: HttpTools,
    onDone: (reply: LocalReply | undefined) => void,
  ): boolean {
    const search = {};
    this.name ??= nameOf(exchange);
    const { name } = this;
    this.search = search;
    this.found = undefined;
    if (name === "") {
      onDone(noName);
      return true;
    }
    const found = tools.dynamicHost(cluster, name, (later) => {
      if (this.search !== search) return;
      onDone(typeof later === "string" ? replies[later] : undefined);
    });
    if (found === undefined) return true;
    if (typeof found === "string") {
      onDone(replies[found]);
      return true;
    }
    this.found = found;
    return false;
  }

  /** Nobody waits any more, and nobody asks again. */
  drop(): void {
    this.name = undefined;
    this.search = undefined;
    this.found = undefined;
  }
}
