/** The destinations a VirtualService names, each with its place. */
import type { ConfigOf } from "../config-object.ts";
import type { Destination } from "../kinds/virtual-service.ts";
import type { FieldPath } from "../schema/problem.ts";

export interface PlacedDestination {
  readonly destination: Destination;
  readonly path: FieldPath;
}

/** Routes and mirrors of all rules, in the order of the text. */
export const destinationsOf = ({ spec }: ConfigOf<"VirtualService">): PlacedDestination[] => [
  ...(spec.http ?? []).flatMap(({ route, mirror, mirrors }, index) => {
    const path = ["spec", "http", index];
    return [
      ...routed(route, path),
      ...(mirror ? [{ destination: mirror, path: [...path, "mirror"] }] : []),
      ...(mirrors ?? []).map(({ destination }, at) => ({ destination, path: [...path, "mirrors", at, "destination"] })),
    ];
  }),
  ...(spec.tls ?? []).flatMap(({ route }, index) => routed(route, ["spec", "tls", index])),
  ...(spec.tcp ?? []).flatMap(({ route }, index) => routed(route, ["spec", "tcp", index])),
];

const routed = (
  route: readonly { readonly destination: Destination }[] | undefined,
  path: FieldPath,
): PlacedDestination[] =>
  (route ?? []).map(({ destination }, index) => ({ destination, path: [...path, "route", index, "destination"] }));
