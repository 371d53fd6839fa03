/** The debug page about load that clients report. */
import { type Route, route } from "@weft/net/http/routes";
import type { LoadTable } from "../loads/load-table.ts";
import { json } from "./answers.ts";

export const loadRoutes = (table: LoadTable): readonly Route[] => [
  route("GET", "/debug/loadz", () => {
    const reporters = table.list().map(({ reportedAtMs, ...reporter }) => ({
      ...reporter,
      reportedAt: reportedAtMs === undefined ? undefined : new Date(reportedAtMs).toISOString(),
    }));
    return json({ total: reporters.length, reporters });
  }),
];
