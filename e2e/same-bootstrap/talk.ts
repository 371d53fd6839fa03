/** A conversation on one connection, step by step, and all that came back. */
import { connect, type Socket } from "node:net";

export type Step =
  | { readonly send: string }
  /** Waits until what came since the last wait matches, or the other side is silent for `silenceMs`. */
  | { readonly until: RegExp }
  | { readonly end: true }
  | { readonly reset: true };

export interface Talk {
  readonly received: string;
  readonly ended: "open" | "end" | "reset";
  /** The client's own port. */
  readonly from: number;
}

export interface TalkOptions {
  readonly silenceMs?: number;
  readonly localAddress?: string;
  /** On this instead of a new connection. */
  readonly socket?: Socket;
  /** How long the connection's end is waited for behind the last step. */
  readonly lingerMs?: number;
}

/** Takes the steps in turn on a connection to that port. */
export const talk = async (port: number, steps: readonly Step[], options: TalkOptions = {}): Promise<Talk> => {
  const { silenceMs = 3000 } = options;
  const socket =
    options.socket ??
    connect({
      port,
      host: "127.0.0.1",
      allowHalfOpen: true,
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
    });
  let received = "";
  let mark = 0;
  let ended: Talk["ended"] = "open";
  let wake = (): void => {};
  socket.on("data", (bytes: Buffer) => {
    received += bytes.toString("latin1");
    wake();
  });
  socket.on("end", () => {
    ended = "end";
    wake();
  });
  socket.on("error", () => {
    ended = "reset";
    wake();
  });
  if (socket.connecting) await new Promise<void>((resolve) => socket.once("connect", resolve).once("close", resolve));
  const from = socket.localPort ?? 0;
  const waitFor = (holds: () => boolean, mostMs: number): Promise<void> =>
    new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        wake = () => {};
        resolve();
      };
      const timer = setTimeout(done, mostMs);
      wake = () => {
        if (holds() || ended !== "open") done();
      };
      wake();
    });
  for (const step of steps) {
    if ("send" in step) socket.write(step.send, "latin1");
    else if ("end" in step) socket.end();
    else if ("reset" in step) socket.resetAndDestroy();
    else {
      await waitFor(() => step.until.test(received.slice(mark)), silenceMs);
      mark = received.length;
    }
  }
  if (!steps.some((step) => "reset" in step)) {
    // Envoy lets an answer arrive for a second before it closes.
    const lingerMs = options.lingerMs ?? (/connection: close/i.test(received) ? 2000 : 60);
    await waitFor(() => false, lingerMs);
  }
  socket.destroy();
  return { received, ended, from };
};

/** `GET path` with headers, as bytes. */
export const get = (path: string, ...headers: readonly string[]): string => request("GET", path, headers);

export const request = (method: string, path: string, headers: readonly string[] = [], body = ""): string =>
  `${method} ${path} HTTP/1.1\r\nHost: a.example\r\n${headers.map((header) => `${header}\r\n`).join("")}\r\n${body}`;

const varying = /^((?:date|x-request-id|x-envoy-upstream-service-time|sec-websocket-accept): ).*$/gim;
const named = /^[A-Za-z0-9-]+: /;

/** What came, with heads sorted and what varies masked. */
export const maskTalk = ({
  received,
  ended,
}: Talk): { readonly received: readonly (readonly string[])[]; readonly ended: Talk["ended"] } => ({
  received: received
    .replace(varying, "$1(some)")
    .replace(/(reset reason: [a-z ]+)[^\r\n]*/g, "$1")
    .replace(/(HTTP\/1\.\d \d\d\d) [^\r]*/g, "$1")
    .replace(/a{1000,}/g, "(many a)")
    .replace(/"x-request-id":"[^"]*"/g, '"x-request-id":"(some)"')
    .split("\r\n\r\n")
    .map((part) => {
      const lines = part.split("\r\n");
      return [...lines.filter((line) => !named.test(line)), ...lines.filter((line) => named.test(line)).sort()];
    }),
  ended,
});
