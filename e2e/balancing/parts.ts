/** What the comparisons of balancers are put together from: a bootstrap, an upstream of many addresses, a client. */
import { Agent, createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { BootstrapPorts, Peer } from "../same-bootstrap/pair.ts";
import { connectionManager, listener, prefix, routes, tcp } from "../same-bootstrap/parts.ts";

/** One listener, `main`, whose routes are `/NAME/` to the cluster of that name; a cluster `local` is the proxy's own. */
export const balancingBootstrap = (
  { listener: portOf, admin }: BootstrapPorts,
  clusters: readonly { readonly name: string; readonly cluster: object; readonly route?: object }[],
): object => ({
  node: { id: "n", cluster: "c", locality: { region: "r", zone: "z1" } },
  admin: { address: tcp(admin) },
  ...(clusters.some(({ name }) => name === "local") ? { clusterManager: { localClusterName: "local" } } : {}),
  staticResources: {
    listeners: [
      listener(
        "main",
        portOf("main"),
        connectionManager({
          routeConfig: routes(
            clusters.map(({ name, route = {} }) =>
              prefix(`/${name}/`, {
                route: { cluster: name, hashPolicy: [{ header: { headerName: "x-key" } }], ...route },
              }),
            ),
          ),
        }),
      ),
    ],
    clusters: clusters.map(({ name, cluster }) => ({ name, connectTimeout: "1s", type: "STATIC", ...cluster })),
  },
});

export interface ManyHosts extends AsyncDisposable {
  readonly port: number;
  /** Statuses of hosts that do not answer 200, by address. */
  readonly statuses: Map<string, number>;
}

/** Answers at every loopback address with the address that was asked, or with what was put down for it. */
export const startManyHosts = async (): Promise<ManyHosts> => {
  const statuses = new Map<string, number>();
  const server: Server = createServer((req, res) => {
    const { localAddress = "" } = req.socket;
    res.writeHead(statuses.get(localAddress) ?? 200, { "x-host": localAddress });
    res.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    statuses,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

/** An endpoint at `127.0.0.N`. */
export const at = (n: number, port: number, rest: object = {}, endpoint: object = {}): object => ({
  endpoint: { address: { socketAddress: { address: `127.0.0.${n}`, portValue: port } }, ...endpoint },
  ...rest,
});

export const assigned = (...endpoints: readonly object[]): object => ({
  loadAssignment: { clusterName: "c", endpoints },
});

/** The host that answers, else the status. */
const ask = (agent: Agent, proxy: Peer, path: string, key: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const headers = key === "" ? {} : { "x-key": key };
    const call = request({ agent, host: "127.0.0.1", port: proxy.port("main"), path, headers }, (response) => {
      const host = response.headers["x-host"];
      response.resume();
      response.once("end", () => resolve(response.statusCode === 200 ? String(host) : String(response.statusCode)));
    });
    call.once("error", reject);
    call.end();
  });

/** One request for each key, a few at a time; answers in the order of the keys. */
export const askAll = async (proxy: Peer, cluster: string, keys: readonly string[], lanes = 8): Promise<string[]> => {
  const agent = new Agent({ keepAlive: true, maxSockets: lanes });
  const answers: string[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < keys.length; i = next++)
      answers[i] = await ask(agent, proxy, `/${cluster}/`, keys[i] as string);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  agent.destroy();
  return answers;
};

export const keysOf = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => `key-${i * 7919}`);
