/**
 * Names of the mesh's services in a registry without its namespaces: those of one namespace keep theirs, others are
 * `SERVICE-NAMESPACE`. Two may become one, as `a` in `b` and `a-b`: then the one that stands there has it.
 */
import { WriteRefusal, type WrittenInstance } from "./write-session.ts";

export const outsideName = ({ namespace, service }: WrittenInstance, ownNamespace: string): string =>
  namespace === ownNamespace ? service : `${service}-${namespace}`;

export interface OutsideNames {
  /** The name is this service's as long as one instance has taken it. Throws `WriteRefusal` where it is another's. */
  take(instance: WrittenInstance): void;
  /** Whether the instance has taken it: nothing else of it can stand there. */
  holds(instance: WrittenInstance): boolean;
  leave(instance: WrittenInstance): void;
}

/** To be kept over sessions: what one wrote, another takes out. */
export const outsideNames = (ownNamespace: string): OutsideNames => {
  const owners = new Map<string, { readonly service: string; readonly members: Set<string> }>();
  const memberOf = ({ id, port }: WrittenInstance): string => `${id}:${port}`;
  const serviceOf = ({ namespace, service }: WrittenInstance): string => `${namespace}/${service}`;
  const nameOf = (instance: WrittenInstance): string => outsideName(instance, ownNamespace);
  return {
    take(instance) {
      const [name, member] = [nameOf(instance), memberOf(instance)];
      const service = serviceOf(instance);
      const owner = owners.get(name);
      if (!owner) owners.set(name, { service, members: new Set([member]) });
      else if (owner.service === service) owner.members.add(member);
      else throw new WriteRefusal(`its service would be called ${name} there, which is the name of ${owner.service}`);
    },
    holds(instance) {
      const owner = owners.get(nameOf(instance));
      return owner?.service === serviceOf(instance) && owner.members.has(memberOf(instance));
    },
    leave(instance) {
      const name = nameOf(instance);
      const owner = owners.get(name);
      if (owner?.service !== serviceOf(instance)) return;
      owner.members.delete(memberOf(instance));
      if (owner.members.size === 0) owners.delete(name);
    },
  };
};
