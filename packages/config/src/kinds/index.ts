/** Every kind weft knows. */
import { authorizationPolicy } from "./authorization-policy.ts";
import { destinationRule } from "./destination-rule.ts";
import { gateway } from "./gateway.ts";
import { inertKinds } from "./inert.ts";
import type { Kind } from "./kind.ts";
import { endpointSlice, endpoints } from "./kubernetes-endpoints.ts";
import { kubernetesService } from "./kubernetes-service.ts";
import { peerAuthentication } from "./peer-authentication.ts";
import { serviceEntry } from "./service-entry.ts";
import { virtualService } from "./virtual-service.ts";
import { workloadEntry } from "./workload-entry.ts";

/** Kinds with an effect, then those that are only recognised. */
export const kinds: readonly Kind[] = [
  virtualService,
  destinationRule,
  serviceEntry,
  workloadEntry,
  gateway,
  peerAuthentication,
  authorizationPolicy,
  kubernetesService,
  endpoints,
  endpointSlice,
  ...inertKinds,
];
