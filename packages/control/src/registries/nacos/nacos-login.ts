/** The token that a user's calls carry: asked for when there is none, and again before it ends. */
import type { Clock } from "@weft/core/world";
import type { HttpClient } from "@weft/net/http/client";
import { answerBytesMax, readLogin, readObject } from "@weft/protocols/nacos/answers";
import type { SourceCredentials } from "../outside/driver.ts";
import { callDeadlineMs, NacosRefusal } from "./nacos-calls.ts";

/** `undefined` where nobody is to be logged in. */
export type NacosToken = () => Promise<string | undefined>;

export interface LoginOptions {
  readonly http: HttpClient;
  /** What all paths begin with. */
  readonly contextPath: string;
  readonly credentials: (() => SourceCredentials) | undefined;
  readonly clock: Clock;
}

/** Nacos 3 has the first only, Nacos before it the second. */
const paths = ["/v3/auth/user/login", "/v1/auth/users/login"];

/** A token is used for this part of its time. */
const usedPart = 0.8;

export const nacosToken = ({ http, contextPath, credentials, clock }: LoginOptions): NacosToken => {
  if (!credentials) return () => Promise.resolve(undefined);
  let token: Promise<string> | undefined;
  let untilMs = 0;
  const login = async (): Promise<string> => {
    const { username, password } = credentials();
    const body = new URLSearchParams({ username, password }).toString();
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    for (const path of paths) {
      const call = { method: "POST", path: contextPath + path, headers, body } as const;
      const answer = await http.call({ ...call, timeoutMs: callDeadlineMs, bodyBytesMax: answerBytesMax });
      if (isNoSuchPath(answer.status)) continue;
      if (answer.status !== 200)
        throw new NacosRefusal(403, `Nacos refuses the user: ${shortText(answer.body)} (HTTP ${answer.status})`);
      const { token: given, ttlSeconds } = readLogin(readObject(answer.body));
      untilMs = clock.nowMs() + ttlSeconds * 1_000 * usedPart;
      return given;
    }
    throw new NacosRefusal(404, `there is no login under ${contextPath}`);
  };
  return () => {
    if (!token || clock.nowMs() >= untilMs) {
      untilMs = Number.POSITIVE_INFINITY;
      const asked = login();
      token = asked;
      asked.catch(() => {
        if (token === asked) token = undefined;
      });
    }
    return token;
  };
};

/** What a server says to a path it does not have, or has no more. */
export const isNoSuchPath = (status: number): boolean =>
  status === 404 || status === 405 || status === 410 || status === 501;

export const shortText = (body: Buffer): string => body.toString("utf8").replace(/\s+/g, " ").trim().slice(0, 200);
