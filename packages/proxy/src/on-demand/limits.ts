/** Bounds of on-demand discovery by name. Names come from clients: what they can make the proxy keep is bounded here. */

/** Requests and connections that wait for clusters, and those that wait for virtual hosts. */
export const demandsWaitingMax = 1024;

/** Clusters and, apart from them, virtual hosts that are subscribed to by name. */
export const demandedNamesMax = 1000;

/** Those among them whose giver says that there is no such thing, and which are kept to hear when there is. */
export const absentNamesMax = 500;

/** Characters of such a name. */
export const demandedNameLengthMax = 512;
