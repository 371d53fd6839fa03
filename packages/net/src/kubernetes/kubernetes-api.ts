/**
 * A thin client of the Kubernetes API: JSON calls and watches over keep-alive HTTPS, everything bounded.
 *
 *   using api = openKubernetesApi({ access: readKubeconfig({ file, environment, wallMs }), setTimer: setRealTimer });
 *   await api.call({ method: "GET", path: "/api/v1/namespaces/default" });
 */
import type { IncomingMessage } from "node:http";
import { Agent, type RequestOptions, request } from "node:https";
import { isIP } from "node:net";
import type { SetTimer } from "@weft/core/world";
import type { KubernetesAccess } from "./kubernetes-access.ts";
import { errorOfAnswer, KubernetesError } from "./kubernetes-error.ts";
import { watchLines } from "./watch-lines.ts";

/** Connections for calls; more calls wait. */
export const callSocketsMax = 8;
/** Watches at a time: each has a connection of its own. */
export const watchSocketsMax = 128;
export const bodyBytesMax = 256 * 1024 * 1024;
export const callTimeoutMs = 30_000;
/** A connection without a word is tried by the kernel after so long, and ends 10 s later where nobody is behind it any more. */
export const keepAliveMs = 15_000;
/** What any server answers, whoever asks, and at next to no cost. */
const probePath = "/version";
/** How often a call the server has no time for is made again, and how long it waits for that at most each time. */
export const busyRetriesMax = 4;
export const busyWaitMaxMs = 30_000;
const busyWaitMs = 1_000;

export interface KubernetesCall {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With its query: `/api/v1/pods?limit=500`. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Absent: `application/json`; a patch names its own kind. */
  readonly contentType?: string;
  /** From being sent to the answer's end; waiting for a busy server is not part of it. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface WatchHandlers {
  /** One event, a line of JSON. */
  readonly line: (text: string) => void;
  /** Once, and nothing after it, not for an abort either. `undefined`: the server ended the answer properly. */
  readonly ended: (error: KubernetesError | undefined) => void;
}

export interface KubernetesApi extends Disposable {
  readonly cluster: string;
  readonly server: string;
  /** Resolves with the answer's JSON (text where it is none). Rejects with a KubernetesError. */
  call(request: KubernetesCall): Promise<unknown>;
  /** Never throws; all that goes wrong comes to `ended`. Aborting `signal` ends it without a word. */
  watch(path: string, handlers: WatchHandlers, signal: AbortSignal): void;
  /**
   * Asks for the least there is, on a connection that is kept for this alone. Resolves for any answer, be it a refusal;
   * rejects where none comes in time.
   */
  probe(timeoutMs: number): Promise<void>;
  /** Leaves every connection: what is asked from now on gets a new one, what is under way ends as it may. */
  leaveConnections(): void;
}

export interface KubernetesApiOptions {
  readonly access: KubernetesAccess;
  readonly setTimer: SetTimer;
}

interface Agents extends Disposable {
  readonly calls: Agent;
  readonly watches: Agent;
  readonly probes: Agent;
}

