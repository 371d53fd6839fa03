/** Every kind weft knows. */
import { authorizationPolicy } from "./authorization-policy.ts";
import { destinationRule } from "./destination-rule.ts";
import { envoyFilter } from "./envoy-filter.ts";
import { gateway } from "./gateway.ts";
import { inertKinds } from "./inert.ts";
import type { Kind } from "./kind.ts";
import { endpointSlice, endpoints } from "./kubernetes-endpoints.ts";
import { kubernetesService } from "./kubernetes-service.ts";
import { localRateLimit } from "./local-rate-limit.ts";
import { meshConfig } from "./mesh-config.ts";
import { meshDefaults } from "./mesh-defaults.ts";
import { peerAuthentication } from "./peer-authentication.ts";
import { proxyConfig } from "./proxy-config.ts";
import { requestAuthentication } from "./request-authentication.ts";
import { secret } from "./secret.ts";
import { serviceEntry } from "./service-entry.ts";
import { sidecar } from "./sidecar.ts";
import { telemetry } from "./telemetry.ts";
import { virtualService } from "./virtual-service.ts";
import { workloadEntry } from "./workload-entry.ts";
import { workloadGroup } from "./workload-group.ts";

/** Kinds with an effect, then those that are only recognised. */
export const kinds: readonly Kind[] = [
  virtualService,
  destinationRule,
  serviceEntry,
  workloadEntry,
  workloadGroup,
  sidecar,
  gateway,
  envoyFilter,
  proxyConfig,
  meshConfig,
  meshDefaults,
  localRateLimit,
  peerAuthentication,
  authorizationPolicy,
  kubernetesService,
  endpoints,
  endpointSlice,
  secret,
  requestAuthentication,
  telemetry,
  ...inertKinds,
];
