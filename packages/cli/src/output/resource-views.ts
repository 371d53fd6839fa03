import { X509Certificate } from "node:crypto";

/** A resource as protobuf JSON. */
export type Resource = Readonly<Record<string, unknown>>;

/** What a view may ask of the proxy. */
export interface ViewSource {
  readonly dump: (type: string) => Promise<readonly Resource[]>;
  readonly hosts: () => Promise<readonly Resource[]>;
  /** Address of the proxy's admin interface, where there is one. */
  readonly admin: string | undefined;
}

/** How one type of configuration is read and laid out in a table. Under json and yaml the items are printed as they are. */
export interface ResourceView {
  /** The command's name, then its other names: singular and short forms as in istioctl. */
  readonly names: readonly string[];
  readonly summary: string;
  readonly headings: readonly string[];
  readonly read: (source: ViewSource) => Promise<readonly Resource[]>;
  readonly rows: (item: Resource) => readonly (readonly string[])[];
  /** The rows stand in this order of columns; without it as the proxy gives them, where order has a meaning. */
  readonly sortBy?: readonly number[];
}

/** The rows of all items as the table shows them. */
export const tableRows = (view: ResourceView, items: readonly Resource[]): readonly (readonly string[])[] => {
  const rows = items.flatMap((item) => view.rows(item));
  const { sortBy } = view;
  if (sortBy === undefined) return rows;
  const order = new Intl.Collator("en", { numeric: true });
  const key = (row: readonly string[]): string => sortBy.map((column) => row[column] ?? "").join("\0");
  return rows.toSorted((a, b) => order.compare(key(a), key(b)));
};

const text = (value: unknown): string => (value === undefined || value === null ? "" : String(value));
const at = (value: unknown, ...path: readonly (string | number)[]): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Readonly<Record<string | number, unknown>> | undefined)?.[key], value);
const list = (value: unknown): readonly Resource[] => (Array.isArray(value) ? (value as readonly Resource[]) : []);

const clusterRow = (cluster: Resource): readonly string[] => {
  const [direction = "", port = "", subset = "", host = ""] = text(cluster.name).split("|");
  const named = host !== "" || port !== "";
  const config =
    text(at(cluster, "metadata", "filterMetadata", "istio", "config"))
      .split("/")
      .at(-1) ?? "";
  return named
    ? [host, port, subset || "-", direction, text(cluster.type ?? "STATIC"), config]
    : [text(cluster.name), "-", "-", "-", text(cluster.type ?? "STATIC"), config];
};

const socketOf = (address: unknown): string => {
  const socket = at(address, "socketAddress");
  const pipe = at(address, "pipe", "path");
  if (pipe !== undefined) return text(pipe);
  return socket === undefined ? "" : `${text(at(socket, "address"))}:${text(at(socket, "portValue") ?? 0)}`;
};

const destinationOf = (filter: Resource | undefined): string => {
  const config = filter?.typedConfig;
  const route = at(config, "rds", "routeConfigName") ?? at(config, "routeConfig", "name");
  if (route !== undefined) return `Route: ${text(route)}`;
  const cluster = at(config, "cluster");
  if (cluster !== undefined) return `Cluster: ${text(cluster)}`;
  const weighted = list(at(config, "weightedClusters", "clusters"));
  return weighted.map(({ name, weight }) => `Cluster: ${text(name)} ${text(weight)}`).join(", ") || text(filter?.name);
};

const matchOf = (chain: Resource): string => {
  const match = (chain.filterChainMatch ?? {}) as Resource;
  const parts = [
    match.transportProtocol === undefined ? "" : `Trans: ${text(match.transportProtocol)}`,
    list(match.applicationProtocols).length === 0
      ? ""
      : `App: ${(match.applicationProtocols as readonly string[]).join(",")}`,
    list(match.serverNames).length === 0 ? "" : `SNI: ${(match.serverNames as readonly string[]).join(",")}`,
    match.destinationPort === undefined ? "" : `Port: ${text(match.destinationPort)}`,
    list(match.prefixRanges)
      .map((range) => `Addr: ${text(range.addressPrefix)}/${text(range.prefixLen)}`)
      .join(","),
  ].filter((part) => part !== "");
  return parts.join("; ") || "ALL";
};

const listenerRows = (listener: Resource): readonly (readonly string[])[] => {
  const chains = [
    ...list(listener.filterChains),
    ...(listener.defaultFilterChain ? [listener.defaultFilterChain as Resource] : []),
  ];
  return chains.map((chain) => [
    text(listener.name),
    socketOf(listener.address),
    matchOf(chain),
    destinationOf(list(chain.filters).at(-1)),
  ]);
};

const routeMatch = (match: Resource): string => {
  const path =
    match.path ??
    (match.prefix === undefined ? undefined : `${text(match.prefix)}*`) ??
    at(match, "safeRegex", "regex") ??
    match.pathSeparatedPrefix ??
    (match.connectMatcher === undefined ? undefined : "CONNECT") ??
    "";
  const names = (conditions: unknown): string =>
    list(conditions)
      .map(({ name }) => text(name))
      .join(",");
  const headers = names(match.headers);
  const parameters = names(match.queryParameters);
  return [
    text(path),
    match.grpc === undefined ? "" : "gRPC",
    headers === "" ? "" : `header ${headers}`,
    parameters === "" ? "" : `query ${parameters}`,
  ]
    .filter(Boolean)
    .join(" & ");
};

