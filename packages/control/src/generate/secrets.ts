/** Keys and authorities of Secrets in the configuration, as SDS resources for proxies of the Secret's namespace. */
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import type { Scope } from "./scope.ts";

/** `kubernetes://NAME`, as Istio names the resource; a name that says its kind stays. */
export const secretName = (credential: string): string =>
  credential.includes("://") ? credential : `kubernetes://${credential}`;

const authoritiesSuffix = "-cacert";

/** The resource with the authorities that go with a credential. */
export const authoritiesName = (credential: string): string => `${secretName(credential)}${authoritiesSuffix}`;

type Entries = Readonly<Record<string, string>>;

const texts = (value: unknown, decode: (text: string) => string): Entries =>
  typeof value === "object" && value !== null
    ? Object.fromEntries(
        Object.entries(value).flatMap(([key, text]) => (typeof text === "string" ? [[key, decode(text)]] : [])),
      )
    : {};

/** What a Secret or ConfigMap of the namespace holds, as text. */
const entriesOf = ({ model }: Scope, kind: string, namespace: string, name: string): Entries | undefined => {
  const object = model.config.get(`${kind}/${namespace}/${name}`)?.object;
  if (!object) return undefined;
  const spec = object.spec as Readonly<Record<string, unknown>>;
  const plain = (text: string): string => text;
  const coded = (text: string): string => Buffer.from(text, "base64").toString("utf8");
  return { ...texts(spec.data, kind === "Secret" ? coded : plain), ...texts(spec.stringData, plain) };
};

const isPem = (text: string | undefined): text is string => text?.includes("-----BEGIN ") ?? false;

/**
 * The Secret with certificate and key, which a gateway may read in its own namespace. `undefined`: there is none, or
 * nothing shows that the proxy is who it says.
 */
export const certificateSecret = (scope: Scope, credential: string): SecretJson | undefined => {
  const entries = entriesOf(scope, "Secret", scope.proxy.namespace, credential);
  const [chain, key] = [entries?.["tls.crt"] ?? entries?.cert, entries?.["tls.key"] ?? entries?.key];
  if (!scope.proxy.authenticated || !isPem(chain) || !isPem(key)) return undefined;
  return {
    name: secretName(credential),
    tlsCertificate: { certificateChain: { inlineString: chain }, privateKey: { inlineString: key } },
  };
};

/** Why a key that is there may not be sent. */
export const withheld = ({ proxy }: Scope): string =>
  proxy.authenticated ? "" : " (keys go to proxies that show a certificate, at the secure address, only)";

/**
 * Authorities beside the key (`ca.crt`), or in a Secret of their own with `-cacert` behind the name; with what they have
 * revoked (`ca.crl`), where that is beside them.
 */
export const authoritiesSecret = (scope: Scope, credential: string): SecretJson | undefined => {
  const { namespace } = scope.proxy;
  const own = entriesOf(scope, "Secret", namespace, credential);
  const apart = entriesOf(scope, "Secret", namespace, `${credential}${authoritiesSuffix}`);
  const rootsOf = (entries: Entries | undefined) => [entries?.["ca.crt"], entries?.cacert].find(isPem);
  const from = [own, apart].find((entries) => rootsOf(entries) !== undefined);
  const roots = rootsOf(from);
  const revoked = [from?.["ca.crl"], from?.crl].find(isPem);
  if (roots === undefined) return undefined;
  const crl = revoked === undefined ? {} : { crl: { inlineString: revoked } };
  return { name: authoritiesName(credential), validationContext: { trustedCa: { inlineString: roots }, ...crl } };
};

/** What a DestinationRule's credential gives a client: its key for MUTUAL, and the authorities it verifies servers by. */
export const clientSecrets = (
  scope: Scope,
  credential: string,
  { mode, insecureSkipVerify }: { readonly mode?: string; readonly insecureSkipVerify?: boolean },
): { readonly secrets: readonly SecretJson[]; readonly missing: readonly string[] } => {
  const key = mode === "MUTUAL" ? certificateSecret(scope, credential) : undefined;
  const authorities = insecureSkipVerify ? undefined : authoritiesSecret(scope, credential);
  const place = `namespace ${scope.proxy.namespace} has no Secret "${credential}"`;
  return {
    secrets: [key, authorities].filter((secret) => secret !== undefined),
    missing: [
      ...(mode === "MUTUAL" && !key
        ? [`${place} with tls.crt and tls.key${withheld(scope)}: connections wait for it`]
        : []),
      ...(insecureSkipVerify || authorities
        ? []
        : [`${place} or "${credential}${authoritiesSuffix}" with ca.crt: connections wait for it`]),
    ],
  };
};
