/** `/v1/registries`: where services come from, and how each source is. */
import { type Route, route } from "@weft/net/http/routes";
import type { RegistryBook } from "../registries/embedded/registry.ts";
import type { NamedStatus, OutsideRegistries } from "../registries/outside/outside-registries.ts";
import { embeddedSource, leftOutOf } from "../registries/outside/source-metrics.ts";
import type { NamedWriteStatus, WriteBacks } from "../registries/outside/write-backs.ts";
import type { SharedStore } from "../store/shared/shared-store.ts";
import { listAnswer } from "./answers.ts";

/** Unreadable records, and refused ones, shown by key. */
export const unreadableShownMax = 20;

export const sourceRoutes = (
  outside: Pick<OutsideRegistries, "statuses">,
  embedded: Pick<RegistryBook, "list">,
  writeBacks: Pick<WriteBacks, "statuses">,
  shared?: Pick<SharedStore, "status">,
): readonly Route[] => [
  route("GET", "/v1/registries", () => {
    const own = embedded.list();
    const services = new Set(own.map(({ namespace, service }) => `${namespace}/${service}`)).size;
    const held = own.reduce((sum, { heldUntil }) => sum + (heldUntil === undefined ? 0 : 1), 0);
    const others = { held: { absent: 0, expired: held }, damped: 0, refused: 0, unreadable: 0 };
    const registry = { name: embeddedSource, url: "embedded:", ...ownState(shared), services };
    return listAnswer("RegistrySource", [
      { ...registry, instances: own.length, ...others },
      ...outside.statuses().map(shownSource),
      ...writeBacks.statuses().map(shownTarget),
    ]);
  }),
];

/** Of weft's own registry: live, unless it is in a shared store that is away. */
const ownState = (shared: Pick<SharedStore, "status"> | undefined) => {
  const { connected = true, ageMs = 0, reason = "", goneBack } = shared?.status() ?? {};
  const ageSeconds = Math.round(ageMs) / 1_000;
  const wentBack = goneBack !== undefined && goneBack.times > 0 ? { wentBack: goneBack } : {};
  return { state: connected ? "live" : "frozen", ageSeconds, ...(connected ? {} : { reason }), ...wentBack };
};

/** A registry that is written to, among those that are read. */
const shownTarget = (status: NamedWriteStatus) => ({
  name: status.name,
  url: status.url,
  state: status.state,
  ...(status.reason === "" ? {} : { reason: status.reason }),
  since: new Date(status.sinceWallMs).toISOString(),
  written: {
    wanted: status.wanted,
    written: status.written,
    left: status.left,
    refused: status.refused.size,
    refusedRecords: [...status.refused].slice(0, unreadableShownMax).map(([key, problem]) => ({ key, problem })),
    events: Object.fromEntries(status.events),
  },
});

const shownSource = (status: NamedStatus) => ({
  name: status.name,
  url: status.url,
  state: status.state,
  ageSeconds: Math.round(status.ageMs) / 1_000,
  ...(status.reason === "" ? {} : { reason: status.reason }),
  since: new Date(status.sinceWallMs).toISOString(),
  ...(status.heardWallMs === undefined ? {} : { lastHeard: new Date(status.heardWallMs).toISOString() }),
  services: status.services,
  instances: status.instances,
  held: { absent: status.held.get("absent") ?? 0, expired: status.held.get("expired") ?? 0 },
  damped: status.damped,
  refused: status.refused,
  leftOut: leftOutOf(status),
  leftOutOf: [...status.leftOut].slice(0, unreadableShownMax).map(([key, left]) => ({ key, ...left })),
  unreadable: status.unreadable.size,
  unreadableRecords: [...status.unreadable].slice(0, unreadableShownMax).map(([key, problem]) => ({ key, problem })),
  problems: status.problems.map(({ code, service, problem }) => ({ code, service, problem })),
  ...(status.diskProblem === "" ? {} : { diskProblem: status.diskProblem }),
  events: Object.fromEntries(status.events),
});
