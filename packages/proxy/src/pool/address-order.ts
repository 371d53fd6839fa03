/** In which order the addresses of one host are tried: families in turn, so that a broken one costs one attempt. */
import type { HappyEyeballs } from "../clusters/cluster.ts";
import type { HostTarget } from "../clusters/host.ts";

const familyOf = (target: HostTarget): "v4" | "v6" | "pipe" => {
  if (target.kind === "pipe") return "pipe";
  return target.host.includes(":") ? "v6" : "v4";
};

/** As many of the first family as `count` says, then one of another, and so on; within each as they were given. */
export const orderAddresses = (
  addresses: readonly HostTarget[],
  { firstFamily, count }: HappyEyeballs,
): readonly HostTarget[] => {
  const [head] = addresses;
  if (head === undefined) return addresses;
  const family = firstFamily ?? familyOf(head);
  const first = addresses.filter((one) => familyOf(one) === family);
  const others = addresses.filter((one) => familyOf(one) !== family);
  if (first.length === 0 || others.length === 0) return addresses;
  const ordered: HostTarget[] = [];
  for (let at = 0; ordered.length < addresses.length; at++) {
    ordered.push(...first.slice(at * count, (at + 1) * count));
    ordered.push(...others.slice(at, at + 1));
  }
  return ordered;
};
