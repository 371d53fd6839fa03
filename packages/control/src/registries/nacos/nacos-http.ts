/** Nacos by HTTP: the interface of Nacos 3, that of Nacos 2, or the first one, whichever a server has. */
import type { HttpAnswer, HttpClient } from "@weft/net/http/client";
import {
  answerBytesMax,
  type NacosNames,
  type ReadHost,
  readHosts,
  readNames,
  readObject,
} from "@weft/protocols/nacos/answers";
import { callDeadlineMs, type NacosCalls, NacosRefusal, reading, tooLargeCode } from "./nacos-calls.ts";
import { isNoSuchPath, type NacosToken, shortText } from "./nacos-login.ts";
import type { NacosService } from "./nacos-record.ts";

export interface NacosHttpOptions {
  readonly http: HttpClient;
  readonly contextPath: string;
  readonly namespace: string;
  readonly token: NacosToken;
}

interface Interface {
  readonly version: "v1" | "v2" | "v3";
  readonly names: string;
  readonly hosts: string;
  /** What the names' group is called. */
  readonly group: string;
}

/** The newest first: an older server does not know its paths, a newer one not those of the old. */
const interfaces: readonly Interface[] = [
  {
    ...{ version: "v3", names: "/v3/admin/ns/service/list", hosts: "/v3/client/ns/instance/list" },
    group: "groupNameParam",
  },
  { version: "v2", names: "/v2/ns/service/list", hosts: "/v2/ns/instance/list", group: "groupName" },
  { version: "v1", names: "/v1/ns/service/list", hosts: "/v1/ns/instance/list", group: "groupName" },
];

export const nacosHttp = (options: NacosHttpOptions): NacosCalls => {
  const { namespace } = options;
  let found: Interface | undefined;
  let underWay = 0;
  let announced = true;
  let anew = false;

  const ask = async (path: string, query: Readonly<Record<string, string>>): Promise<HttpAnswer> => {
    const isLone = underWay++ === 0;
    try {
      const answer = await callNacos(options, { method: "GET", path, query: { namespaceId: namespace, ...query } });
      // A call by itself takes the connection that was used last, if that still stands.
      if (isLone && answer.reused === false && !announced) anew = true;
      if (isLone) announced = answer.headers.connection === "close";
      return answer;
    } finally {
      underWay--;
    }
  };
  const names = async (group: string, page: number, size: number): Promise<NacosNames> => {
    for (const one of found ? [found] : interfaces) {
      const query = { [one.group]: group, pageNo: String(page), pageSize: String(size) };
      const answer = await ask(one.names, query);
      if (isNoSuchPath(answer.status) && one !== interfaces.at(-1)) continue;
      const { count, names: all } = reading(() => readNames(answerOf(answer)));
      found = one;
      // The third interface looks for groups whose names hold the given one.
      return { count, names: all.filter((name) => name.group === "" || name.group === group) };
    }
    throw new NacosRefusal(404, "the server has none of Nacos' interfaces any more");
  };
  const hosts = async ({ group, service }: NacosService): Promise<readonly ReadHost[]> => {
    const { hosts: path } = found ?? (interfaces[0] as Interface);
    const query = { groupName: group, serviceName: service, healthyOnly: "false" };
    const answer = await ask(path, query).catch((error: Error) => {
      if (/^the answer has more than/.test(error.message)) throw new NacosRefusal(tooLargeCode, error.message);
      throw error;
    });
    const read = reading(() => readHosts(answerOf(answer)));
    if (!read) throw new NacosRefusal(500, "the answer has no instances");
    return read;
  };
  const restarted = (): boolean => {
    const was = anew;
    anew = false;
    return was;
  };
  return { names, follow: hosts, query: hosts, leave: () => Promise.resolve(), restarted };
};

export interface NacosHttpCall {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
}

/** Gives every answer, also one with an error status. */
export const callNacos = async (
  { http, contextPath, token }: Omit<NacosHttpOptions, "namespace">,
  { method, path, query }: NacosHttpCall,
): Promise<HttpAnswer> => {
  const accessToken = await token();
  return http.call({
    method,
    path: `${contextPath}${path}?${new URLSearchParams(query)}`,
    headers: { "user-agent": "weft", ...(accessToken === undefined ? {} : { accessToken }) },
    ...{ timeoutMs: callDeadlineMs, bodyBytesMax: answerBytesMax },
  });
};

/** Throws for a refusal. */
export const answerOf = ({ status, body }: HttpAnswer): Readonly<Record<string, unknown>> => {
  if (status !== 200) throw new NacosRefusal(status, `HTTP ${status}: ${shortText(body)}`);
  return readObject(body);
};
