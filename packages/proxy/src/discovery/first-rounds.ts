/** Holds clusters back whose hosts are checked actively until each host was checked once, as Envoy warms them. */
import type { Clock } from "@weft/core/world";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import { dnsClusterType } from "../dns/compile-dns-cluster.ts";
import type { DataPlane } from "../runtime/data-plane.ts";
import type { FirstRound } from "../runtime/first-checks.ts";

/** A cluster whose first checks take longer is put in force without: a check may be given an hour to answer. */
export const firstRoundMaxMs = 15_000;

export interface FirstRounds {
  /** Whether the cluster may be put in force. Its checks begin when this is asked of it the first time. */
  isOver(json: ClusterJson, endpoints: ClusterLoadAssignmentJson | undefined): boolean;
  /** It is in force or gone. */
  end(name: string): void;
  /** Whether it is waited for. */
  waitsFor(name: string): boolean;
  /** When something is waited for no longer; `undefined` while nothing is. */
  deadlineMs(): number | undefined;
}

interface Round {
  readonly json: ClusterJson;
  readonly untilMs: number;
  endpoints: ClusterLoadAssignmentJson | undefined;
  checks: FirstRound | undefined;
}

export interface FirstRoundsTools {
  readonly dataPlane: Pick<DataPlane, "checkAhead">;
  readonly clock: Pick<Clock, "nowMs">;
  /** A round is over that was not. */
  readonly onOver: () => void;
}

const checkedTypes: ReadonlySet<string> = new Set(["STATIC", "EDS", "STRICT_DNS", "LOGICAL_DNS"]);
const namedType = `type.googleapis.com/${dnsClusterType}`;

/** Whether the hosts of that cluster are checked before it is in force; those of names are found out for that. */
export const isCheckedAhead = (json: object): json is ClusterJson => {
  const { healthChecks, waitForWarmOnInit, type = "STATIC", clusterType }: ClusterJson = json;
  return (
    healthChecks !== undefined &&
    healthChecks.length > 0 &&
    waitForWarmOnInit !== false &&
    (clusterType === undefined ? checkedTypes.has(type) : clusterType.typedConfig?.["@type"] === namedType)
  );
};

export const createFirstRounds = ({ dataPlane, clock, onOver }: FirstRoundsTools): FirstRounds => {
  const rounds = new Map<string, Round>();

  const waits = ({ checks, untilMs }: Round): boolean => checks?.over === false && clock.nowMs() < untilMs;
  const end = (name: string): void => {
    const round = rounds.get(name);
    rounds.delete(name);
    round?.checks?.[Symbol.dispose]();
  };
  const begin = (json: ClusterJson, endpoints: Round["endpoints"]): Round => {
    const name = json.name ?? "";
    // However often it is given anew, it is waited for once.
    const untilMs = rounds.get(name)?.untilMs ?? clock.nowMs() + firstRoundMaxMs;
    end(name);
    const round: Round = { json, endpoints, untilMs, checks: undefined };
    rounds.set(name, round);
    round.checks = dataPlane.checkAhead?.(json, endpoints, onOver);
    return round;
  };

  return {
    isOver: (json, endpoints) => {
      let round = rounds.get(json.name ?? "");
      if (round?.json !== json) round = begin(json, endpoints);
      else if (round.endpoints !== endpoints) {
        round.endpoints = endpoints;
        round.checks?.setEndpoints(endpoints);
      }
      return !waits(round);
    },
    end,
    waitsFor: (name) => {
      const round = rounds.get(name);
      return round !== undefined && waits(round);
    },
    deadlineMs: () => {
      const waited = [...rounds.values()].filter(waits).map(({ untilMs }) => untilMs);
      return waited.length === 0 ? undefined : Math.min(...waited);
    },
  };
};
