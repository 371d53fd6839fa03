/** The client's steps from the listener to the action of the route, in words. */

import type { RequestHead } from "@weft/protocols/http/head";
import type { CompileTools } from "@weft/proxy/compile/tools";
import type { DownstreamInfo } from "@weft/proxy/http/exchange";
import type { RouteJson, VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { HTTPFaultJson } from "@weft/xds/gen/envoy/extensions/filters/http/fault/v3/fault";
import type { FractionalPercentJson } from "@weft/xds/gen/envoy/type/v3/percent";
import type { ClientSide } from "./client-side.ts";
import type { Decision } from "./decide.ts";
import { conditionsOf, matchText } from "./near-misses.ts";
import type { OfflineProxy } from "./offline-proxy.ts";
import type { Question } from "./question.ts";
import { type ObjectRef, refOfConfig, type Step } from "./step.ts";

/** So many routes that nearly matched are told. */
const nearMissesMax = 5;

export const step = (side: Step["side"], name: string, found: string, more: Partial<Step> = {}): Step => ({
  side,
  step: name,
  found,
  notes: [],
  refs: [],
  ...more,
});

/** The VirtualService behind a route, and the field of it. */
export const refOfRoute = ({ metadata }: RouteJson): ObjectRef | undefined => {
  const { istio, weft } = (metadata?.filterMetadata ?? {}) as Readonly<
    Record<string, Readonly<Record<string, unknown>>>
  >;
  const ref = refOfConfig(istio?.config, typeof weft?.field === "string" ? weft.field : "");
  const [namespace, name] = typeof weft?.object === "string" ? weft.object.split("/") : [];
  return ref && namespace !== undefined && name !== undefined ? { ...ref, namespace, name } : ref;
};

export const listenerSteps = ({ way, address, entrance }: ClientSide, { host, port }: Question): readonly Step[] => {
  if (way.kind === "none")
    return [step("client", "listener", "the proxy has no listener for calls out of its workload")];
  const { config } = way.listener;
  const at = config.addresses.map(({ host: bind, port: own }) => `${bind}:${own}`).join(", ");
  const how =
    way.kind === "explicit"
      ? "explicit mode: the application is told to call this address"
      : way.handedOver
        ? `intercepted: the listener of port ${port}`
        : `intercepted: no listener is for port ${port}, so the catch-all takes it`;
  const unknown =
    way.kind === "intercepted" && address === undefined
      ? [`the address that ${host} resolves to is not in the proxy's configuration; chains by address are unknown`]
      : [];
  const listener = step("client", "listener", `${config.name} (${at})`, { notes: [how, ...unknown] });
  if (!entrance) return [listener, step("client", "filter chain", "no chain takes the connection: it is closed")];
  const { chain, json } = entrance;
  const { tls } = entrance.downstream;
  const serves = entrance.http ? `HTTP by route table ${entrance.http.tableName}` : `${chain.terminal.kind}, not HTTP`;
  const asks = json.filterChainMatch && Object.keys(json.filterChainMatch).length > 0;
  return [
    listener,
    ...(tls ? [step("client", "TLS from the client", `server name ${tls.sni}`)] : []),
    step(
      "client",
      "filter chain",
      `${chain.name || (asks ? JSON.stringify(json.filterChainMatch) : "the only one")}: ${serves}`,
    ),
  ];
};

export const hostStep = (host: VirtualHostJson | undefined, { authority }: RequestHead): Step => {
  if (!host) return step("client", "virtual host", `none has the domain ${authority || "(none)"}`);
  return step("client", "virtual host", host.name ?? "", { notes: [`for Host ${authority}`] });
};

interface Asked {
  readonly request: RequestHead;
  readonly downstream: DownstreamInfo;
}

/** The route that takes the request, and those before it that nearly did. */
export const routeSteps = (
  proxy: OfflineProxy,
  { told, place, host }: Decision,
  { request, downstream }: Asked,
): readonly Step[] => {
  const tools = proxy.engine.compile;
  const routes = host?.routes ?? [];
  const misses = nearMisses(
    routes.slice(0, place?.index ?? routes.length),
    { request, downstream, all: place === undefined },
    tools,
  );
  if (place === undefined) {
    const found =
      told.route !== undefined
        ? "the virtual host redirects plaintext to HTTPS before any of its routes"
        : routes.length === 0
          ? "no routes"
          : `none of the ${routes.length} routes takes ${request.method} ${request.path}`;
    return host ? [step("client", "route", found, { ...misses })] : [];
  }
  const { route } = place;
  const ref = refOfRoute(route);
  const asks = route.match ? matchText(route.match, tools) : "";
  const found = `${route.name ? `"${route.name}", ` : ""}route ${place.index + 1} of ${routes.length}`;
  const made = ref ? [] : ["made by the control plane: no VirtualService says anything of it"];
  return [
    step("client", "route", found, {
      notes: [`takes: ${asks}`, ...misses.notes, ...made],
      refs: [...(ref ? [ref] : []), ...misses.refs],
    }),
  ];
};

const nearMisses = (
  routes: readonly RouteJson[],
  { request, downstream, all }: Asked & { readonly all: boolean },
  tools: CompileTools,
): Pick<Step, "notes" | "refs"> => {
  const told = new Map<string, ObjectRef | undefined>();
  let left = 0;
  for (const [index, route] of routes.entries()) {
    const [path, ...others] = conditionsOf(route.match ?? {}, tools);
    const failed = [path, ...others].filter((each) => each?.holds(request, downstream) === false);
    const near = all || (path !== undefined && !failed.includes(path));
    const ref = refOfRoute(route);
    const written = ref ? `${ref.name} ${ref.field}` : `route ${index + 1}`;
    const name = `${route.name ? `"${route.name}" ` : ""}(${written})`;
    const note = `not ${name}: ${failed.map((each) => each?.text).join("; ")} does not hold`;
    if (near && (told.has(note) || told.size < nearMissesMax)) told.set(note, ref);
    else left++;
  }
  const more = left > 0 ? [`${left} before it are for other ${all ? "requests" : "paths"}`] : [];
  return { notes: [...told.keys(), ...more], refs: [...told.values()].flatMap((ref) => ref ?? []) };
};

const percentOf = ({ numerator = 0, denominator = "HUNDRED" }: FractionalPercentJson): number =>
  (100 * numerator) / (denominator === "MILLION" ? 1_000_000 : denominator === "TEN_THOUSAND" ? 10_000 : 100);

/** What filters do with the request before the route's action, as far as it is written with the route. */
const faultNotes = (route: RouteJson | undefined, { told }: Decision): readonly string[] => {
  const fault = route?.typedPerFilterConfig?.["envoy.filters.http.fault"] as HTTPFaultJson | undefined;
  const { abort, delay } = fault ?? {};
  const partial = (share: FractionalPercentJson | undefined): number => (share ? percentOf(share) : 0);
  const notes: string[] = [];
  const aborted = partial(abort?.percentage);
  const delayed = partial(delay?.percentage);
  if (told.delayMs > 0) notes.push(`fault: held for ${told.delayMs} ms (DI)`);
  else if (delay && delayed > 0 && delayed < 100)
    notes.push(`fault: ${delayed} % are held for ${delay.fixedDelay} (DI)`);
  if (abort && aborted > 0 && aborted < 100) {
    const answer = abort.httpStatus ?? `gRPC status ${abort.grpcStatus}`;
    notes.push(`fault: ${aborted} % are answered ${answer} (FI)`);
  }
  return notes;
};

/** What the route does. */
export const actionStep = (decision: Decision): Step | undefined => {
  const { told, place, clusters } = decision;
  if (told.route === undefined) return undefined;
  const ref = place && refOfRoute(place.route);
  const refs = ref ? [ref] : [];
  const hashed = told.newCookie
    ? ["by hash of a cookie that the request has not: each connection may get another host"]
    : [];
  const notes = [...faultNotes(place?.route, decision), ...hashed];
  const action = (found: string): Step => step("client", "action", found, { notes, refs });
  if (clusters.length > 0) {
    const shares = clusters.map(({ name, percent }) => `${round(percent)} % to ${name}`);
    return action(clusters.length === 1 ? `forward to ${clusters[0]?.name}` : `forward: ${shares.join(", ")}`);
  }
  if (told.details !== "direct_response") return action(`answered ${told.status} by a filter: ${told.details}`);
  if (told.location !== undefined) return action(`redirect ${told.status} to ${told.location}`);
  return action(`direct response ${told.status}`);
};

export const round = (percent: number): string => String(Math.round(percent * 100) / 100);
