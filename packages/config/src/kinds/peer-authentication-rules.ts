/** Rules of PeerAuthentication that its schema cannot say. */
import type { RuleTools } from "./kind.ts";
import type { PeerAuthenticationSpec } from "./peer-authentication.ts";
import { reporter } from "./rules.ts";

export const validatePeerAuthentication = (spec: PeerAuthenticationSpec, tools: RuleTools): void => {
  const { bad, missing } = reporter(tools);
  const ports = spec.portLevelMtls;
  if (ports === undefined) return;
  if (Object.keys(ports).length === 0) bad(["portLevelMtls"], "portLevelMtls is empty: name a port, or remove it");
  if (Object.keys(spec.selector?.matchLabels ?? {}).length === 0) {
    missing(["portLevelMtls"], "portLevelMtls needs selector.matchLabels: ports belong to chosen workloads");
  }
  for (const port of Object.keys(ports)) {
    const number = Number(port);
    if (Number.isInteger(number) && number >= 1 && number <= 65_535) continue;
    bad(["portLevelMtls", port], `portLevelMtls has "${port}", which is not a port from 1 to 65535`);
  }
};
