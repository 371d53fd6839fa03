/** A resource as the sidecar holds it, with what it needs of others. */
import { parseProtoDuration } from "@weft/core/duration";
import {
  endpointsOfCluster,
  type Reference,
  type ReferenceSource,
  routesOfListener,
  secretsOf,
} from "@weft/xds/references";
import type { ResourceJson, ResourceKind } from "@weft/xds/resource";

export interface HeldResource {
  readonly name: string;
  /** Who gave it: `static`, `ads`, `path:…`, `api:…`, `identity`. Only its giver changes or removes it. */
  readonly source: string;
  readonly version: string;
  readonly json: ResourceJson[ResourceKind];
  readonly needs: readonly Need[];
  /** Wall time it was taken, for `/config_dump`. */
  readonly atMs: number;
}

/** Another resource without which this one is not put to use. */
export interface Need {
  readonly of: ResourceKind;
  readonly name: string;
  readonly source: ReferenceSource;
  /** How long to wait for it; Infinity where the configuration says 0. */
  readonly timeoutMs: number;
}

/** Envoy's `initial_fetch_timeout` where none is given. */
const fetchTimeoutDefaultMs = 15_000;

const need = (of: ResourceKind, { name, source, fetchTimeout }: Reference): Need => {
  const given = fetchTimeout === undefined ? fetchTimeoutDefaultMs : parseProtoDuration(fetchTimeout);
  return { of, name, source, timeoutMs: given === 0 || given === undefined ? Number.POSITIVE_INFINITY : given };
};

export const needsOf = (kind: ResourceKind, json: ResourceJson[ResourceKind]): readonly Need[] => {
  if (kind === "cluster") {
    const endpoints = endpointsOfCluster(json as ResourceJson["cluster"]);
    const secrets = secretsOf(json as ResourceJson["cluster"]).map((one) => need("secret", one));
    return endpoints ? [need("endpoints", endpoints), ...secrets] : secrets;
  }
  if (kind !== "listener") return [];
  const listener = json as ResourceJson["listener"];
  return [
    ...routesOfListener(listener).map((one) => need("route", one)),
    ...secretsOf(listener).map((one) => need("secret", one)),
  ];
};
