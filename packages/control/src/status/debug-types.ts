/**
 * Istio's debug types over a discovery stream: `istio.io/debug/syncz` and `istio.io/debug/config_dump`. Each request is
 * answered at once from what is connected; who asks so is no proxy.
 */
import type { Clock } from "@weft/core/world";
import type { GrpcCallHead } from "@weft/net/grpc/calls";
import { clientConfig, clientConfigUrl, encodeClientConfig } from "@weft/xds/client-status";
import type { EncodedResource } from "@weft/xds/discovery";
import { ConfigStatus } from "@weft/xds/gen/envoy/service/status/v3/csds";
import { givenPart } from "@weft/xds/on-demand";
import type { ConnectedProxy } from "../push/connected-proxy.ts";
import { encodedConfigDump } from "./config-dump.ts";
import { findProxy, newestOf } from "./find-proxy.ts";
import { typeStatuses } from "./proxy-status.ts";
import { type VisibilityOptions, visibilityOf } from "./visibility.ts";

export interface DebugOptions extends VisibilityOptions {
  readonly clock: Clock;
}

export type AnswerDebug = (
  head: GrpcCallHead,
  question: { readonly typeUrl: string; readonly names: readonly string[] },
  proxies: readonly ConnectedProxy[],
) => readonly EncodedResource[];

const prefix = "istio.io/debug/";
export const isDebugType = (typeUrl: string): boolean => typeUrl.startsWith(prefix);

const extensionUrl = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

/** Gives no resources for what is not there, as istiod does; throws GrpcError for who may not ask. */
export const createDebugAnswers =
  (options: DebugOptions): AnswerDebug =>
  (head, { typeUrl, names }, proxies) => {
    const visible = visibilityOf(head, options);
    const seen = proxies.filter(({ proxy }) => visible(proxy.namespace));
    switch (typeUrl.slice(prefix.length)) {
      case "syncz":
        return newestOf(seen).map((connected) => syncOf(connected, options.clock));
      case "config_dump": {
        const [name, ...more] = names;
        const found = name === undefined || more.length > 0 ? undefined : findProxy(seen, name);
        const snapshot = found?.snapshot();
        return found && snapshot ? encodedConfigDump(givenPart(snapshot, found.isSubscribed)) : [];
      }
      default:
        return [];
    }
  };

const syncOf = (connected: ConnectedProxy, clock: Clock): EncodedResource => {
  const { proxy, node } = connected;
  const given = (node.metadata ?? {}) as Readonly<Record<string, unknown>>;
  const metadata = {
    CLUSTER_ID: proxy.cluster,
    NAMESPACE: proxy.namespace,
    ISTIO_VERSION: typeof given.ISTIO_VERSION === "string" ? given.ISTIO_VERSION : "",
  };
  const statuses = [...typeStatuses(connected, clock), { typeUrl: extensionUrl, configStatus: ConfigStatus.NOT_SENT }];
  const value = encodeClientConfig(clientConfig({ id: proxy.id, metadata }, statuses));
  return { name: proxy.id, version: "", typeUrl: clientConfigUrl, value };
};
