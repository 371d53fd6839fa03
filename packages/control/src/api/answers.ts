/** The shapes every list and every error of the API has. */
import { HttpRefusal, type HttpReply, type HttpRequest } from "@weft/net/http/server";

export const apiVersion = "weft.dev/v1";

export const listAnswer = (kind: string, items: readonly unknown[], summary: object = {}): HttpReply => ({
  kind: "json",
  body: { apiVersion, kind: `${kind}List`, items, summary: { total: items.length, ...summary } },
});

export const json = (body: unknown, status = 200): HttpReply => ({ kind: "json", status, body });

export const notFound = (message: string, next?: string): HttpRefusal =>
  new HttpRefusal(404, "WF8404", message, next === undefined ? {} : { next });

/** The body as a JSON object. Refuses with 400 WF8400. */
export const jsonBody = ({ body }: HttpRequest): Readonly<Record<string, unknown>> => {
  try {
    const value: unknown = JSON.parse(body.length === 0 ? "{}" : body.toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new HttpRefusal(400, "WF8400", "the body is not a JSON object");
};

export const param = ({ params }: HttpRequest, name: string): string => params.get(name) ?? "";

/** `k=v,k=v`. Refuses what is none with 400 WF8400. */
export const parseLabels = (text: string): readonly (readonly [string, string])[] =>
  text
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const at = part.indexOf("=");
      if (at <= 0) throw new HttpRefusal(400, "WF8400", `"${part}" is not NAME=VALUE`);
      return [part.slice(0, at), part.slice(at + 1)];
    });
