/** The shop's front: one page put together from catalog, reviews and ratings. A part that fails is shown as missing. */
import { call, serve } from "./serve.ts";

const part = async (service: string, path: string, headers: ReadonlyMap<string, string>): Promise<unknown> => {
  const { status, body } = await call(service, path, headers);
  return status === 200 ? body : { unavailable: service, status, reason: body };
};

serve("web", async (path, headers) => {
  if (path === "/healthz") return { body: { ok: true } };
  const [catalog, reviews, top] = await Promise.all([
    part("catalog", "/items/1", headers),
    part("reviews", "/reviews/1", headers),
    part("ratings", "/top", headers),
  ]);
  return { body: { page: "item 1", catalog, reviews, top } };
});
