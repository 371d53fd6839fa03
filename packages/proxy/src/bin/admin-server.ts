/** Puts the admin interface on a socket. */
import type { SocketAddress } from "@weft/core/address";
import type { Logger } from "@weft/core/world";
import { type Route, route } from "@weft/net/http/routes";
import { HttpRefusal, type HttpServer, openHttpServer } from "@weft/net/http/server";
import { type AdminContext, adminPaths, answerAdmin, refuseForeign } from "../admin/admin.ts";

const one = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

/** Listens. `context` is asked per request: the server is up before what it shows is. */
export const openAdminServer = (
  address: SocketAddress,
  context: () => AdminContext | undefined,
  log: Logger,
): Promise<HttpServer> => {
  const answer = (request: { readonly method: string; readonly path: string; readonly query: URLSearchParams }) => {
    const current = context();
    if (!current) return { kind: "text", status: 503, body: "PRE_INITIALIZING\n" } as const;
    const { status, type, body } = answerAdmin(request, current);
    return { kind: "text", status, type, body } as const;
  };
  const routes = adminPaths.flatMap(({ path, method }): Route[] =>
    method === "POST" ? [route("POST", path, answer)] : [route("GET", path, answer), route("POST", path, answer)],
  );
  return openHttpServer({
    address,
    routes,
    log,
    guard: ({ headers }) => {
      const refusal = refuseForeign({ host: one(headers.host), origin: one(headers.origin) });
      if (refusal !== undefined) throw new HttpRefusal(403, "WF3310", refusal);
    },
  });
};
