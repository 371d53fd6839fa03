/**
 * Keeps the webhook configurations of a cluster true: who signed the webhooks' certificate, and, once a wrong object is
 * seen to be refused, that nothing goes past the validation. Only the holder of the writer's lease does it.
 */
import type { Logger } from "@weft/core/world";
import type { KubernetesApi, KubernetesCall } from "@weft/net/kubernetes/kubernetes-api";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";

export interface ConfigurationNames {
  readonly mutating: string;
  readonly validating: string;
}

/** As `weft install` names them. */
export const configurationNames = (revision: string, namespace: string): ConfigurationNames => {
  const suffix = revision === "default" ? "" : `-${revision}`;
  return { mutating: `istio-sidecar-injector${suffix}`, validating: `istio-validator${suffix}-${namespace}` };
};

export interface WebhookKeeperOptions {
  readonly read: KubernetesApi["call"];
  /** Rejects where another writes. */
  readonly write: (call: KubernetesCall) => Promise<unknown>;
  readonly names: ConfigurationNames;
  /** Where the object is tried that must be refused. */
  readonly namespace: string;
  readonly revision: string;
  /** PEM, as of now. */
  readonly rootPem: () => string;
  readonly log: Logger;
}

export interface WebhookPatch {
  readonly metadata: { readonly resourceVersion: string };
  readonly webhooks: readonly WebhookChange[];
}
interface WebhookChange {
  readonly name: string;
  readonly clientConfig?: { readonly caBundle: string };
  readonly failurePolicy?: "Fail";
}

const group = "/apis/admissionregistration.k8s.io/v1";
const strategicMerge = "application/strategic-merge-patch+json";

/** One look at both; call it again and again. Never rejects. */
export const keepWebhooks = async (options: WebhookKeeperOptions): Promise<void> => {
  const { names } = options;
  await guarded(`mutatingwebhookconfigurations/${names.mutating}`, options, async (path) => {
    await patchBundle(path, options);
  });
  await guarded(`validatingwebhookconfigurations/${names.validating}`, options, async (path) => {
    const configuration = await patchBundle(path, options);
    if (isStrict(configuration) || !(await refusesWrongObjects(options))) return;
    const patch = planStrict(configuration);
    if (!patch) return;
    await options.write({ method: "PATCH", path, body: patch, contentType: strategicMerge });
    options.log.info("the validation webhook is proved: from now on no object goes past it", { path });
  });
};

const guarded = async (
  place: string,
  { log }: WebhookKeeperOptions,
  run: (path: string) => Promise<void>,
): Promise<void> => {
  try {
    await run(`${group}/${place}`);
  } catch (error) {
    const { status, message } = error as KubernetesError;
    // One that is not installed, and one that changed under us, are looked at again in the next round.
    if (status === 404 || status === 409) return;
    log.warn("a webhook configuration cannot be kept", { code: "WF2190", configuration: place, error: message });
  }
};

/** Gives the configuration as it now is. */
const patchBundle = async (path: string, { read, write, rootPem, log }: WebhookKeeperOptions): Promise<unknown> => {
  const configuration = await read({ method: "GET", path });
  const patch = planBundle(configuration, rootPem());
  if (!patch) return configuration;
  const patched = await write({ method: "PATCH", path, body: patch, contentType: strategicMerge });
  log.info("the webhooks are told who signs their certificate", { path });
  return patched;
};

/** `undefined` where every webhook has that root already. */
export const planBundle = (configuration: unknown, rootPem: string): WebhookPatch | undefined => {
  const caBundle = Buffer.from(rootPem).toString("base64");
  return planned(configuration, ({ clientConfig }) => {
    const known = (clientConfig as { readonly caBundle?: unknown } | undefined)?.caBundle;
    return known === caBundle ? undefined : { clientConfig: { caBundle } };
  });
};

/** `undefined` where nothing goes past any webhook already. */
export const planStrict = (configuration: unknown): WebhookPatch | undefined =>
  planned(configuration, ({ failurePolicy }) => (failurePolicy === "Fail" ? undefined : { failurePolicy: "Fail" }));

const isStrict = (configuration: unknown): boolean => planStrict(configuration) === undefined;

const planned = (
  configuration: unknown,
  change: (webhook: Readonly<Record<string, unknown>>) => Omit<WebhookChange, "name"> | undefined,
): WebhookPatch | undefined => {
  const { metadata, webhooks } = (configuration ?? {}) as { readonly metadata?: unknown; readonly webhooks?: unknown };
  const resourceVersion = (metadata as { readonly resourceVersion?: unknown } | undefined)?.resourceVersion;
  if (typeof resourceVersion !== "string" || !Array.isArray(webhooks)) return undefined;
  const changes = webhooks.flatMap((webhook: Readonly<Record<string, unknown>>) => {
    const { name } = webhook;
    const wanted = change(webhook);
    return typeof name === "string" && wanted ? [{ name, ...wanted }] : [];
  });
  return changes.length === 0 ? undefined : { metadata: { resourceVersion }, webhooks: changes };
};

/** Nothing is stored: the object is only tried. */
const refusesWrongObjects = async ({ write, namespace, revision }: WebhookKeeperOptions): Promise<boolean> => {
  const path = `/apis/networking.istio.io/v1/namespaces/${encodeURIComponent(namespace)}/gateways?dryRun=All`;
  const labels = { "istio.io/rev": revision };
  for (const metadata of [{ name: probeName, labels }, { name: probeName }]) {
    const body = { apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata, spec: {} };
    try {
      await write({ method: "POST", path, body });
    } catch (error) {
      if (!(error instanceof KubernetesError)) throw error;
      if (ourRefusal.test(error.message)) return true;
      if (error.status === 403 || error.reason === notAnswered) throw error;
    }
  }
  return false;
};

const probeName = "weft-validation-probe";
const notAnswered = "NotLeaseHolder";
/** Our own words: a refusal by anybody else proves nothing. */
const ourRefusal = /denied the request: WF\d{4} spec/;
