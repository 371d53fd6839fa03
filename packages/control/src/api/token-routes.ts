/** `/v1/tokens`: join tokens for new workloads. */
import type { Clock } from "@weft/core/world";
import { type Route, route } from "@weft/net/http/routes";
import { HttpRefusal, type HttpRequest } from "@weft/net/http/server";
import type { TokenBook, TokenInfo } from "../ca/join-tokens.ts";
import { json, jsonBody, listAnswer, notFound, param } from "./answers.ts";

/** `root` is the SHA-256 of the mesh's root, by which a machine that joins knows it. */
export const tokenRoutes = (tokens: TokenBook, clock: Clock, root?: string): readonly Route[] => [
  route("GET", "/v1/tokens", () => listAnswer("Token", tokens.list(clock.wallMs()).map(shown))),
  route("POST", "/v1/tokens", async (request) => {
    const { ttlSeconds, uses, namespace, serviceAccount } = readWish(request);
    const wish = {
      ...(uses === undefined ? {} : { uses }),
      ...(ttlSeconds === undefined ? {} : { ttlMs: ttlSeconds * 1000 }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(serviceAccount === undefined ? {} : { serviceAccount }),
    };
    const { token, info } = await tokens.create(wish, clock.wallMs());
    return json({ token, ...shown(info), ...(root === undefined ? {} : { rootFingerprint: root }) }, 201);
  }),
  route("DELETE", "/v1/tokens/{id}", async (request) => {
    if (!(await tokens.revoke(param(request, "id")))) throw notFound("there is no such token");
    return json({ id: param(request, "id"), result: "deleted" });
  }),
];

const shown = ({ expiresMs, ...info }: TokenInfo) => ({ ...info, expiresAt: new Date(expiresMs).toISOString() });

const readWish = (request: HttpRequest) => {
  const body = jsonBody(request);
  const given = (name: string): unknown => body[name] ?? undefined;
  const wrong = (name: string, type: string) => new HttpRefusal(400, "WF8400", `${name} is not a ${type}`);
  const number = (name: string): number | undefined => {
    const value = given(name);
    if (value === undefined || typeof value === "number") return value;
    throw wrong(name, "number");
  };
  const text = (name: string): string | undefined => {
    const value = given(name);
    if (value === undefined || typeof value === "string") return value;
    throw wrong(name, "text");
  };
  return {
    ttlSeconds: number("ttlSeconds"),
    uses: given("uses") === "unlimited" ? ("unlimited" as const) : number("uses"),
    namespace: text("namespace"),
    serviceAccount: text("serviceAccount"),
  };
};
