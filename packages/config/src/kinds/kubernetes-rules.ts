/** Rules of the Kubernetes kinds that their schemas cannot say. */
import { isIp } from "../schema/formats.ts";
import { serviceNameLabel } from "./common.ts";
import type { RuleTools } from "./kind.ts";
import type { EndpointSliceSpec } from "./kubernetes-endpoints.ts";
import type { KubernetesServiceSpec } from "./kubernetes-service.ts";
import { checkUnique, reporter } from "./rules.ts";

export const validateKubernetesService = (spec: KubernetesServiceSpec, tools: RuleTools): void => {
  const { bad, missing } = reporter(tools);
  const ports = spec.ports ?? [];
  if (spec.type === "ExternalName") {
    if (!spec.externalName) missing([], "a Service of type ExternalName needs externalName");
    return;
  }
  if (ports.length === 0 && spec.clusterIP !== "None") missing([], "a Service needs at least one port");
  for (const [index, { name }] of ports.entries()) {
    if (ports.length > 1 && !name) missing(["ports", index], "a Service with several ports needs a name for each");
  }
  checkUnique(
    ports.map(({ name = "" }) => name).filter((name) => name !== ""),
    (_, name) => bad(["ports"], `port name "${name}" is used twice: names must differ`),
  );
  checkUnique(
    ports.map(({ port, protocol = "TCP" }) => `${port}/${protocol}`),
    (index, port) => bad(["ports", index], `port ${port} is listed twice: remove one`),
  );
};

export const validateEndpointSlice = (spec: EndpointSliceSpec, tools: RuleTools): void => {
  const { bad, warn } = reporter(tools);
  if (!tools.labels[serviceNameLabel]) {
    warn([], `an EndpointSlice without the label ${serviceNameLabel} belongs to no Service: add the label`);
  }
  if (spec.addressType === "FQDN") return;
  for (const [index, { addresses }] of (spec.endpoints ?? []).entries()) {
    for (const [at, address] of addresses.entries()) {
      const fits = isIp(address) && address.includes(":") === (spec.addressType === "IPv6");
      if (fits) continue;
      bad(["endpoints", index, "addresses", at], `"${address}" is not an address of type ${spec.addressType}`);
    }
  }
};
