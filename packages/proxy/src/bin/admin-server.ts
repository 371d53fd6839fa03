/** Puts the admin interface on a socket. */
import type { SocketAddress } from "@weft/core/address";
import type { Logger } from "@weft/core/world";
import { type Route, route } from "@weft/net/http/routes";
import { HttpRefusal, type HttpServer, type HttpServerOptions, openHttpServer } from "@weft/net/http/server";
import { type AdminContext, adminPaths, answerAdmin, refuseForeign } from "../admin/admin.ts";
import { statusHandlers } from "../discovery/status-service.ts";

const methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] as const;
const one = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

/** Listens. `context` is asked per request: the server is up before what it shows is. */
export const openAdminServer = (
  address: SocketAddress,
  context: () => AdminContext | undefined,
  log: Logger,
  inherited?: HttpServerOptions["inherited"],
): Promise<HttpServer> => {
  const answer = (request: { readonly method: string; readonly path: string; readonly query: URLSearchParams }) => {
    const current = context();
    if (!current) return { kind: "text", status: 503, body: "PRE_INITIALIZING\n" } as const;
    const { status, type, body } = answerAdmin(request, current);
    return { kind: "text", status, type, body } as const;
  };
  // What is not there and what is asked the wrong way is answered as text by the interface itself, as Envoy does.
  const anywhere = [...adminPaths.map(({ path }) => path), "/{a}", "/{a}/{b}", "/{a}/{b}/{c}"];
  const routes = anywhere.flatMap((path): Route[] => methods.map((method) => route(method, path, answer)));
  return openHttpServer({
    address,
    routes,
    log,
    inherited,
    grpc: statusHandlers(() => {
      const current = context();
      return current && { node: current.bootstrap.json.node ?? {}, store: current.store };
    }),
    guard: ({ headers }) => {
      const refusal = refuseForeign({ host: one(headers.host), origin: one(headers.origin) });
      if (refusal !== undefined) throw new HttpRefusal(403, "WF3310", refusal);
    },
  });
};
