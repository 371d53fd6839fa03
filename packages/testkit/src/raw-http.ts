import { connect } from "node:net";

/** What came back on a connection, byte for byte, cut into its parts. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  /** The proxy closed the connection after the answer (or without one: status 0). */
  readonly closed: boolean;
}

/**
 * Sends bytes on a new connection and reads one HTTP/1.1 answer: to its Content-Length or last chunk, or to the close.
 * No answer before `timeoutMs` is status 0, not closed. Whether it closes is looked at `graceMs` after the answer.
 */
export const sendRaw = (
  address: string,
  bytes: string,
  { timeoutMs = 4000, graceMs = 150 }: { readonly timeoutMs?: number; readonly graceMs?: number } = {},
): Promise<RawAnswer> =>
  new Promise((resolve) => {
    const at = address.lastIndexOf(":");
    const socket = connect(Number(address.slice(at + 1)), address.slice(0, at));
    let text = "";
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(parseAnswer(text, closed));
    };
    const timer = setTimeout(() => finish(false), timeoutMs);
    socket.setEncoding("latin1");
    socket.on("connect", () => socket.write(bytes, "latin1"));
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (isComplete(text)) setTimeout(() => finish(socket.readableEnded || socket.destroyed), graceMs);
    });
    socket.on("end", () => finish(true));
    socket.on("error", () => finish(true));
  });

const split = (text: string): { head: readonly string[]; body: string } => {
  const end = text.indexOf("\r\n\r\n");
  return end < 0 ? { head: [], body: "" } : { head: text.slice(0, end).split("\r\n"), body: text.slice(end + 4) };
};

const headersOf = (head: readonly string[]): (readonly [string, string])[] =>
  head.slice(1).map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  });

const isComplete = (text: string): boolean => {
  const { head, body } = split(text);
  if (head.length === 0) return false;
  const headers = new Map(headersOf(head));
  const length = headers.get("content-length");
  if (length !== undefined) return body.length >= Number(length);
  return headers.get("transfer-encoding") === "chunked"
    ? /(^|\r\n)0\r\n(.*\r\n)*\r\n$/.test(body)
    : /^HTTP\/1.1 (204|304|1\d\d)/.test(text);
};

const parseAnswer = (text: string, closed: boolean): RawAnswer => {
  const { head, body } = split(text);
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head[0] ?? "")?.[1] ?? 0);
  const headers = headersOf(head);
  const chunked = headers.some(([name, value]) => name === "transfer-encoding" && value === "chunked");
  return { status, headers, body: chunked ? joinChunks(body) : body, closed };
};

const joinChunks = (body: string): string => {
  let joined = "";
  let rest = body;
  for (;;) {
    const match = /^([0-9a-fA-F]+)[^\r\n]*\r\n/.exec(rest);
    const size = Number.parseInt(match?.[1] ?? "0", 16);
    if (!match || size === 0) return joined;
    joined += rest.slice(match[0].length, match[0].length + size);
    rest = rest.slice(match[0].length + size + 2);
  }
};
