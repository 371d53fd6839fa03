/**
 * An HTTP/1.1 client for control traffic with one server: whole answers, each within a time and a number of bytes.
 * Connections are kept and used again; as many calls run at once as there may be connections, others wait for one.
 */
import { type IncomingHttpHeaders, Agent as PlainAgent, request as requestPlain } from "node:http";
import { request as requestTls, Agent as TlsAgent } from "node:https";
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";

/** Read anew for every connection, so that rotated keys are used from the next one on. */
export interface HttpClientTls {
  /** The only roots trusted, PEM. */
  readonly roots: string;
  readonly certificate?: string;
  readonly key?: string;
  /** For SNI, and for the check of the certificate's name. */
  readonly serverName: string;
}

export interface HttpClientOptions {
  readonly host: string;
  readonly port: number;
  readonly tls?: () => HttpClientTls;
  readonly connectionsMax: number;
}

export interface HttpCall {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** With its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** From the call to the last byte of the answer, waiting for a connection included. */
  readonly timeoutMs: number;
  /** An answer with a longer body is given up. */
  readonly bodyBytesMax: number;
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Whether it came by a connection that another answer came by before. */
  readonly reused?: boolean;
}

export interface HttpClient extends Disposable {
  /** Gives every answer, also one with an error status. Rejects with an Error that says in words why there is none. */
  call(call: HttpCall): Promise<HttpAnswer>;
}

const headBytesMax = 64 * 1024;

export const createHttpClient = (options: HttpClientOptions): HttpClient => {
  const { host, port, tls, connectionsMax } = options;
  const settings = { keepAlive: true, maxSockets: connectionsMax, maxFreeSockets: connectionsMax };
  const agent = tls ? new TlsAgent(settings) : new PlainAgent(settings);
  /** Of a connection; the agent uses one again only for the same. */
  const tlsNow = () => {
    if (!tls) return {};
    const { roots, certificate, key, serverName } = tls();
    const own = certificate === undefined || key === undefined ? {} : { cert: certificate, key };
    // An address is never sent as the name of a server; the certificate is checked against it all the same.
    const name = isIP(serverName)
      ? {
          servername: "",
          checkServerIdentity: (_: string, shown: PeerCertificate) => checkServerIdentity(serverName, shown),
        }
      : { servername: serverName };
    return { ca: roots, ...name, ...own, minVersion: "TLSv1.2" as const };
  };
  return {
    call: ({ method, path, headers, body, timeoutMs, bodyBytesMax, signal }) =>
      new Promise((resolve, reject) => {
        const request = (tls ? requestTls : requestPlain)({
          ...{ host, port, method, path, agent, maxHeaderSize: headBytesMax },
          headers: { ...headers, ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }) },
          ...(signal ? { signal } : {}),
          ...tlsNow(),
        });
        const deadline = setTimeout(
          () => request.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)),
          timeoutMs,
        );
        const fail = (error: Error): void => {
          clearTimeout(deadline);
          request.destroy();
          reject(error);
        };
        request.once("error", fail);
        request.once("response", (answer) => {
          const parts: Buffer[] = [];
          let bytes = 0;
          answer.on("data", (part: Buffer) => {
            bytes += part.length;
            if (bytes > bodyBytesMax) fail(new Error(`the answer has more than ${bodyBytesMax} bytes`));
            else parts.push(part);
          });
          answer.once("error", fail);
          answer.once("aborted", () => fail(new Error("the connection ended within the answer")));
          answer.once("end", () => {
            clearTimeout(deadline);
            const { statusCode = 0, headers } = answer;
            resolve({ status: statusCode, headers, body: Buffer.concat(parts), reused: request.reusedSocket });
          });
        });
        request.end(body);
      }),
    [Symbol.dispose]: () => agent.destroy(),
  };
};
