/** HTTP servers that speak as Consul and as Nacos 3 do, of whose services one can become larger than anybody takes. */
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";

export interface GrowingLiar extends AsyncDisposable {
  readonly address: string;
  /** Ports of a service's instances; those of `vast` are told with ever so much beside them while it is. */
  set(service: string, ports: readonly number[]): void;
  vast: boolean;
}

const padding = " ".repeat(40 * 1024 * 1024);

interface Told {
  readonly ports: ReadonlyMap<string, readonly number[]>;
  readonly vast: boolean;
}

/** `about`: the service that is asked for; "" for all. */
type Answer = (url: URL, told: Told) => { readonly about: string; readonly body: string } | undefined;

const start = async (answer: Answer): Promise<GrowingLiar> => {
  const ports = new Map<string, readonly number[]>();
  /** Of the last change of each service, "" of any. */
  const indexes = new Map([["", 10]]);
  const changed = (service: string): void => {
    const index = (indexes.get("") ?? 0) + 1;
    indexes.set("", index).set(service, index);
  };
  let vast = false;
  const listener: RequestListener = (request, response) => {
    const url = new URL(request.url ?? "", "http://liar");
    const said = answer(url, { ports, vast });
    response.writeHead(said ? 200 : 404, { "x-consul-index": String(indexes.get(said?.about ?? "")) });
    response.end(said?.body);
  };
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    set: (service, given) => {
      ports.set(service, given);
      changed(service);
    },
    get vast() {
      return vast;
    },
    set vast(now) {
      vast = now;
      changed("vast");
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
};

const padded = (about: string, text: string, vast: boolean) => ({
  ...{ about, body: vast && about === "vast" ? text + padding : text },
});

/** Holds no query, so that it is asked every two seconds. */
export const startGrowingConsul = (): Promise<GrowingLiar> =>
  start(({ pathname }, { ports, vast }) => {
    if (pathname === "/v1/catalog/services")
      return padded(
        "",
        JSON.stringify(Object.fromEntries(["consul", ...ports.keys()].map((name) => [name, []]))),
        vast,
      );
    if (!pathname.startsWith("/v1/health/service/")) return padded("", "[]", vast);
    const service = pathname.slice("/v1/health/service/".length);
    const entries = (ports.get(service) ?? []).map((port) => ({
      Node: { Node: "n", Address: "127.0.0.1" },
      ...{ Service: { ID: `i${port}`, Port: port }, Checks: [] },
    }));
    return padded(service, JSON.stringify(entries), vast);
  });

export const startGrowingNacos = (): Promise<GrowingLiar> =>
  start(({ pathname, searchParams }, { ports, vast }) => {
    const wrap = (data: unknown): string => JSON.stringify({ code: 0, message: "success", data });
    if (pathname === "/nacos/v3/admin/ns/service/list") {
      const pageItems = [...ports.keys()].map((name) => ({ name, groupName: "DEFAULT_GROUP" }));
      return padded("", wrap({ totalCount: pageItems.length, pageItems }), vast);
    }
    if (pathname !== "/nacos/v3/client/ns/instance/list") return undefined;
    const service = searchParams.get("serviceName") ?? "";
    const more = { ip: "127.0.0.1", weight: 1, healthy: true, enabled: true, ephemeral: true };
    return padded(service, wrap((ports.get(service) ?? []).map((port) => ({ port, ...more }))), vast);
  });
