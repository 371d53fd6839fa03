/** A workload as metrics name it: our own, from the node, or a peer's, from metadata exchange or its endpoint. */
import type { ProxyNode } from "../filters/http/filter.ts";
import { decodeStruct, encodeStruct } from "./struct-codec.ts";

export interface Peer {
  readonly workload: string;
  readonly namespace: string;
  readonly app: string;
  readonly version: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  readonly cluster: string;
}

export const unknownPeer: Peer = {
  workload: "unknown",
  namespace: "unknown",
  app: "unknown",
  version: "unknown",
  canonicalService: "unknown",
  canonicalRevision: "latest",
  cluster: "unknown",
};

const textOf = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

const peerFrom = (read: (name: string) => unknown): Peer => {
  const labels = read("LABELS");
  const label = (name: string): string | undefined =>
    typeof labels === "object" && labels !== null && Object.hasOwn(labels, name)
      ? textOf((labels as Readonly<Record<string, unknown>>)[name])
      : undefined;
  const workload = textOf(read("WORKLOAD_NAME")) ?? "unknown";
  return {
    workload,
    namespace: textOf(read("NAMESPACE")) ?? "unknown",
    app: label("app") ?? "unknown",
    version: label("version") ?? "unknown",
    canonicalService: label("service.istio.io/canonical-name") ?? label("app") ?? workload,
    canonicalRevision: label("service.istio.io/canonical-revision") ?? label("version") ?? "latest",
    cluster: textOf(read("CLUSTER_ID")) ?? "unknown",
  };
};

export const peerOfNode = ({ metadata }: ProxyNode): Peer =>
  peerFrom((name) => (Object.hasOwn(metadata, name) ? metadata[name] : undefined));

/** What a peer needs to know of us, as the header's value. */
export const encodeNode = ({ id, metadata }: ProxyNode): string => {
  const { app, version, ...names } = peerOfNode({ id, cluster: "", metadata });
  const labels = {
    "service.istio.io/canonical-name": names.canonicalService,
    "service.istio.io/canonical-revision": names.canonicalRevision,
    ...(app === "unknown" ? {} : { app }),
    ...(version === "unknown" ? {} : { version }),
  };
  const struct = {
    NAME: textOf(metadata.NAME) ?? names.workload,
    NAMESPACE: names.namespace,
    WORKLOAD_NAME: names.workload,
    CLUSTER_ID: names.cluster,
    LABELS: labels,
  };
  return Buffer.from(encodeStruct(struct)).toString("base64");
};

/** Distinct values remembered per filter chain, and the longest value read: both come from peers. */
const peersMax = 500;
const valueCharsMax = 16_384;

/** Decodes the header's value, each distinct one once: the same value gives the same object, a key for caches. */
export const createPeerDecoder = (): ((value: string) => Peer | undefined) => {
  const known = new Map<string, Peer | undefined>();
  return (value) => {
    const found = known.get(value);
    if (found !== undefined || known.has(value)) return found;
    if (value.length > valueCharsMax) return undefined;
    const struct = decodeStruct(Buffer.from(value, "base64"));
    const peer = struct && struct.size > 0 ? peerFrom((name) => struct.get(name)) : undefined;
    if (known.size >= peersMax) known.delete(known.keys().next().value as string);
    known.set(value, peer);
    return peer;
  };
};

/** An endpoint's `istio.workload`: `workload;namespace;canonical;revision;cluster`. */
export const parseWorkload = (text: string): Peer => {
  const [workload, namespace, canonical, revision, cluster] = text.split(";");
  return {
    ...unknownPeer,
    workload: workload || "unknown",
    namespace: namespace || "unknown",
    canonicalService: canonical || "unknown",
    canonicalRevision: revision || "latest",
    cluster: cluster || "unknown",
  };
};
