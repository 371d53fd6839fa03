/**
 * What is made for each of thousands of objects and put together: parts are found by the object itself, so that what did
 * not change costs a comparison of its inputs, and the same part is the same object.
 */
import type { Finding } from "@weft/config/finding";
import { sameValue } from "@weft/core/equal";
import type { DestinationClient } from "../model/destination-rules.ts";
import type { Service } from "../model/service.ts";
import type { RouteContext } from "./rule-routes.ts";
import type { Scope } from "./scope.ts";

/**
 * The part of `owner`. `inputs` must hold everything that `make` reads beside the client, compared by identity. What
 * `make` notes is noted each time.
 */
export type Parts<T> = (owner: object, inputs: readonly unknown[], make: (context: RouteContext) => T) => T;

interface Part {
  readonly inputs: readonly unknown[];
  readonly value: unknown;
  readonly notes: readonly Finding[];
}

/** `name` says which of the parts that an object may have, of those of this client. */
export const partsOf = <T>({ scope, notes }: RouteContext, name: string): Parts<T> => {
  const parts = scope.memo.of(`parts ${name} ${scope.key}`, [], () => new WeakMap<object, Part>());
  return (owner, inputs, make) => {
    let known = parts.get(owner);
    if (!known || !sameInputs(known.inputs, inputs)) {
      const own: Finding[] = [];
      const made = make({ scope, notes: own });
      known = { inputs, value: known && sameValue(known.value, made) ? known.value : made, notes: own };
      parts.set(owner, known);
    }
    for (const note of known.notes) notes.push(note);
    return known.value as T;
  };
};

export const sameInputs = (a: readonly unknown[], b: readonly unknown[]): boolean => {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
};

/** What a service's policy for a client comes from: the same inputs are the same policy. */
export const policyInputs = (
  { model }: Pick<Scope, "model">,
  service: Service,
  client: DestinationClient,
): readonly unknown[] => {
  const policy = model.rules().destinationPolicy(service, client);
  return policy ? [policy.id, ...policy.rules] : none;
};

const none: readonly unknown[] = [];
