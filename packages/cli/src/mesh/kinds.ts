import { kinds } from "@weft/config/kinds/index";
import { WeftError } from "@weft/core/error";

const namesOf = ({ name, plural, shortNames = [] }: (typeof kinds)[number]): readonly string[] =>
  [name, plural, ...shortNames].map((each) => each.toLowerCase());

/**
 * A kind's proper name from what a person typed: any case, the plural, the short form, the group behind a dot
 * (`virtualservices.networking.istio.io`). Anything else is WF9022.
 */
export const kindNamed = (given: string): string => {
  const [word = "", ...group] = given.toLowerCase().split(".");
  const found = kinds.find(
    (kind) => namesOf(kind).includes(word) && (group.length === 0 || kind.group === group.join(".")),
  );
  if (found) return found.name;
  const known = kinds.flatMap(({ name, inert }) => (inert === undefined ? [name] : []));
  throw new WeftError("WF9022", `there is no kind ${given}`, { next: `use one of ${known.join(", ")}` });
};

/** What `KIND NAME` and `KIND/NAME` mean; without a kind, everything. */
export const objectNamed = (
  kind: string | undefined,
  name: string | undefined,
): { readonly kind: string | undefined; readonly name: string | undefined } => {
  if (kind === undefined) return { kind, name };
  const slash = kind.indexOf("/");
  if (slash < 0 || name !== undefined) return { kind: kindNamed(kind), name };
  return { kind: kindNamed(kind.slice(0, slash)), name: kind.slice(slash + 1) };
};
