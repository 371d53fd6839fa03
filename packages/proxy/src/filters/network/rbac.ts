/** The same policies for bare connections: what only a request has is absent there, as in Envoy. */
import { HeaderList } from "@weft/protocols/http/headers";
import type { RBACJson } from "@weft/xds/gen/envoy/extensions/filters/network/rbac/v3/rbac";
import { refuseOthers, required } from "../../compile/fields.ts";
import type { DownstreamInfo } from "../../http/exchange.ts";
import { compileRbacRules } from "../rbac/rules.ts";

export const networkRbacName = "envoy.filters.network.rbac";
export const networkRbacType = "envoy.extensions.filters.network.rbac.v3.RBAC";

export interface NetworkRbacTools {
  readonly counter: (name: string) => { add(n: number): void };
}

export interface ConnectionVerdict {
  readonly allowed: boolean;
  /** The log's CONNECTION_TERMINATION_DETAILS when denied. */
  readonly details: string;
  /** When denied: how long it is kept open, unread, before it is closed; at once when absent. */
  readonly closeAfterMs?: number;
}

/**
 * Called once per connection, when its first byte is there (after the TLS handshake), and `uncounted` before that where
 * something is done ahead for connections that would be allowed.
 */
export type AllowConnection = (downstream: DownstreamInfo, uncounted?: boolean) => ConnectionVerdict;

const passed: ConnectionVerdict = { allowed: true, details: "" };
const notYet: ConnectionVerdict = { allowed: false, details: "" };

/** Compiles the network filter; throws ConfigError for what it would not honour. */
export const compileNetworkRbac = (json: RBACJson): ((tools: NetworkRbacTools) => AllowConnection) => {
  refuseOthers(json, "NetworkRBAC", "", ["rules", "shadowRules", "shadowRulesStatPrefix", "statPrefix"]);
  const prefix = required(json.statPrefix, "statPrefix").replace(/\.$/, "");
  const rules = json.rules && compileRbacRules(json.rules, "rules");
  const shadow = json.shadowRules && compileRbacRules(json.shadowRules, "shadowRules");
  const shadowPrefix = json.shadowRulesStatPrefix ?? "";
  return ({ counter }) => {
    const allowed = counter(`${prefix}.rbac.allowed`);
    const denied = counter(`${prefix}.rbac.denied`);
    const shadowAllowed = counter(`${prefix}.rbac.${shadowPrefix}shadow_allowed`);
    const shadowDenied = counter(`${prefix}.rbac.${shadowPrefix}shadow_denied`);
    const request = { method: "", scheme: "", authority: "", path: "", protocol: "", headers: new HeaderList() };
    return (downstream, uncounted = false) => {
      const subject = { request, downstream };
      if (uncounted) return rules?.decide(subject).allowed === false ? notYet : passed;
      if (shadow) (shadow.decide(subject).allowed ? shadowAllowed : shadowDenied).add(1);
      if (!rules) return passed;
      const verdict = rules.decide(subject);
      (verdict.allowed ? allowed : denied).add(1);
      if (verdict.allowed) return passed;
      return { allowed: false, details: `rbac_access_denied_matched_policy[${verdict.policy.replace(/\s/g, "_")}]` };
    };
  };
};