const actionOf = (route: Resource): string => {
  if (route.redirect) return "redirect";
  if (route.directResponse) return `direct ${text(at(route, "directResponse", "status"))}`;
  const weighted = list(at(route, "route", "weightedClusters", "clusters"));
  if (weighted.length > 0) return weighted.map(({ name, weight }) => `${text(name)} ${text(weight)}`).join(", ");
  const header = at(route, "route", "clusterHeader");
  return header === undefined ? text(at(route, "route", "cluster")) : `cluster named by header ${text(header)}`;
};

const routeRows = (table: Resource): readonly (readonly string[])[] =>
  list(table.virtualHosts).flatMap((host) =>
    list(host.routes).map((route) => {
      const domains = (host.domains ?? []) as readonly string[];
      const more = domains.length > 1 ? ` +${domains.length - 1}` : "";
      const config =
        text(at(route, "metadata", "filterMetadata", "istio", "config"))
          .split("/")
          .at(-1) ?? "";
      return [
        text(table.name),
        text(host.name),
        `${domains[0] ?? ""}${more}`,
        routeMatch((route.match ?? {}) as Resource),
        actionOf(route),
        config,
      ];
    }),
  );

const endpointRows = (cluster: Resource): readonly (readonly string[])[] => {
  if (cluster.endpoints !== undefined) {
    return list(cluster.endpoints).flatMap((group) =>
      list(group.lbEndpoints).map((endpoint) => [
        socketOf(at(endpoint, "endpoint", "address")),
        text(endpoint.healthStatus ?? "HEALTHY"),
        "-",
        text(cluster.clusterName),
      ]),
    );
  }
  return list(cluster.hostStatuses).map((host) => {
    const health = (host.healthStatus ?? {}) as Resource;
    const ejected = health.failedOutlierCheck === true ? "FAILED" : "OK";
    return [socketOf(host.address), text(health.edsHealthStatus ?? "HEALTHY"), ejected, text(cluster.name)];
  });
};

const pemOf = (source: unknown): string => {
  const bytes = at(source, "inlineBytes");
  return bytes === undefined ? text(at(source, "inlineString")) : Buffer.from(text(bytes), "base64").toString("utf8");
};

/** The first certificate of a PEM text; `undefined` where there is none that can be read. */
const certificateIn = (pem: string): X509Certificate | undefined => {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
};

const secretRow = (secret: Resource): readonly string[] => {
  const kind = secret.tlsCertificate ? "Cert Chain" : secret.validationContext ? "CA" : "-";
  const source = at(secret, "tlsCertificate", "certificateChain") ?? at(secret, "validationContext", "trustedCa");
  const certificate = certificateIn(pemOf(source));
  if (certificate === undefined) return [text(secret.name), kind, "-", "-", "-", "-"];
  const { validFromDate, validToDate, serialNumber } = certificate;
  const time = (date: Date): string => date.toISOString().replace(".000Z", "Z");
  const valid = validFromDate.getTime() <= Date.now() && Date.now() < validToDate.getTime();
  return [text(secret.name), kind, String(valid), serialNumber.toLowerCase(), time(validFromDate), time(validToDate)];
};

/** Every view, in the order `all` prints them. */
export const views: readonly ResourceView[] = [
  {
    names: ["clusters", "cluster", "c"],
    summary: "clusters: what can be called, by port and subset",
    headings: ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"],
    read: ({ dump }) => dump("clusters"),
    rows: (item) => [clusterRow(item)],
    sortBy: [3, 0, 1, 2],
  },
  {
    names: ["listeners", "listener", "l"],
    summary: "listeners: where traffic comes in, and what each filter chain takes",
    headings: ["NAME", "ADDRESS", "MATCH", "DESTINATION"],
    read: ({ dump }) => dump("listeners"),
    rows: listenerRows,
  },
  {
    names: ["routes", "route", "r"],
    summary: "routes: which request goes to which cluster",
    headings: ["NAME", "VHOST NAME", "DOMAINS", "MATCH", "ACTION", "VIRTUAL SERVICE"],
    read: ({ dump }) => dump("routes"),
    rows: routeRows,
  },
  {
    names: ["endpoints", "endpoint", "ep"],
    summary: "endpoints: the hosts of each cluster, their health and ejection",
    headings: ["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"],
    read: ({ hosts }) => hosts(),
    rows: endpointRows,
    sortBy: [3, 0],
  },
  {
    names: ["secret", "secrets", "s"],
    summary: "secrets: certificates and trusted roots (never private keys)",
    headings: ["RESOURCE NAME", "TYPE", "VALID CERT", "SERIAL NUMBER", "NOT BEFORE", "NOT AFTER"],
    read: ({ dump }) => dump("secrets"),
    rows: (item) => [secretRow(item)],
  },
  {
    names: ["bootstrap", "b"],
    summary: "the bootstrap the proxy was started with",
    headings: ["NODE", "CLUSTER"],
    read: ({ dump }) => dump("bootstrap"),
    rows: (item) => [[text(at(item, "node", "id")), text(at(item, "node", "cluster"))]],
  },
];
