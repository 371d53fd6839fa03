/** What is wrong with an outside registry now, as findings. */
import type { Finding } from "@weft/config/finding";
import { type HoldReason, sourceInstancesMax } from "./held-instances.ts";
import type { SourceStatus } from "./outside-source.ts";
import type { LeftOut } from "./source-events.ts";

/** Findings of one code for one registry; more are counted in the last of them. */
export const findingsPerCodeMax = 20;

export const registryFinding = (registry: string, code: string, message: string): Finding => ({
  ...{ code, level: "warning", message: `registry ${registry}: ${message}`, kind: "Registry", namespace: "" },
  ...{ name: registry, file: "", line: 0, column: 0, also: [] },
});

/** At most `findingsPerCodeMax`, with one more that counts the others. */
export const shownFindings = (registry: string, code: string, messages: readonly string[]): readonly Finding[] => {
  const shown = messages.slice(0, findingsPerCodeMax);
  const rest = messages.length - shown.length;
  return [...shown, ...(rest > 0 ? [`${rest} more like these`] : [])].map((message) =>
    registryFinding(registry, code, message),
  );
};

export const sourceFindings = (registry: string, status: SourceStatus): readonly Finding[] => {
  const listed = (code: string, messages: readonly string[]) => shownFindings(registry, code, messages);
  const age = `${Math.round(status.ageMs / 1_000)} s`;
  const isKnown = status.heardWallMs !== undefined || status.instances > 0;
  const view = isKnown ? `its last view stays, ${age} old` : `nothing is known of it, for ${age}`;
  const lost = status.state === "lost" ? [`out of reach (${status.reason}); ${view}`] : [];
  const held = [...status.held].map(([reason, count]) => heldMessage(reason, count));
  const damped =
    status.damped > 0 ? [`${status.damped} instances came and went too often and have to stand first`] : [];
  const unreadable = [...status.unreadable].map(([key, problem]) => `${key}: ${problem}`);
  const full =
    status.refused > 0
      ? [`${status.refused} instances are over the ${sourceInstancesMax} that a registry may have, and are left out`]
      : [];
  const leftOut = [...status.leftOut].map(([key, left]) => leftOutMessage(key, left));
  const disk = status.diskProblem === "" ? [] : [`its last good view: ${status.diskProblem}`];
  return [
    ...listed("WF2110", lost),
    ...listed("WF2111", held),
    ...listed("WF2112", unreadable),
    ...["WF2113", "WF2114", "WF2116", "WF2118"].flatMap((wanted) =>
      listed(
        wanted,
        status.problems.filter(({ code }) => code === wanted).map(({ service, problem }) => `${service} ${problem}`),
      ),
    ),
    ...listed("WF2114", full),
    ...listed("WF2290", leftOut),
    ...listed("WF2115", disk),
    ...listed("WF2117", damped),
  ];
};

/** What is said of a place that has more than is read of it. */
export const leftOutMessage = (where: string, { what, count, max }: LeftOut): string =>
  `${where} has ${count} ${what} over the ${max} that are read; they are left out as if they were not there: ${cureOf}`;

const cureOf = "delete what is not used, or give a part of them a place that is named by a registry of its own";

/** What is said of `count` instances that are held. */
export const heldMessage = (reason: HoldReason, count: number): string => `${count} ${heldText[reason]}`;

const heldText = {
  absent: "instances are missing from its list, and are kept as a last resort for 5 minutes",
  expired: "instances expired with most of their service, and are kept as a last resort for 5 minutes",
} as const;
