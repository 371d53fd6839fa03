/** Reviews of an item, in three versions: v1 without stars, v2 with black ones, v3 with red ones (from ratings). */
import { call, serve } from "./serve.ts";

const version = process.env.VERSION ?? "v1";

serve(`reviews ${version}`, async (path, headers) => {
  const id = path.split("/").at(-1) ?? "1";
  if (version === "v1") return { body: { id, version, text: "Recommended" } };
  const ratings = await call("ratings", `/ratings/${id}`, headers);
  const stars = ratings.status === 200 ? ratings.body : { unavailable: "ratings", status: ratings.status };
  return { body: { id, version, text: "Recommended", colour: version === "v3" ? "red" : "black", stars } };
});
