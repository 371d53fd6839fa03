/** What is known of a prefix between lists: which keys there are, and how far its history was followed. */
import type { EtcdList } from "./etcd-list.ts";

export interface EtcdKeys {
  /** Takes a list; gives the revision to watch from, which is before the list where history may be followed on. */
  listed(list: EtcdList): number;
  /** Whether a change is news; what a replay says of before the list is only so where it deletes what the list has not. */
  isNews(key: string, kind: "put" | "delete", revision: number): boolean;
  /**
   * A change of this revision was told, and so were all before it. What etcd says of its progress is no such proof: it may
   * run ahead of changes that are still on their way.
   */
  followed(revision: number): void;
}

export const createEtcdKeys = (): EtcdKeys => {
  let keys = new Set<string>();
  let clusterId = "";
  let followedTo = 0;
  let listedAt = 0;
  /** The last key of a list that was cut: what a replay says of later ones is all there is to know of them. */
  let readTo: string | undefined;
  return {
    listed(list) {
      // A store that is another, or went back, has no history that goes on from ours.
      const goesOn = followedTo > 0 && list.clusterId === clusterId && list.revision >= followedTo;
      const from = goesOn ? followedTo + 1 : list.revision + 1;
      keys = new Set(list.keys);
      clusterId = list.clusterId;
      listedAt = list.revision;
      readTo = list.readTo;
      followedTo = goesOn ? followedTo : list.revision;
      return from;
    },
    isNews(key, kind, revision) {
      const isUnread = readTo !== undefined && key > readTo;
      if (revision <= listedAt && !isUnread) return kind === "delete" && !keys.has(key);
      if (kind === "put") keys.add(key);
      else keys.delete(key);
      return true;
    },
    followed(revision) {
      followedTo = Math.max(followedTo, revision);
    },
  };
};
