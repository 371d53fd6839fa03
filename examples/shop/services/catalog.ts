/** What the shop sells; asks details for each item. */
import { call, serve } from "./serve.ts";

serve("catalog", async (path, headers) => {
  const id = path.split("/").at(-1) ?? "1";
  const details = await call("details", `/details/${id}`, headers);
  return { status: details.status ?? 200, body: { id, name: `Item ${id}`, details: details.body } };
});
