import type { DirectResponseAction, RedirectAction, Route } from "../routing/route.ts";
import type { LocalReply } from "./exchange.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { routeReply } from "./response-headers.ts";

const direct: LocalReply = { status: 200, flags: "", details: "direct_response", body: "" };

/** What was made, and what is elsewhere, is said to be where it was asked for. */
const located = ({ request }: HttpExchange, reply: LocalReply): LocalReply => {
  const { status } = reply;
  if (status !== 201 && (status < 300 || status > 399)) return reply;
  return { ...reply, headers: [["location", `${request.scheme || "http"}://${request.authority}${request.path}`]] };
};

/** Answers as a route says that forwards nothing: a redirect or a fixed answer. */
export const answerByRoute = (
  exchange: HttpExchange,
  route: Route,
  action: RedirectAction | DirectResponseAction,
): void => {
  const reply: LocalReply = { ...direct, status: action.status };
  if (action.kind === "direct") {
    exchange.reply(routeReply(exchange, route, located(exchange, reply), action.body.length > 0), action.body);
    return;
  }
  const headers = [["location", action.location(exchange.request)] as const];
  exchange.reply(routeReply(exchange, route, { ...reply, headers }, false));
};
