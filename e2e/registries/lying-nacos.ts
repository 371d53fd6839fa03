/** An HTTP server that speaks as Nacos 3 does, and tells everything wrong that there is to tell wrong. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface LyingNacos extends AsyncDisposable {
  readonly address: string;
}

const wrap = (data: unknown): string => JSON.stringify({ code: 0, message: "success", data });
const host = (ip: string, port: number) => ({ ip, port, weight: 1, healthy: true, enabled: true, ephemeral: true });

/** What is answered about the instances of each service. */
const services: ReadonlyMap<string, (response: ServerResponse) => void> = new Map([
  ["good", (response) => response.end(wrap([host("127.0.0.1", 7_111)]))],
  ["garbage", (response) => response.end('{"code":0,"data":[{]')],
  ["mixed", (response) => response.end(wrap([host("nowhere", 7_112), 7, host("127.0.0.1", 7_113)]))],
  [
    "cut",
    (response) => {
      response.write('{"code":0,"da');
      setTimeout(() => response.destroy(), 50);
    },
  ],
  ["nothing", (response) => response.end(wrap(null))],
  ["last", (response) => response.end(wrap([]))],
  [
    "endless",
    (response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(" ".repeat(64 * 1024)));
        response.once("drain", more);
      };
      more();
    },
  ],
]);

export const startLyingNacos = async (): Promise<LyingNacos> => {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://nacos");
    if (pathname === "/nacos/v3/admin/ns/service/list") {
      const names = [...services.keys()].map((name) => ({ name, groupName: "DEFAULT_GROUP" }));
      // The same page for ever, of far more than there is.
      const pageItems = [...names, ...names, { name: 7 }, { groupName: "DEFAULT_GROUP" }, null];
      response.end(wrap({ totalCount: 1_000_000, pageItems }));
    } else if (pathname === "/nacos/v3/client/ns/instance/list")
      services.get(searchParams.get("serviceName") ?? "")?.(response);
    else response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
};
