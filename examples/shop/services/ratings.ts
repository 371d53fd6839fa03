/**
 * Stars. Listens on two ports, which the mesh sees as two endpoints of one service. `/break` makes the second one answer
 * 503 until `/mend`: those two are for the demo, on the application's own port, not through the mesh.
 */
import { serve } from "./serve.ts";

const second = (process.env.PORT ?? "").split(",").at(1);
let broken = false;

serve("ratings", (path, headers) => {
  if (path === "/break" || path === "/mend") {
    broken = path === "/break";
    return { body: { broken } };
  }
  if (broken && headers.get("x-local-port") === second) return { status: 503, body: { error: "ratings is broken" } };
  return path === "/top" ? { body: { top: [1, 2, 3] } } : { body: { reviewer1: 5, reviewer2: 4 } };
});
