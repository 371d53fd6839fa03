/** Instances of weft's own registry as they stand in a registry outside, by their keys. */
import type { Instance } from "../embedded/instance.ts";
import { type WrittenInstance, writtenByLabel } from "./write-session.ts";

/** One for each port, marked as written by `mesh`. */
export const writtenInstances = (instance: Instance, mesh: string): readonly WrittenInstance[] => {
  const { namespace, service, id, address, labels, serviceAccount, locality, weight, health } = instance;
  return instance.ports.map(({ port, servicePort, protocol }) => ({
    key: `${namespace}/${service}/${id}/${port}`,
    ...{ namespace, service, id, address, port, servicePort },
    protocol: protocol === "auto" ? undefined : protocol,
    labels: { ...labels, [writtenByLabel]: mesh },
    ...{ serviceAccount, locality, weight, health },
  }));
};
