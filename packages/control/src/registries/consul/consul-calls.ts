/** Calls to Consul's HTTP API: with the token, the datacenter and the namespace, and every refusal in words. */
import type { HttpAnswer, HttpCall, HttpClient } from "@weft/net/http/client";

/** How long Consul holds a blocking query in which nothing changes; it adds up to a sixteenth. */
export const waitSeconds = 15;
/** For a call that is answered at once; a Consul that takes 10 s for it still serves. */
export const callTimeoutMs = 15_000;
/** For one that Consul holds: what it may wait, and as long again. */
export const blockingTimeoutMs = 30_000;
export const answerBytesMax = 32 * 1_024 * 1_024;
const reasonCharsMax = 200;

export interface ConsulAnswer {
  /** Of the change that it shows; at least 1. */
  readonly index: number;
  /** Some of what there is was left out, as the token may not read it. */
  readonly filtered: boolean;
  readonly body: unknown;
}

export interface ConsulScope {
  readonly datacenter: string | undefined;
  /** Of Consul Enterprise. */
  readonly namespace: string | undefined;
  readonly partition: string | undefined;
}

export interface ConsulQuery {
  /** Answers when something changed after it. */
  readonly index?: number;
  readonly signal?: AbortSignal;
  readonly query?: Readonly<Record<string, string>>;
}

export interface ConsulCalls extends Disposable {
  get(path: string, options?: ConsulQuery): Promise<ConsulAnswer>;
  put(path: string, body?: unknown): Promise<void>;
}

/** Consul answered, with an error. */
export class ConsulError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The answer is larger than is taken. */
export class ConsulTooLarge extends Error {}

export const createConsulCalls = (
  client: HttpClient,
  { datacenter, namespace, partition }: ConsulScope,
  token: (() => string) | undefined,
): ConsulCalls => {
  const scope = Object.entries({ dc: datacenter, ns: namespace, partition }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const send = async (call: Pick<HttpCall, "method" | "path" | "timeoutMs" | "body" | "signal">) => {
    const headers = token ? { "x-consul-token": token() } : {};
    const answer = await client.call({ ...call, headers, bodyBytesMax: answerBytesMax }).catch((error: Error) => {
      throw /^the answer has more than/.test(error.message) ? new ConsulTooLarge(error.message) : error;
    });
    if (answer.status !== 200) throw refusalIn(answer);
    return answer;
  };
  const pathOf = (path: string, query: Readonly<Record<string, string>>): string => {
    const text = String(new URLSearchParams([...scope, ...Object.entries(query)]));
    if (text === "") return path;
    return `${path}${path.includes("?") ? "&" : "?"}${text}`;
  };
  return {
    async get(path, { index, signal, query = {} } = {}) {
      const blocking = index === undefined ? {} : { index: String(index), wait: `${waitSeconds}s` };
      const { headers, body } = await send({
        method: "GET",
        path: pathOf(path, { ...query, ...blocking }),
        timeoutMs: index === undefined ? callTimeoutMs : blockingTimeoutMs,
        ...(signal ? { signal } : {}),
      });
      if (isLeaderless(headers)) throw new Error("Consul knows no leader, so that its answer may be old");
      return {
        index: indexIn(headers["x-consul-index"]),
        filtered: headers["x-consul-results-filtered-by-acls"] === "true",
        body: jsonIn(body),
      };
    },
    async put(path, body) {
      const text = body === undefined ? {} : { body: JSON.stringify(body) };
      await send({ method: "PUT", path: pathOf(path, {}), timeoutMs: callTimeoutMs, ...text });
    },
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
};

/** Answers from a stream never say that there is a leader, whether or not. */
const isLeaderless = (headers: HttpAnswer["headers"]): boolean =>
  headers["x-consul-knownleader"] === "false" && headers["x-consul-query-backend"] !== "streaming";

/** An index of 0 would be asked for in a loop: Consul's own rule is to take it as 1. */
const indexIn = (header: string | string[] | undefined): number => {
  const index = Number(header ?? "");
  return Number.isSafeInteger(index) ? Math.max(1, index) : 1;
};

const jsonIn = (body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw new Error("the answer is not JSON");
  }
};

const refusalIn = ({ status, body }: HttpAnswer): ConsulError => {
  const text = body
    .toString("utf8", 0, reasonCharsMax)
    .replace(/[^\x20-\x7e]+/g, " ")
    .trim();
  return new ConsulError(status, `Consul answers ${status}${text === "" ? "" : `: ${text}`}`);
};
