/** Which hosts a retry may go to: host predicates and retry priorities, by their messages or by name alone. */
import { ConfigError } from "@weft/core/config-error";
import type { RetryPolicyJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { OmitHostMetadataConfigJson } from "@weft/xds/gen/envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config";
import type { PreviousPrioritiesConfigJson } from "@weft/xds/gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config";
import type { Host } from "../clusters/host.ts";
import { openAny } from "../compile/any.ts";
import { member, refuseOthers, required, unsigned } from "../compile/fields.ts";

export interface RetryHosts {
  /** `previous_hosts`: do not give the same host again while another can be found. */
  readonly avoidPreviousHosts: boolean;
  /** A retry goes to another host while one can be found. */
  readonly rejectsHost: ((host: Host) => boolean) | undefined;
  /** `previous_priorities`: leave out the priorities met, looked at after so many tries. */
  readonly priorityUpdateAfter: number | undefined;
}

interface Extension {
  readonly name?: string;
  readonly typedConfig?: object;
}

/** The extension's kind by its message's last word, else by its name's; and its settings. */
const open = ({ name = "", typedConfig }: Extension, at: string) => {
  if (!typedConfig) return { kind: name.slice(name.lastIndexOf(".") + 1), raw: {} };
  const { typeName, raw } = openAny(typedConfig, member(at, "typedConfig"));
  return { kind: kindOfMessage.get(typeName) ?? typeName, raw };
};

const kindOfMessage: ReadonlyMap<string, string> = new Map([
  ["envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", "previous_hosts"],
  ["envoy.config.retry.previous_hosts.v2.PreviousHostsPredicate", "previous_hosts"],
  ["envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate", "omit_canary_hosts"],
  ["envoy.config.retry.omit_canary_hosts.v2.OmitCanaryHostsPredicate", "omit_canary_hosts"],
  ["envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig", "omit_host_metadata"],
  ["envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", "previous_priorities"],
  ["google.protobuf.Empty", ""],
]);

/** Metadata of hosts says `envoy.lb: {canary: true}`. */
const isCanary = ({ metadata }: Host): boolean => metadata["envoy.lb"]?.canary === true;

/** A host that has all the values of `envoy.lb` given. */
const hasMetadata = (raw: Readonly<Record<string, unknown>>, at: string): ((host: Host) => boolean) => {
  const json = raw as OmitHostMetadataConfigJson;
  refuseOthers(json, "OmitHostMetadataConfig", at, ["metadataMatch"]);
  const wanted = Object.entries(json.metadataMatch?.filterMetadata?.["envoy.lb"] ?? {}).map(
    ([key, value]) => [key, JSON.stringify(value)] as const,
  );
  if (wanted.length === 0) return () => false;
  return ({ metadata }) => wanted.every(([key, value]) => JSON.stringify(metadata["envoy.lb"]?.[key]) === value);
};

const compilePriority = (json: RetryPolicyJson["retryPriority"], at: string): number | undefined => {
  if (!json) return undefined;
  const { kind, raw } = open(json, at);
  if (kind !== "previous_priorities") throw new ConfigError(at, `${json.name ?? kind} is not supported`);
  const frequencyAt = member(at, "typedConfig.updateFrequency");
  const frequency = required(unsigned((raw as PreviousPrioritiesConfigJson).updateFrequency, frequencyAt), frequencyAt);
  if (frequency === 0) throw new ConfigError(frequencyAt, "must be greater than 0");
  return frequency;
};

/** Compiles the host predicates and the retry priority of a policy. */
export const compileRetryHosts = (json: RetryPolicyJson, at: string): RetryHosts => {
  let avoidPreviousHosts = false;
  const rejections: ((host: Host) => boolean)[] = [];
  for (const [index, predicate] of (json.retryHostPredicate ?? []).entries()) {
    const here = `${at}.retryHostPredicate[${index}]`;
    const opened = open(predicate, here);
    const kind = opened.kind === "" ? open({ name: predicate.name ?? "" }, here).kind : opened.kind;
    if (kind === "previous_hosts") avoidPreviousHosts = true;
    else if (kind === "omit_canary_hosts") rejections.push(isCanary);
    else if (kind === "omit_host_metadata" || kind === "omit_hosts_by_metadata" || kind === "omit_hosts")
      rejections.push(hasMetadata(opened.raw, member(here, "typedConfig")));
    else throw new ConfigError(here, `${predicate.name ?? kind} is not supported`);
  }
  const [only] = rejections;
  return {
    avoidPreviousHosts,
    rejectsHost: rejections.length < 2 ? only : (host) => rejections.some((rejects) => rejects(host)),
    priorityUpdateAfter: compilePriority(json.retryPriority, member(at, "retryPriority")),
  };
};
