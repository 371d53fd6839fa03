/** Tells callers, in `x-weft-reason`, why the proxy answered. For our own sidecar only: it has no configuration. */
import type { Exchange } from "../../http/exchange.ts";
import { reasonText } from "../../http/reasons.ts";
import type { HttpFilterKind } from "./filter.ts";

/** All callers are told. */
const toAll = "weft.reason";
/** Callers are told that have shown an identity. */
const toPeers = "weft.reason.peers";
/** Callers are told nothing, also not by proxies beyond. */
const toNone = "weft.reason.none";

const isPeer = ({ downstream: { tls } }: Exchange): boolean =>
  tls?.peerUris.some((uri) => uri.startsWith("spiffe://")) === true;

export const weftReason: HttpFilterKind = {
  name: toAll,
  aliases: [toPeers, toNone],
  typeName: "",
  configure: () => (tools) => {
    const tells = tools.name === toPeers ? isPeer : () => tools.name !== toNone;
    return {
      onResponse(exchange) {
        const { headers } = exchange.response;
        if (exchange.details === "via_upstream") {
          // What a proxy beyond said of its answer, for callers who may know.
          if (headers.has("x-weft-reason") && !tells(exchange)) headers.remove("x-weft-reason");
          return;
        }
        const text = tells(exchange) ? reasonText(exchange) : undefined;
        if (text !== undefined) headers.set("x-weft-reason", text);
      },
    };
  },
};
