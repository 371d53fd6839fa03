/**
 * Has a request wait for its virtual host where the table gets those one by one. For our own sidecar only: it has no
 * configuration. A table that has a host for everything else may have it in place of one that was never asked for, so
 * only what names the host itself, or what was said when it was asked for, is believed.
 */
import type { Exchange, LocalReply } from "../../http/exchange.ts";
import { reroute } from "../../http/reroute.ts";
import type { AskOutcome } from "../../on-demand/demands.ts";
import { type HttpFilterKind, type Wait, wait } from "./filter.ts";

/** Of an authority; no service has a longer name. */
const hostLengthMax = 300;

const unheard: LocalReply = {
  status: 503,
  flags: "NC",
  details: "on_demand_no_answer",
  body: "WF2230 the control plane did not say in time where this host leads. Next: weft explain WF2230",
};
const overfull: LocalReply = {
  status: 503,
  flags: "UO",
  details: "on_demand_overflow",
  body: "WF2231 too many requests wait for hosts that were not called before. Next: weft explain WF2231",
};

export const weftOnDemand: HttpFilterKind = {
  name: "weft.on_demand",
  typeName: "weft.OnDemand",
  configure:
    () =>
    ({ onDemand }) => {
      if (onDemand === undefined) return {};
      const { hosts } = onDemand;
      const waiting = new Map<Exchange, Disposable>();
      /** Whose answer is in: they go by what there is now, whatever it is. */
      const answered = new Set<Exchange>();

      const goOn = (exchange: Exchange, outcome: AskOutcome): void => {
        waiting.delete(exchange);
        if (outcome === "timeout") exchange.resume(unheard);
        else if (outcome === "refused") exchange.resume(overfull);
        else {
          answered.add(exchange);
          reroute(exchange);
          answered.delete(exchange);
        }
      };

      return {
        onRequest(exchange): undefined | LocalReply | Wait {
          const table = exchange.settings?.routes.table;
          if (table?.vhds === undefined) return undefined;
          const { authority } = exchange.request;
          if (table.names(authority) || answered.delete(exchange)) return undefined;
          if (authority === "" || authority.length > hostLengthMax) return undefined;
          const wanted = { ...table.vhds, name: `${table.name}/${authority.toLowerCase()}`, keeps: true };
          if (hosts.knows(wanted)) return undefined;
          const asked = hosts.ask(wanted, (outcome) => goOn(exchange, outcome));
          if (asked === undefined) return overfull;
          waiting.set(exchange, asked);
          return wait;
        },
        onEnd(exchange) {
          if (waiting.size === 0) return;
          waiting.get(exchange)?.[Symbol.dispose]();
          waiting.delete(exchange);
        },
      };
    },
};
