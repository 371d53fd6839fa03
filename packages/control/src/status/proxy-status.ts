/** What the control plane knows of a proxy's configuration, as the status services tell it. */
import type { Clock } from "@weft/core/world";
import type { ResourceStatus } from "@weft/xds/client-status";
import { ConfigStatus } from "@weft/xds/gen/envoy/service/status/v3/csds";
import { resourceTypes } from "@weft/xds/resource";
import type { SyncStatus, TypeSync } from "@weft/xds/stream-messages";
import type { ConnectedProxy } from "../push/connected-proxy.ts";

const statuses: { readonly [K in SyncStatus]: ConfigStatus } = {
  SYNCED: ConfigStatus.SYNCED,
  STALE: ConfigStatus.STALE,
  "NOT SENT": ConfigStatus.NOT_SENT,
  NACK: ConfigStatus.ERROR,
  ERROR: ConfigStatus.ERROR,
};

/** From the clock's own time to wall time. */
const wallOf = (clock: Clock, ms: number | undefined): number | undefined =>
  ms === undefined ? undefined : clock.wallMs() - clock.nowMs() + ms;

const failureOf = (sync: TypeSync, clock: Clock): ResourceStatus["error"] =>
  sync.error === undefined
    ? undefined
    : { details: sync.error, version: sync.version, atMs: wallOf(clock, sync.sentAtMs) ?? clock.wallMs() };

/** One status a type: of every type we serve, in push order. */
export const typeStatuses = (connected: ConnectedProxy, clock: Clock): readonly ResourceStatus[] => {
  const known = new Map(connected.types().map((sync) => [sync.typeUrl, sync]));
  return resourceTypes.map(({ typeUrl }): ResourceStatus => {
    const sync = known.get(typeUrl);
    if (!sync) return { typeUrl, configStatus: ConfigStatus.NOT_SENT };
    return {
      typeUrl,
      configStatus: statuses[sync.status],
      version: sync.version,
      updatedAtMs: wallOf(clock, sync.ackedAtMs ?? sync.sentAtMs),
      error: failureOf(sync, clock),
    };
  });
};

/** One status for each resource the proxy is subscribed to; of a type without any, one for the type. */
export const resourceStatuses = (
  connected: ConnectedProxy,
  clock: Clock,
  withContents: boolean,
): readonly ResourceStatus[] => {
  const known = new Map(connected.types().map((sync) => [sync.typeUrl, sync]));
  const snapshot = connected.snapshot();
  return typeStatuses(connected, clock).flatMap((type): readonly ResourceStatus[] => {
    const sync = known.get(type.typeUrl);
    const entries = [...(snapshot?.types.get(type.typeUrl)?.entries.values() ?? [])].filter(({ name }) =>
      connected.isSubscribed(type.typeUrl, name),
    );
    if (!sync || entries.length === 0) return [type];
    return entries.map(({ name, version, bytes }): ResourceStatus => {
      const isBad = sync.error !== undefined && (sync.rejected.size === 0 || sync.rejected.has(name));
      return {
        typeUrl: type.typeUrl,
        name,
        version,
        body: withContents && !mayHoldKeys.has(type.typeUrl) ? bytes : undefined,
        updatedAtMs: type.updatedAtMs,
        configStatus: isBad ? ConfigStatus.ERROR : sync.error === undefined ? statuses[sync.status] : taken(sync),
        error: isBad ? type.error : undefined,
      };
    });
  });
};

/** Of resources that came with a bad one: whether anything sent is still unanswered. */
const taken = ({ sentAtMs, ackedAtMs }: TypeSync): ConfigStatus =>
  sentAtMs !== undefined && ackedAtMs !== undefined && ackedAtMs >= sentAtMs ? ConfigStatus.SYNCED : ConfigStatus.STALE;

const mayHoldKeys: ReadonlySet<string> = new Set(
  resourceTypes.flatMap(({ kind, typeUrl }) => (kind === "secret" ? [typeUrl] : [])),
);
