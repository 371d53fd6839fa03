/** Adding to, replacing in and taking from ordered lists, as the operations of a patch say. */
import type { Json, Patch } from "./patch.ts";

export interface ListEdit {
  readonly list: readonly Json[];
  readonly applied: boolean;
}

export interface ListRules {
  /** Whether the patch names a member; without one, before is first and after is last. */
  readonly named: boolean;
  readonly matches: (member: Json) => boolean;
  /** The last member ends the list: what would come after it comes before it. */
  readonly isLast?: (member: Json) => boolean;
  /** Where ADD puts the new member, if not at the end. */
  readonly addAt?: (list: readonly Json[]) => number | undefined;
  /** Inserting first needs a member that matches, as for routes. */
  readonly firstNeedsMatch?: boolean;
}

const unchanged = (list: readonly Json[]): ListEdit => ({ list, applied: false });

/** Operations other than MERGE, on one list. */
export const editList = (list: readonly Json[], { operation, value }: Patch, rules: ListRules): ListEdit => {
  const end = rules.isLast && list.length > 0 && rules.isLast(list.at(-1) as Json) ? list.length - 1 : list.length;
  const insert = (index: number): ListEdit => ({
    list: list.toSpliced(Math.min(index, end), 0, value),
    applied: true,
  });
  const found = rules.named ? list.findIndex(rules.matches) : -1;
  switch (operation) {
    case "ADD":
      return insert(rules.addAt?.(list) ?? end);
    case "INSERT_FIRST":
      return rules.firstNeedsMatch && rules.named && found < 0 ? unchanged(list) : insert(0);
    case "INSERT_BEFORE":
      if (!rules.named) return insert(0);
      return found < 0 ? unchanged(list) : insert(found);
    case "INSERT_AFTER":
      if (!rules.named) return insert(end);
      return found < 0 ? unchanged(list) : insert(found + 1);
    case "REPLACE":
      return found < 0 ? unchanged(list) : { list: list.with(found, value), applied: true };
    case "REMOVE": {
      const kept = rules.named ? list.filter((member) => !rules.matches(member)) : list;
      return { list: kept, applied: kept.length < list.length };
    }
    default:
      return unchanged(list);
  }
};
