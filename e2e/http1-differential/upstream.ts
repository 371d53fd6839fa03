/** An upstream that reads each connection twice: by `node:http`, and by a reader of its own from the bytes as they came. */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer, type Socket } from "node:net";

export interface ReadRequest {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly body: string;
}

export interface Reading {
  /** Whole requests, as `node:http` read them. */
  readonly node: readonly ReadRequest[];
  /** The same as read from the bytes. */
  readonly raw: readonly ReadRequest[];
  /** What a strict reader could not make sense of. */
  readonly problems: readonly string[];
}

export interface RecordingUpstream extends AsyncDisposable {
  readonly port: number;
  /** What it read since it was last asked. */
  take(): Reading;
}

const pathOf = (target: string): string =>
  target.replace(/^[a-z]+:\/\/[^/?]*(?=([/?]?))/i, (_, next) => (next === "/" ? "" : "/"));

/** `timeoutMs`: connections without a byte for so long are closed. */
export const startUpstream = async (options: { readonly timeoutMs?: number } = {}): Promise<RecordingUpstream> => {
  let node: ReadRequest[] = [];
  let problems: string[] = [];
  const readers = new Set<RawReader>();
  const sockets = new Set<Socket>();
  const http = createHttpServer({ insecureHTTPParser: false, requireHostHeader: true, keepAliveTimeout: 0 });
  http.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("error", () => {});
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      node.push({
        method,
        target: pathOf(url),
        host: headers.host ?? "",
        body: Buffer.concat(chunks).toString("latin1"),
      });
      response.writeHead(200, { "content-length": "0", "x-upstream": "yes" }).end();
    });
  });
  http.on("checkExpectation", (request, response) => http.emit("request", request, response));
  http.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code?.startsWith("HPE_") && !harmless.has(error.code)) problems.push(`${error.code}: ${error.message}`);
    socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  });
  const server = createServer((socket) => {
    const reader = new RawReader();
    readers.add(reader);
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => void sockets.delete(socket));
    if (options.timeoutMs !== undefined) socket.setTimeout(options.timeoutMs, () => socket.destroy());
    http.emit("connection", socket);
    socket.on("data", (bytes: Buffer) => reader.read(bytes.toString("latin1")));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", 1024, resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    take: () => {
      const raw: ReadRequest[] = [];
      for (const reader of readers) {
        raw.push(...reader.requests.splice(0));
        if (reader.problem !== "") problems.push(reader.problem);
        if (reader.problem !== "") readers.delete(reader);
      }
      const reading = { node, raw, problems };
      node = [];
      problems = [];
      return reading;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      http.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

/** A method it does not know, or an end in the middle: no other reading of what came. */
const harmless: ReadonlySet<string> = new Set(["HPE_INVALID_METHOD", "HPE_INVALID_EOF_STATE"]);

const startLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP\/1\.1$/;
const fieldLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;

/** Reads requests as a proxy may write them and no others: the plainest reading there is. */
class RawReader {
  readonly requests: ReadRequest[] = [];
  problem = "";
  private text = "";

  read(text: string): void {
    this.text += text;
    while (this.problem === "" && this.next());
  }

  private next(): boolean {
    const end = this.text.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const [first = "", ...lines] = this.text.slice(0, end).split("\r\n");
    const [, method = "", target = ""] = startLine.exec(first) ?? [];
    const fields = lines.map((line) => fieldLine.exec(line));
    if (method === "" || fields.includes(null)) return this.refuse(this.text.slice(0, end));
    const all = (name: string): string[] => fields.flatMap((f) => (f?.[1]?.toLowerCase() === name ? [f[2] ?? ""] : []));
    const [hosts, lengths, codings] = [all("host"), all("content-length"), all("transfer-encoding")];
    if (hosts.length !== 1 || lengths.length + codings.length > 1) return this.refuse(`framing of ${first}`);
    if (codings.some((coding) => coding !== "chunked")) return this.refuse(`coding of ${first}`);
    const start = end + 4;
    const body = codings.length > 0 ? this.chunks(start) : this.measured(start, lengths[0] ?? "0");
    if (body === undefined) return false;
    this.text = this.text.slice(body.end);
    this.requests.push({ method, target: pathOf(target), host: hosts[0] ?? "", body: body.text });
    return true;
  }

  private measured(start: number, length: string): { text: string; end: number } | undefined {
    if (!/^(0|[1-9]\d*)$/.test(length)) this.refuse(`length ${length}`);
    const end = start + Number(length);
    return this.text.length < end ? undefined : { text: this.text.slice(start, end), end };
  }

  private chunks(start: number): { text: string; end: number } | undefined {
    let text = "";
    for (let at = start; ; ) {
      const line = this.text.indexOf("\r\n", at);
      if (line < 0) return undefined;
      const size = Number.parseInt(this.text.slice(at, line), 16);
      if (!/^[0-9a-f]+$/.test(this.text.slice(at, line))) this.refuse(`chunk ${this.text.slice(at, line)}`);
      if (this.problem !== "") return undefined;
      if (size === 0) {
        const end = /^((?:[^\r\n]+\r\n)*)\r\n/.exec(this.text.slice(line + 2));
        return end === null ? undefined : { text, end: line + 2 + end[0].length };
      }
      if (this.text.length < line + 2 + size + 2) return undefined;
      text += this.text.slice(line + 2, line + 2 + size);
      at = line + 2 + size + 2;
    }
  }

  private refuse(problem: string): boolean {
    this.problem = problem;
    return false;
  }
}
