import { isLoopback } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { type MeshContext, meshStateFolder, readMeshContext } from "@weft/net/mesh-context";
import { readText } from "@weft/net/read-text";

/** How to reach the control plane's HTTP API; from flags, then the environment, then the mesh running on this machine. */
export interface ApiTarget {
  readonly baseUrl: string;
  /** Replicas of the control plane, asked in turn where one is away or cannot answer now. */
  readonly otherUrls?: readonly string[];
  readonly adminToken: string | undefined;
  readonly mesh: MeshContext | undefined;
}

export interface ApiFlags {
  readonly cp?: string;
  readonly tokenFile?: string;
}

const defaultHttpAddress = "127.0.0.1:8080";
/** How long a control plane that takes the connection may think about an answer. */
export const answerWithinMs = 30_000;
/** Larger answers are refused rather than read without end. */
const answerBytesMax = 256 * 1024 * 1024;

/** Where the API is and with what token. Reads the token file; does not connect. */
export const findApi = (flags: ApiFlags, env: Readonly<Record<string, string | undefined>>): ApiTarget => {
  const mesh = readMeshContext(meshStateFolder(env));
  const asked = flags.cp ?? env.WEFT_CP;
  const address = asked ?? mesh?.http ?? defaultHttpAddress;
  const tokenFile =
    flags.tokenFile ??
    env.WEFT_TOKEN_FILE ??
    (asked === undefined || asked === mesh?.http ? mesh?.adminTokenFile : undefined);
  const [baseUrl = "", ...otherUrls] = address.split(",").map((part) => baseUrlOf(part.trim()));
  return {
    baseUrl,
    otherUrls,
    adminToken: env.WEFT_TOKEN ?? (tokenFile === undefined ? undefined : readToken(tokenFile)),
    mesh,
  };
};

const baseUrlOf = (address: string): string => {
  const url = /^https?:\/\//.test(address) ? address.replace(/\/+$/, "") : `http://${address}`;
  if (URL.canParse(url)) return url;
  throw new WeftError("WF9022", `"${address}" is not an address of a control plane`, { next: "--cp 127.0.0.1:8080" });
};

const readToken = (file: string): string => {
  try {
    return readText(file).trim();
  } catch (cause) {
    throw new WeftError("WF9021", `cannot read the admin token at ${file}: ${(cause as Error).message}`, {
      next: "give --token-file FILE, the control plane's DATA/admin-token",
      cause,
    });
  }
};

export interface ApiRequest {
  readonly withinMs?: number;
  readonly method?: "GET" | "PUT" | "POST" | "DELETE";
  readonly body?: string;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

/**
 * Asks the API and gives its JSON. Unreachable is WF9030, no answer in time WF9033, a refusal is the API's own code and
 * message.
 */
export const askApi = async <T>(target: ApiTarget, path: string, request: ApiRequest = {}): Promise<T> => {
  const { signal, withinMs = answerWithinMs } = request;
  const late = AbortSignal.timeout(withinMs);
  const either = signal === undefined ? late : AbortSignal.any([signal, late]);
  let text: string;
  try {
    text = await (await openApi(target, path, { ...request, signal: either })).text();
  } catch (cause) {
    if (!late.aborted) throw cause;
    const message = `the control plane at ${target.baseUrl} did not answer within ${withinMs / 1000} s`;
    throw new WeftError("WF9033", message, { next: "look at its log, or name another with --cp H:P", cause });
  }
  if (text.length > answerBytesMax) throw new WeftError("WF9032", `the answer to ${path} is too large`);
  return (text === "" ? {} : JSON.parse(text)) as T;
};

/** How long one of several control planes may take to begin its answer. */
const turnMs = 5_000;

/** As askApi, but gives the response for streaming. Of several control planes the first that can answer does. */
export const openApi = async (target: ApiTarget, path: string, request: ApiRequest = {}): Promise<Response> => {
  const { otherUrls = [] } = target;
  if (otherUrls.length === 0) return await openOne(target, path, request);
  let last: unknown;
  for (const baseUrl of [target.baseUrl, ...otherUrls]) {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), turnMs);
    const signal = request.signal ? AbortSignal.any([request.signal, late.signal]) : late.signal;
    try {
      return await openOne({ ...target, baseUrl }, path, { ...request, signal });
    } catch (error) {
      const isAway = late.signal.aborted || (error instanceof WeftError && awayCodes.has(error.code));
      if (!isAway || request.signal?.aborted) throw error;
      last = late.signal.aborted ? unreachable(baseUrl, `no answer within ${turnMs / 1000} s`, error) : error;
    } finally {
      clearTimeout(timer);
    }
  }
  throw last;
};

/** Out of reach, and a shared store that this one cannot reach. */
const awayCodes: ReadonlySet<string> = new Set(["WF9030", "WF2202"]);

const unreachable = (baseUrl: string, reason: string, cause: unknown): WeftError =>
  new WeftError("WF9030", `cannot reach the control plane at ${baseUrl} (${reason})`, {
    next: "start one with `npm start` or `weft cp`, or name it with --cp H:P",
    cause,
  });

const openOne = async (target: ApiTarget, path: string, request: ApiRequest): Promise<Response> => {
  const { method = "GET", body, contentType = "application/json", signal } = request;
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["content-type"] = contentType;
  // On loopback reading is open; the token goes no further than it must.
  const needsToken = method !== "GET" || !isLoopback(new URL(target.baseUrl).hostname);
  if (needsToken && target.adminToken !== undefined) headers.authorization = `Bearer ${target.adminToken}`;
  let response: Response;
  try {
    response = await fetch(`${target.baseUrl}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
    throw unreachable(target.baseUrl, reason, cause);
  }
  if (response.ok) return response;
  const text = await response.text();
  const refusal = parseRefusal(text);
  const message = refusal.message ?? `${method} ${path} was answered ${response.status}`;
  throw new WeftError(refusal.code ?? "WF9031", `${message}${otherFindings(refusal)}`, {
    ...(refusal.next === undefined ? {} : { next: refusal.next }),
  });
};

interface Refusal {
  readonly code?: string;
  readonly message?: string;
  readonly next?: string;
  readonly findings?: readonly {
    readonly level: string;
    readonly code: string;
    readonly message: string;
    readonly file: string;
    readonly line: number;
    readonly column: number;
  }[];
}

/** The message is the first error; whoever has to mend the file wants to see all of them. */
const otherFindings = ({ findings = [] }: Refusal): string =>
  findings
    .filter(({ level }) => level === "error")
    .slice(1)
    .map(({ code, message, file, line, column }) => `\n${code} ${file}:${line}:${column} ${message}`)
    .join("");

const parseRefusal = (text: string): Refusal => {
  try {
    return JSON.parse(text) as Refusal;
  } catch {
    return {};
  }
};
