/** Every analyzer, in the order of codes. */
import type { Analyzer } from "./analyzer.ts";
import { credentialAtSidecar } from "./credential-at-sidecar.ts";
import { delegate } from "./delegate.ts";
import { destinationHost } from "./destination-host.ts";
import { destinationPort } from "./destination-port.ts";
import { destinationRuleConflict } from "./destination-rule-conflict.ts";
import { destinationRuleHost } from "./destination-rule-host.ts";
import { duplicateMatch } from "./duplicate-match.ts";
import { duplicateObject } from "./duplicate-object.ts";
import { ejectsEverything } from "./ejects-everything.ts";
import { endpointsWithoutService } from "./endpoints-without-service.ts";
import { envoyFilterOperation } from "./envoy-filter-operation.ts";
import { envoyFilterOrder } from "./envoy-filter-order.ts";
import { envoyFilterReference } from "./envoy-filter-reference.ts";
import { exportToNamespace } from "./export-to-namespace.ts";
import { failoverWithoutOutliers } from "./failover-without-outliers.ts";
import { faultWithoutPercentage } from "./fault-without-percentage.ts";
import { fieldWithoutEffect } from "./field-without-effect.ts";
import { gatewayConflict } from "./gateway-conflict.ts";
import { gatewayErrors } from "./gateway-errors.ts";
import { gatewayReference } from "./gateway-reference.ts";
import { hostNotInGateway } from "./host-not-in-gateway.ts";
import { http2OnlySetting } from "./http2-only-setting.ts";
import { jwtClaimRoute } from "./jwt-claim-route.ts";
import { meshSettingsConflict } from "./mesh-settings-conflict.ts";
import { mtlsConflict } from "./mtls-conflict.ts";
import { peerAuthenticationConflict } from "./peer-authentication-conflict.ts";
import { policyHttpOnTcp } from "./policy-http-on-tcp.ts";
import { policyMatchesNothing } from "./policy-matches-nothing.ts";
import { portNaming } from "./port-naming.ts";
import { portPolicyReplaces } from "./port-policy-replaces.ts";
import { proxyConfigRestart } from "./proxy-config-restart.ts";
import { repeatedDestination } from "./repeated-destination.ts";
import { retriesOff } from "./retries-off.ts";
import { retryTimeout } from "./retry-timeout.ts";
import { rootSelection } from "./root-selection.ts";
import { selectionConflict } from "./selection-conflict.ts";
import { selectorWithoutWorkloads } from "./selector-without-workloads.ts";
import { serviceEntryConflict } from "./service-entry-conflict.ts";
import { sidecarHost } from "./sidecar-host.ts";
import { subsetReference } from "./subset-reference.ts";
import { subsetWithoutEndpoints } from "./subset-without-endpoints.ts";
import { subsetWithoutLabels } from "./subset-without-labels.ts";
import { trustDomainConflict } from "./trust-domain-conflict.ts";
import { unreachableRoute } from "./unreachable-route.ts";
import { unseenDestinationRule } from "./unseen-destination-rule.ts";
import { unverifiedTls } from "./unverified-tls.ts";
import { virtualServiceConflict } from "./virtual-service-conflict.ts";
import { weights } from "./weights.ts";
import { workloadGroupConflict } from "./workload-group-conflict.ts";

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
  selectionConflict,
  sidecarHost,
  exportToNamespace,
  envoyFilterOrder,
  envoyFilterOperation,
  envoyFilterReference,
  delegate,
  portNaming,
  unseenDestinationRule,
  jwtClaimRoute,
  http2OnlySetting,
  retriesOff,
  faultWithoutPercentage,
  credentialAtSidecar,
  workloadGroupConflict,
  meshSettingsConflict,
  portPolicyReplaces,
  rootSelection,
  gatewayErrors,
  proxyConfigRestart,
  trustDomainConflict,
];
