import type { RequestHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import type { Route } from "../routing/route.ts";
import type { Exchange, LocalReply } from "./exchange.ts";
import type { HcmSettings } from "./hcm-settings.ts";
import type { HttpExchange } from "./http-exchange.ts";

/** The connection manager's last changes to a response's head. */
export const finishResponse = (settings: HcmSettings, headers: HeaderList, request: RequestHead): void => {
  if (settings.serverHeader === "OVERWRITE") headers.set("server", settings.serverName);
  else if (settings.serverHeader === "APPEND_IF_ABSENT" && !headers.has("server")) {
    headers.add("server", settings.serverName);
  }
  if (!headers.has("date")) headers.add("date", settings.tools.date());
  if (settings.via !== "") {
    const before = headers.getJoined("via");
    headers.set("via", before === undefined ? settings.via : `${before}, ${settings.via}`);
  }
  if (!settings.requestIdInResponse) return;
  const id = request.headers.get("x-request-id");
  if (id !== undefined) headers.set("x-request-id", id);
};

/** How many tries there were, where the route has the client told. */
export const tellAttempts = ({ route, attempts }: Exchange, headers: HeaderList): void => {
  if (route?.attemptCount.inResponse) headers.set("x-envoy-attempt-count", String(attempts));
};

/**
 * The changes that a route which forwards makes to answers of our own, whoever gave them: a filter before the router or
 * the router. `choice` is the cluster chosen of several; one is chosen here where it has not come to that.
 */
export const editOwnResponse = (exchange: HttpExchange, headers: HeaderList): void => {
  const { route, request, downstream, tools } = exchange;
  if (route?.action.kind !== "forward") return;
  const choice = exchange.choice ?? route.action.clusterName(request, tools.random());
  choice.editResponse?.(headers, downstream, request, exchange);
  route.editResponse(headers, downstream, request, exchange);
};

/** A redirect or direct answer with the header changes its route makes. */
export const routeReply = (exchange: Exchange, route: Route, reply: LocalReply, hasBody: boolean): LocalReply => {
  const edited = new HeaderList();
  for (const [name, value] of reply.headers ?? []) edited.add(name, value);
  if (hasBody) edited.add("content-type", "text/plain");
  exchange.response.status = reply.status;
  route.editResponse(edited, exchange.downstream, exchange.request, exchange);
  const headers: (readonly [string, string])[] = [];
  for (let i = 0; i < edited.size; i++) headers.push([edited.nameAt(i), edited.valueAt(i)]);
  return { ...reply, headers };
};
