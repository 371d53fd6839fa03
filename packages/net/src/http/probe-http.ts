/** One GET that asks whether a program is well. */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";

export interface HttpProbe {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Where the connection comes from. */
  readonly localAddress?: string;
}

/** The status, or why there is none. A certificate is not checked: it is the program beside us that answers. */
export const probeHttp = (probe: HttpProbe, timeoutMs: number): Promise<number | Error> =>
  new Promise((resolve) => {
    const { secure, host, port, path, headers, localAddress } = probe;
    const from = localAddress === undefined ? {} : { localAddress };
    const options = { ...from, host, port, path, headers, agent: false as const, timeout: timeoutMs };
    const deadline = setTimeout(() => call.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const finish = (outcome: number | Error): void => {
      clearTimeout(deadline);
      resolve(outcome);
    };
    const call = (secure ? requestHttps : requestHttp)({ ...options, rejectUnauthorized: false }, (answer) => {
      finish(answer.statusCode ?? 0);
      answer.destroy();
    });
    call.once("error", finish);
    call.end();
  });
