/** By which addresses a client's connections to a service can be told. */
import type { Service } from "../model/service.ts";
import { hasIPv6 } from "./proxy-facts.ts";
import type { Scope } from "./scope.ts";

/** The service's own; without any, those made up for it, where the client's names are looked up through its proxy. */
export const serviceAddresses = (
  { model, proxy }: Pick<Scope, "model" | "proxy">,
  service: Service,
): readonly string[] => {
  if (service.addresses.length > 0 || !proxy.dnsCapture) return service.addresses;
  const made = model.virtualAddresses(service);
  if (!made) return service.addresses;
  return hasIPv6(proxy) ? [made.v4, made.v6] : [made.v4];
};
