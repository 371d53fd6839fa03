/** Who answers here: readiness and version. */
import { type Route, route } from "@weft/net/http/routes";
import { version } from "../version.ts";
import { json } from "./answers.ts";

export interface AboutRoutesOptions {
  /** What is still missing before traffic may come; empty: ready. */
  readonly waitingFor: () => readonly string[];
  readonly trustDomain: string;
}

export const aboutRoutes = ({ waitingFor, trustDomain }: AboutRoutesOptions): readonly Route[] => {
  const ready = route("GET", "/ready", () => {
    const waiting = waitingFor();
    return waiting.length === 0
      ? { kind: "text", body: "ready\n" }
      : { kind: "text", status: 503, body: `not ready: ${waiting.join(", ")}\n` };
  });
  return [
    ready,
    route("GET", "/v1/version", () => json({ name: "weft", version, trustDomain, xds: ["sotw", "delta"] })),
  ];
};
