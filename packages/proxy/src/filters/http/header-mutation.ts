/** Adds, replaces and removes headers of requests and answers: the filter's own changes, then those of the route. */
import type {
  HeaderMutationJson,
  HeaderMutationPerRouteJson,
  MutationsJson,
} from "@weft/xds/gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation";
import { member, refuseOthers } from "../../compile/fields.ts";
import type { CompileTools } from "../../compile/tools.ts";
import { compileHeaderEdits, type EditHeaders, noEdit, sequence } from "../../routing/header-edits.ts";
import type { Route } from "../../routing/route.ts";
import type { HttpFilterKind } from "./filter.ts";

export const headerMutationName = "envoy.filters.http.header_mutation";

interface Mutations {
  readonly request: EditHeaders;
  readonly response: EditHeaders;
}

/** Those of the narrowest level first. */
type Levels = readonly Mutations[];

const noLevels: Levels = [];

type List = MutationsJson["requestMutations"];

/** One after the other, in the order given. */
const compileList = (list: List, direction: "request" | "response", at: string, { clock }: CompileTools): EditHeaders =>
  sequence(
    (list ?? []).map((json, index) => {
      const here = `${at}[${index}]`;
      refuseOthers(json, "HeaderMutation", here, ["remove", "append"]);
      const add = json.append ? [json.append] : [];
      const remove = json.remove ? [json.remove] : [];
      return compileHeaderEdits({ add, remove, direction, clock, at: here });
    }),
  );

const compileMutations = (json: MutationsJson | undefined, tools: CompileTools): Mutations => {
  const at = "mutations";
  if (!json) return { request: noEdit, response: noEdit };
  refuseOthers(json, "Mutations", at, ["requestMutations", "responseMutations"]);
  return {
    request: compileList(json.requestMutations, "request", member(at, "requestMutations"), tools),
    response: compileList(json.responseMutations, "response", member(at, "responseMutations"), tools),
  };
};

export const headerMutation: HttpFilterKind = {
  name: headerMutationName,
  typeName: "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
  configure(raw) {
    const json = raw as HeaderMutationJson;
    refuseOthers(json, "HeaderMutationConfig", "", ["mutations", "mostSpecificHeaderMutationsWins"]);
    return (tools) => {
      const own = compileMutations(json.mutations, tools);
      const { name = headerMutationName } = tools;
      // Who comes last has the last word.
      const specificLast = json.mostSpecificHeaderMutationsWins === true;
      const levelsOf = (route: Route | undefined, of: string): Levels => {
        const levels = route?.filterConfig.get(of);
        if (!Array.isArray(levels)) return noLevels;
        return specificLast ? (levels as Levels).toReversed() : (levels as Levels);
      };
      return {
        onRequest({ request, downstream, route }) {
          own.request(request.headers, downstream, request);
          for (const level of levelsOf(route, name)) level.request(request.headers, downstream, request);
          return undefined;
        },
        onResponse(exchange) {
          const { request, response, downstream, route } = exchange;
          own.response(response.headers, downstream, request, exchange);
          for (const level of levelsOf(route, name)) level.response(response.headers, downstream, request, exchange);
        },
      };
    };
  },
  configureRoute: (raw, tools) => {
    const json = raw as HeaderMutationPerRouteJson;
    refuseOthers(json, "HeaderMutationPerRoute", "", ["mutations"]);
    return [compileMutations(json.mutations, tools)];
  },
  combineRoute: (wider, narrower) => [...(narrower as Levels), ...(wider as Levels)],
};
