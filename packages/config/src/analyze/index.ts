/** Every analyzer, in the order of codes. */
import type { Analyzer } from "./analyzer.ts";
import { destinationHost } from "./destination-host.ts";
import { destinationPort } from "./destination-port.ts";
import { destinationRuleConflict } from "./destination-rule-conflict.ts";
import { destinationRuleHost } from "./destination-rule-host.ts";
import { duplicateMatch } from "./duplicate-match.ts";
import { duplicateObject } from "./duplicate-object.ts";
import { ejectsEverything } from "./ejects-everything.ts";
import { endpointsWithoutService } from "./endpoints-without-service.ts";
import { failoverWithoutOutliers } from "./failover-without-outliers.ts";
import { fieldWithoutEffect } from "./field-without-effect.ts";
import { gatewayConflict } from "./gateway-conflict.ts";
import { gatewayReference } from "./gateway-reference.ts";
import { hostNotInGateway } from "./host-not-in-gateway.ts";
import { mtlsConflict } from "./mtls-conflict.ts";
import { peerAuthenticationConflict } from "./peer-authentication-conflict.ts";
import { policyHttpOnTcp } from "./policy-http-on-tcp.ts";
import { policyMatchesNothing } from "./policy-matches-nothing.ts";
import { repeatedDestination } from "./repeated-destination.ts";
import { retryTimeout } from "./retry-timeout.ts";
import { selectorWithoutWorkloads } from "./selector-without-workloads.ts";
import { serviceEntryConflict } from "./service-entry-conflict.ts";
import { subsetReference } from "./subset-reference.ts";
import { subsetWithoutEndpoints } from "./subset-without-endpoints.ts";
import { subsetWithoutLabels } from "./subset-without-labels.ts";
import { unreachableRoute } from "./unreachable-route.ts";
import { unverifiedTls } from "./unverified-tls.ts";
import { virtualServiceConflict } from "./virtual-service-conflict.ts";
import { weights } from "./weights.ts";

export const analyzers: readonly Analyzer[] = [
  destinationHost,
  subsetReference,
  gatewayReference,
  selectorWithoutWorkloads,
  duplicateObject,
  virtualServiceConflict,
  destinationRuleConflict,
  weights,
  unreachableRoute,
  duplicateMatch,
  subsetWithoutEndpoints,
  destinationRuleHost,
  retryTimeout,
  serviceEntryConflict,
  peerAuthenticationConflict,
  mtlsConflict,
  policyMatchesNothing,
  policyHttpOnTcp,
  repeatedDestination,
  gatewayConflict,
  hostNotInGateway,
  ejectsEverything,
  unverifiedTls,
  destinationPort,
  subsetWithoutLabels,
  endpointsWithoutService,
  failoverWithoutOutliers,
  fieldWithoutEffect,
];
