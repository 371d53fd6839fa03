/** The HTTP API in the reference: the paths are the control plane's own route tables, their meanings stand here. */
import { aboutRoutes } from "@weft/control/api/about-routes";
import { configRoutes } from "@weft/control/api/config-routes";
import { loadRoutes } from "@weft/control/api/load-routes";
import { meshRoutes } from "@weft/control/api/mesh-routes";
import { proxyRoutes } from "@weft/control/api/proxy-routes";
import { proxyStartRoutes } from "@weft/control/api/proxy-start-routes";
import { registryRoutes } from "@weft/control/api/registry-routes";
import { sourceRoutes } from "@weft/control/api/source-routes";
import { tokenRoutes } from "@weft/control/api/token-routes";
import type { Route } from "@weft/net/http/routes";

/** Handlers are not called here, so what they work on is not needed. */
const unused = {} as never;

const routes: readonly Route[] = [
  ...aboutRoutes(unused),
  ...registryRoutes(unused),
  ...sourceRoutes(unused, unused, unused),
  ...configRoutes(unused),
  ...proxyStartRoutes(unused, ""),
  ...proxyRoutes(unused),
  ...tokenRoutes(unused, unused),
  ...meshRoutes(unused),
  ...loadRoutes(unused),
];

/** `METHOD /path` of every route the control plane serves, in the order of its tables. */
export const servedPaths: readonly string[] = routes.map(({ method, parts }) => `${method} /${parts.join("/")}`);

/** What each does: `METHOD /path`, then text. Queries and bodies are named where there are some. */
export const pathMeanings: ReadonlyMap<string, string> = new Map([
  ["GET /ready", "200 `ready`, or 503 and what is waited for"],
  ["GET /v1/version", "name, version, trust domain"],
  [
    "GET /v1/registries",
    "where services come from: each registry's state, age, counts, what is held and what is wrong",
  ],
  ["GET /v1/registry", "services with ports and counts of endpoints; `?namespace=`"],
  [
    "GET /v1/registry/watch",
    '`{type: "ADDED"\\|"MODIFIED"\\|"DELETED", object, resourceVersion}` a line, first all there is, ' +
      "or the changes after `?since=VERSION`; 410 WF8005 when those are not kept",
  ],
  ["GET /v1/registry/{service}", "one service, by name, `NAME.NAMESPACE` or host name; `?namespace=`"],
  [
    "GET /v1/registry/{service}/endpoints",
    "its endpoints, with what proxies report of each and what is sent; `?port=`, `?labels=k=v,k=v`, `?namespace=`",
  ],
  ["GET /v1/registry/{service}/instances/{id}", "one instance as registered, its version as ETag; `?namespace=`"],
  [
    "PUT /v1/registry/{service}/instances/{id}",
    "registers or replaces an instance (below); 201 or 200; `If-Match: VERSION` replaces only that version",
  ],
  ["DELETE /v1/registry/{service}/instances/{id}", "takes an instance out; `?namespace=`, `If-Match`"],
  ["POST /v1/registry/{service}/instances/{id}/heartbeat", "renews an instance with `ttlSeconds`; `?namespace=`"],
  ["GET /v1/config", "configuration objects with their sources; `?kind=`, `?namespace=`"],
  [
    "GET /v1/config/{kind}/{namespace}/{name}",
    "one object; the kind by name or plural in any case; `?field=spec.http[0]` adds where that is written",
  ],
  ["PUT /v1/config/{kind}/{namespace}/{name}", "creates or replaces that object (YAML or JSON); `?dryRun=true`"],
  [
    "DELETE /v1/config/{kind}/{namespace}/{name}",
    "deletes it; `?dryRun=true`; a warning WF8010 in `findings` when a file still has it",
  ],
  [
    "POST /v1/config/apply",
    "creates or replaces the objects of the body, several YAML documents or JSON, all or none; `?dryRun=true`, " +
      "`?file=NAME` for the places in findings; 422 with the findings when there are errors, 507 when it cannot be stored",
  ],
  ["POST /v1/config/delete", "deletes the objects the body names; `?dryRun=true`"],
  ["GET /v1/analyze", "the findings about the configuration in force"],
  [
    "GET /v1/proxies",
    "connected proxies: node metadata and, per resource type, status, version, nonce, times, error; with a shared store " +
      "`summary.everywhere` counts those of all control planes",
  ],
  ["GET /v1/tokens", "join tokens, without their secrets"],
  [
    "POST /v1/tokens",
    "makes one: `{ttlSeconds?, uses?, namespace?, serviceAccount?}`, good for 1 hour and 1 certificate unless said " +
      '(`uses: "unlimited"`); the answer\'s `token` is shown only now',
  ],
  ["DELETE /v1/tokens/{id}", "revokes one"],
  [
    "GET /debug/on_demand",
    "what a proxy is given at its first request for a host: `?proxyID=ID&host=TABLE/HOST`; its virtual host, clusters and endpoints",
  ],
  ["GET /debug/syncz", "sent and acknowledged versions, in the shape `istioctl proxy-status` reads"],
  ["GET /debug/adsz", "discovery streams and what each is subscribed to"],
  ["GET /debug/config_dump", "what a proxy should have, in the shape of Envoy's; `?proxyID=`; no keys"],
  [
    "GET /v1/proxy-start",
    "how a workload's proxy starts, from ProxyConfigs and MeshConfig; `?namespace=`, `?labels=k=v,k=v`",
  ],
  ["GET /debug/registryz", "the services of the model"],
  ["GET /debug/endpointz", "the endpoints of the model; `?service=HOSTNAME`"],
  ["GET /debug/configz", "objects, findings, resources held back, and what could not be generated as asked"],
  ["GET /debug/loadz", "load as clients report it over LRS: per client and cluster, sums since the client came"],
  ["GET /debug/graph", "how often each derived collection was computed"],
]);

/** Markdown: one row for each path the control plane serves. */
export const apiTable = (): string =>
  [
    "| Method | Path | What it does |",
    "|---|---|---|",
    ...servedPaths.map((served) => {
      const [method, path] = served.split(" ");
      return `| ${method} | \`${path}\` | ${pathMeanings.get(served) ?? ""} |`;
    }),
  ].join("\n");
