/** Facts about an item. */
import { serve } from "./serve.ts";

serve("details", (path) => ({ body: { id: path.split("/").at(-1), pages: 200, language: "en" } }));
