/** SPIFFE identities as Istio shapes them: spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT. */
export interface Identity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

export const defaultTrustDomain = "cluster.local";
export const defaultNamespace = "default";
/** Where mesh-wide policies live unless the mesh says otherwise. */
export const defaultRootNamespace = "istio-system";

const label = /^[a-zA-Z0-9._-]{1,253}$/;

/** Parses a SPIFFE URI of the shape above; anything else, also other SPIFFE paths, is `undefined`. */
export const parseIdentity = (uri: string): Identity | undefined => {
  if (!uri.startsWith("spiffe://")) return undefined;
  const parts = uri.slice("spiffe://".length).split("/");
  const [trustDomain, ns, namespace, sa, serviceAccount] = parts;
  if (parts.length !== 5 || ns !== "ns" || sa !== "sa") return undefined;
  if (!trustDomain || !namespace || !serviceAccount) return undefined;
  return [trustDomain, namespace, serviceAccount].every((part) => label.test(part))
    ? { trustDomain, namespace, serviceAccount }
    : undefined;
};

export const formatIdentity = ({ trustDomain, namespace, serviceAccount }: Identity): string =>
  `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
