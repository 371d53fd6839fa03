/**
 * Routes by the text their paths begin with: a radix tree, walked once per request along its path. It gives every entry
 * whose text the path begins with, whatever their number.
 */

interface Node {
  /** What the path must go on with to reach this node from its parent. */
  text: string;
  readonly children: Map<number, Node>;
  /** Ascending. */
  entries: number[];
}

export interface PathTrie {
  readonly size: number;
  /** Writes the lists of entries along the path into `out`, and gives their number. */
  readonly collect: (path: string, out: (readonly number[])[]) => number;
}

const node = (text: string): Node => ({ text, children: new Map(), entries: [] });

const commonLength = (a: string, b: string): number => {
  let i = 0;
  while (i < a.length && i < b.length && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  return i;
};

/** The child that goes on with all of `text`, made where there is none; one that goes on otherwise is cut in two. */
const descend = (from: Node, text: string): { readonly next: Node; readonly left: string } => {
  const first = text.charCodeAt(0);
  const child = from.children.get(first);
  if (!child) {
    const made = node(text);
    from.children.set(first, made);
    return { next: made, left: "" };
  }
  const common = commonLength(child.text, text);
  if (common === child.text.length) return { next: child, left: text.slice(common) };
  const middle = node(child.text.slice(0, common));
  child.text = child.text.slice(common);
  middle.children.set(child.text.charCodeAt(0), child);
  from.children.set(first, middle);
  return { next: middle, left: text.slice(common) };
};

/** Entries are numbers in ascending order, each with the text its paths begin with. */
export const buildPathTrie = (list: readonly (readonly [text: string, entry: number])[]): PathTrie => {
  const root = node("");
  for (const [text, entry] of list) {
    let at = root;
    let left = text;
    while (left !== "") ({ next: at, left } = descend(at, left));
    at.entries.push(entry);
  }
  return {
    size: list.length,
    collect: (path, out) => {
      let count = 0;
      let at: Node | undefined = root;
      let position = 0;
      while (at !== undefined) {
        if (at.entries.length > 0) out[count++] = at.entries;
        if (position >= path.length) break;
        at = at.children.get(path.charCodeAt(position));
        if (at === undefined || !path.startsWith(at.text, position)) break;
        position += at.text.length;
      }
      return count;
    },
  };
};