export const openKubernetesApi = ({ access, setTimer }: KubernetesApiOptions): KubernetesApi => {
  const base = new URL(access.server);
  const prefix = base.pathname === "/" ? "" : base.pathname;
  const disposed = new AbortController();
  let known: { readonly material: string; readonly agents: Agents } | undefined;

  /** New certificates get new connections; the former ones end by themselves. */
  const agentsFor = (authorities: string | undefined, certificate?: string, key?: string): Agents => {
    const material = JSON.stringify([authorities, certificate, key]);
    if (known?.material !== material) {
      known?.agents[Symbol.dispose]();
      known = { material, agents: makeAgents(access, { authorities, certificate, key }) };
    }
    return known.agents;
  };
  const connectTo = async (
    refused: boolean,
  ): Promise<{ readonly agents: Agents; readonly headers: Record<string, string> }> => {
    try {
      const { token, certificate, key } = await access.credentials(refused);
      const agents = agentsFor(access.authorities(), certificate, key);
      return { agents, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } };
    } catch (error) {
      throw new KubernetesError(0, "", (error as Error).message);
    }
  };
  const optionsOf = (path: string, headers: Record<string, string>): RequestOptions => ({
    hostname: base.hostname.replace(/^\[|\]$/g, ""),
    port: base.port === "" ? 443 : Number(base.port),
    path: `${prefix}${path}`,
    headers: { accept: "application/json", "user-agent": "weft", ...headers },
  });

  const once = async (asked: KubernetesCall, refused: boolean): Promise<unknown> => {
    const { agents, headers } = await connectTo(refused);
    const { method, path, body, contentType = "application/json", timeoutMs = callTimeoutMs } = asked;
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const own: Record<string, string> =
      bytes === undefined ? {} : { "content-type": contentType, "content-length": String(bytes.length) };
    const timeout = new AbortController();
    using _timer = setTimer(() => timeout.abort(), timeoutMs);
    const signal = AbortSignal.any([timeout.signal, disposed.signal, ...(asked.signal ? [asked.signal] : [])]);
    try {
      const settings = { ...optionsOf(path, { ...headers, ...own }), method, agent: agents.calls, signal };
      const answer = await answerOf(settings, bytes);
      const text = await readBody(answer);
      const status = answer.statusCode ?? 0;
      if (status < 200 || status > 299) throw errorOfAnswer(status, text, answer.headers["retry-after"]);
      return parsed(text);
    } catch (error) {
      if (error instanceof KubernetesError) throw error;
      if (timeout.signal.aborted) throw new KubernetesError(0, "Timeout", `no answer within ${timeoutMs} ms`);
      throw new KubernetesError(0, "", (error as Error).message);
    }
  };

  const call = async (asked: KubernetesCall): Promise<unknown> => {
    let refused = false;
    for (let busy = 0; ; ) {
      try {
        return await once(asked, refused);
      } catch (error) {
        const { status, retryAfterMs } = error as KubernetesError;
        if (status === 401 && !refused) refused = true;
        else if (status === 429 && busy < busyRetriesMax) {
          busy++;
          await pause(setTimer, Math.min(retryAfterMs ?? busyWaitMs, busyWaitMaxMs), asked.signal);
        } else throw error;
        if (asked.signal?.aborted || disposed.signal.aborted) throw error;
      }
    }
  };

  const watch = (path: string, handlers: WatchHandlers, signal: AbortSignal): void => {
    const ending = AbortSignal.any([signal, disposed.signal]);
    const open = async (refused: boolean): Promise<void> => {
      const { agents, headers } = await connectTo(refused);
      if (ending.aborted) return;
      const answer = await answerOf({ ...optionsOf(path, headers), agent: agents.watches, signal: ending }, undefined);
      const status = answer.statusCode ?? 0;
      if (status === 200) {
        await watchLines(answer, handlers.line);
        return;
      }
      const error = errorOfAnswer(status, await readBody(answer), answer.headers["retry-after"]);
      if (status !== 401 || refused) throw error;
      await open(true);
    };
    const ended = (error: unknown): void => {
      if (ending.aborted) return;
      if (error === undefined || error instanceof KubernetesError) handlers.ended(error);
      else handlers.ended(new KubernetesError(0, "", (error as Error).message));
    };
    open(false).then(() => ended(undefined), ended);
  };

  const probe = async (timeoutMs: number): Promise<void> => {
    const timeout = new AbortController();
    using _timer = setTimer(() => timeout.abort(), timeoutMs);
    const { agents, headers } = await connectTo(false);
    const signal = AbortSignal.any([timeout.signal, disposed.signal]);
    await readBody(await answerOf({ ...optionsOf(probePath, headers), agent: agents.probes, signal }, undefined));
  };
  const leaveConnections = (): void => {
    known?.agents[Symbol.dispose]();
    known = undefined;
  };

  return {
    ...{ cluster: access.cluster, server: access.server, call, watch, probe, leaveConnections },
    [Symbol.dispose]: () => {
      disposed.abort();
      leaveConnections();
    },
  };
};

interface Material {
  readonly authorities: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
}

const makeAgents = (access: KubernetesAccess, { authorities, certificate, key }: Material): Agents => {
  const host = new URL(access.server).hostname.replace(/^\[|\]$/g, "");
  const settings = {
    ...{ keepAlive: true, keepAliveMsecs: keepAliveMs },
    ...(authorities === undefined ? {} : { ca: authorities }),
    ...(certificate === undefined || key === undefined ? {} : { cert: certificate, key }),
    ...(access.serverName === undefined ? (isIP(host) ? { servername: "" } : {}) : { servername: access.serverName }),
    rejectUnauthorized: !access.unchecked,
  };
  const calls = new Agent({ ...settings, maxSockets: callSocketsMax, maxFreeSockets: callSocketsMax });
  const watches = new Agent({ ...settings, maxSockets: watchSocketsMax, maxFreeSockets: 4 });
  const probes = new Agent({ ...settings, maxSockets: 1, maxFreeSockets: 1 });
  const idle = [calls, watches, probes];
  return {
    ...{ calls, watches, probes },
    [Symbol.dispose]: () => {
      // What is under way on them ends in peace; only idle connections close.
      for (const agent of idle)
        for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
    },
  };
};

const answerOf = (options: RequestOptions, body: Buffer | undefined): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const asked = request(options);
    asked.once("response", resolve);
    asked.on("error", reject);
    asked.end(body);
  });

const readBody = async (answer: IncomingMessage): Promise<string> => {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > bodyBytesMax) throw new KubernetesError(0, "", `the answer is longer than ${bodyBytesMax} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
};

const parsed = (text: string): unknown => {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

const pause = (setTimer: SetTimer, ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimer(() => resolve(), ms);
    signal?.addEventListener("abort", () => {
      timer[Symbol.dispose]();
      resolve();
    });
  });
