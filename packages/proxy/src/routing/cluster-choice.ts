/** Which cluster a forwarding route takes: a constant, one of several by weight, or the one a header names. */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type {
  RouteActionJson,
  WeightedCluster_ClusterWeightJson,
  WeightedClusterJson,
} from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { atMostOne, member, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import { headerReader } from "../matching/header-matcher.ts";
import { compileHeaderEdits, type EditHeaders, noEdit, sequence } from "./header-edits.ts";
import type { WeightedChoice } from "./route.ts";

export interface ClusterChoice {
  readonly choose: (request: RequestHead, random: number) => WeightedChoice;
  /** Names that can come out, besides those that headers name. */
  readonly names: readonly string[];
  /** Clusters that weights choose among, where one of them changes more of the route than the cluster. */
  readonly entries?: WeightedEntries | undefined;
}

export interface WeightedEntries {
  readonly list: readonly WeightedEntry[];
  /** Which of the list the request takes. `random` is in [0, 1). */
  readonly index: (request: RequestHead, random: number) => number;
}

export interface WeightedEntry {
  readonly choose: (request: RequestHead) => WeightedChoice;
  readonly typedPerFilterConfig: WeightedCluster_ClusterWeightJson["typedPerFilterConfig"];
  readonly metadataMatch: WeightedCluster_ClusterWeightJson["metadataMatch"];
  readonly at: string;
}

/** Header-named choices kept, so that a request does not make one; a client can name as many clusters as it likes. */
const namedChoicesMax = 1024;

const unedited = (cluster: string): WeightedChoice => ({ cluster, editRequest: undefined, editResponse: undefined });

const byHeader = (header: string): ClusterChoice => {
  const read = headerReader(header.toLowerCase());
  const known = new Map<string, WeightedChoice>();
  const choose = (request: RequestHead): WeightedChoice => {
    const name = read(request) ?? "";
    let choice = known.get(name);
    if (!choice) {
      choice = unedited(name);
      if (known.size < namedChoicesMax) known.set(name, choice);
    }
    return choice;
  };
  return { choose, names: [] };
};

interface Entry extends WeightedEntry {
  readonly weight: number;
  readonly name: string | undefined;
}

/** The value that chooses among weights: an unsigned 64-bit integer, reduced to less than their sum. */
const givenValue = (text: string, total: number): number | undefined => {
  if (!/^\d{1,20}$/.test(text)) return undefined;
  if (text.length <= 15) return Number(text) % total;
  const value = BigInt(text);
  return value < 1n << 64n ? Number(value % BigInt(total)) : undefined;
};

const orUndefined = (edit: EditHeaders): EditHeaders | undefined => (edit === noEdit ? undefined : edit);

const compileEntry = (json: WeightedCluster_ClusterWeightJson, at: string, { clock }: CompileTools): Entry => {
  refuseOthers(json, "ClusterWeight", at, [
    "name",
    "clusterHeader",
    "weight",
    "requestHeadersToAdd",
    "requestHeadersToRemove",
    "responseHeadersToAdd",
    "responseHeadersToRemove",
    "hostRewriteLiteral",
    "typedPerFilterConfig",
    "metadataMatch",
  ]);
  atMostOne(json, ["name", "clusterHeader"], at);
  const weight = unsigned(json.weight, member(at, "weight")) ?? 0;
  const { requestHeadersToAdd: add, requestHeadersToRemove: remove, hostRewriteLiteral: host } = json;
  const rewriteHost: EditHeaders = host
    ? (_, __, request) => {
        request.authority = host;
      }
    : noEdit;
  const editRequest = orUndefined(
    sequence([rewriteHost, compileHeaderEdits({ add, remove, direction: "request", clock, at })]),
  );
  const editResponse = orUndefined(
    compileHeaderEdits({
      add: json.responseHeadersToAdd,
      remove: json.responseHeadersToRemove,
      direction: "response",
      clock,
      at,
    }),
  );
  const { typedPerFilterConfig, metadataMatch } = json;
  const common = { weight, typedPerFilterConfig, metadataMatch, at };
  if (json.clusterHeader) {
    const named = byHeader(json.clusterHeader);
    if (!editRequest && !editResponse)
      return { ...common, choose: (request) => named.choose(request, 0), name: undefined };
    const choose = (request: RequestHead) => ({ cluster: named.choose(request, 0).cluster, editRequest, editResponse });
    return { ...common, choose, name: undefined };
  }
  const choice: WeightedChoice = { cluster: required(json.name, member(at, "name")), editRequest, editResponse };
  return { ...common, choose: () => choice, name: choice.cluster };
};

const byWeight = (json: WeightedClusterJson, at: string, tools: CompileTools): ClusterChoice => {
  refuseOthers(json, "WeightedCluster", at, ["clusters", "totalWeight", "headerName"]);
  const entries = (json.clusters ?? [])
    .map((entry, index) => compileEntry(entry, `${at}.clusters[${index}]`, tools))
    .filter(({ weight }) => weight > 0);
  const total = entries.reduce((sum, { weight }) => sum + weight, 0);
  const last = entries.at(-1);
  if (!last) throw new ConfigError(member(at, "clusters"), "the sum of the weights must be greater than 0");
  if (total > 0xffff_ffff) throw new ConfigError(member(at, "clusters"), "the sum of the weights exceeds 4294967295");
  const wanted = unsigned(json.totalWeight, member(at, "totalWeight"));
  if (wanted !== undefined && wanted !== total) {
    throw new ConfigError(member(at, "totalWeight"), `is ${wanted}, the weights sum up to ${total}`);
  }
  const header = json.headerName?.toLowerCase();
  const index = (request: RequestHead, random: number): number => {
    const given = header === undefined ? undefined : request.headers.get(header);
    let at = (given === undefined ? undefined : givenValue(given, total)) ?? random * total;
    for (let i = 0; i < entries.length; i++) {
      at -= (entries[i] as Entry).weight;
      if (at < 0) return i;
    }
    return entries.length - 1;
  };
  const differ = entries.some(({ typedPerFilterConfig, metadataMatch }) => typedPerFilterConfig || metadataMatch);
  return {
    choose: (request, random) => (entries[index(request, random)] ?? last).choose(request),
    names: entries.flatMap(({ name }) => (name === undefined ? [] : [name])),
    entries: differ ? { list: entries, index } : undefined,
  };
};

/** Compiles the cluster specifier of a route action. */
export const compileClusterChoice = (json: RouteActionJson, at: string, tools: CompileTools): ClusterChoice => {
  atMostOne(json, ["cluster", "clusterHeader", "weightedClusters"], at);
  if (json.cluster) {
    const choice = unedited(json.cluster);
    return { choose: () => choice, names: [json.cluster] };
  }
  if (json.clusterHeader) return byHeader(json.clusterHeader);
  if (json.weightedClusters) return byWeight(json.weightedClusters, member(at, "weightedClusters"), tools);
  throw new ConfigError(at, "needs cluster, weightedClusters or clusterHeader");
};
