/** Allows or denies requests by policy; shadow rules only count. */
import type { RBACJson, RBACPerRouteJson } from "@weft/xds/gen/envoy/extensions/filters/http/rbac/v3/rbac";
import { refuseOthers, within } from "../../compile/fields.ts";
import type { LocalReply } from "../../http/exchange.ts";
import { compileRbacRules, type RbacRules, type Verdict } from "../rbac/rules.ts";
import type { HttpFilterKind } from "./filter.ts";

export const rbacFilterName = "envoy.filters.http.rbac";

interface Rbac {
  readonly rules: RbacRules | undefined;
  readonly shadow: RbacRules | undefined;
  readonly prefix: string;
  readonly shadowPrefix: string;
}

const compileRbac = (json: RBACJson): Rbac => {
  refuseOthers(json, "RBAC", "", ["rules", "rulesStatPrefix", "shadowRules", "shadowRulesStatPrefix"]);
  return {
    rules: json.rules && compileRbacRules(json.rules, "rules"),
    shadow: json.shadowRules && compileRbacRules(json.shadowRules, "shadowRules"),
    prefix: json.rulesStatPrefix ?? "",
    shadowPrefix: json.shadowRulesStatPrefix ?? "",
  };
};

/** A per-route entry without rules switches the filter off there. */
const compilePerRoute = (json: RBACPerRouteJson): Rbac => {
  refuseOthers(json, "RBACPerRoute", "", ["rbac"]);
  if (json.rbac) return within("rbac", () => compileRbac(json.rbac as RBACJson));
  return { rules: undefined, shadow: undefined, prefix: "", shadowPrefix: "" };
};

const makeReply = ({ policy }: Verdict): LocalReply => ({
  status: 403,
  flags: "",
  // Envoy writes spaces of a policy's name as underscores, so that details stay one word.
  details: `rbac_access_denied_matched_policy[${policy.replace(/\s/g, "_")}]`,
  body: "RBAC: access denied",
});

export const rbac: HttpFilterKind = {
  name: rbacFilterName,
  typeName: "envoy.extensions.filters.http.rbac.v3.RBAC",

  configure(raw) {
    const configured = compileRbac(raw as RBACJson);
    return ({ counter, statPrefix }) => {
      const at = `${statPrefix}.rbac.`;
      const allowed = counter(`${at}${configured.prefix}allowed`);
      const denied = counter(`${at}${configured.prefix}denied`);
      const shadowAllowed = counter(`${at}${configured.shadowPrefix}shadow_allowed`);
      const shadowDenied = counter(`${at}${configured.shadowPrefix}shadow_denied`);
      // One reply per verdict; verdicts are one object per policy, so this cannot outgrow the configuration.
      const replies = new WeakMap<Verdict, LocalReply>();
      return {
        onRequest(exchange) {
          const routed = exchange.route?.filterConfig.get(rbacFilterName);
          if (typeof routed === "symbol") return undefined;
          const { rules, shadow } = (routed as Rbac | undefined) ?? configured;
          if (shadow) (shadow.decide(exchange).allowed ? shadowAllowed : shadowDenied).add(1);
          if (!rules) return undefined;
          const verdict = rules.decide(exchange);
          if (verdict.allowed) {
            allowed.add(1);
            return undefined;
          }
          denied.add(1);
          let reply = replies.get(verdict);
          if (!reply) {
            reply = makeReply(verdict);
            replies.set(verdict, reply);
          }
          return reply;
        },
      };
    };
  },

  configureRoute: (raw) => compilePerRoute(raw as RBACPerRouteJson),
};
