import { refuseOthers } from "../compile/fields.ts";
import type { BalancerKind } from "./balancer.ts";

/** The cluster itself knows the host (original destination), so there is nothing to choose among. */
export const clusterProvided: BalancerKind = {
  policy: "CLUSTER_PROVIDED",
  typeName: "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided",

  configure(raw) {
    refuseOthers(raw, "ClusterProvided", "", []);
    return () => () => undefined;
  },
};
