/** The traffic policies in a DestinationRule, each with its place. */
import type { ConfigOf } from "../config-object.ts";
import type { PortTrafficPolicy, TrafficPolicy } from "../kinds/destination-rule.ts";
import type { FieldPath } from "../schema/problem.ts";

export interface PlacedPolicy {
  readonly policy: TrafficPolicy | PortTrafficPolicy;
  readonly path: FieldPath;
}

/** Of the host and of its subsets, and of each port of those. */
export const policiesOf = ({ spec }: ConfigOf<"DestinationRule">): PlacedPolicy[] => [
  ...withPorts(spec.trafficPolicy, ["spec", "trafficPolicy"]),
  ...(spec.subsets ?? []).flatMap(({ trafficPolicy }, index) =>
    withPorts(trafficPolicy, ["spec", "subsets", index, "trafficPolicy"]),
  ),
];

const withPorts = (policy: TrafficPolicy | undefined, path: FieldPath): PlacedPolicy[] =>
  policy === undefined
    ? []
    : [
        { policy, path },
        ...(policy.portLevelSettings ?? []).map((settings, index) => ({
          policy: settings,
          path: [...path, "portLevelSettings", index],
        })),
      ];
