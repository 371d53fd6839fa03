import { type ApiTarget, askApi } from "./api.ts";
import { type ProxyItem, proxyName } from "./proxies.ts";

/** One thing looked at. */
export interface CheckItem {
  readonly area: "control-plane" | "configuration" | "registry" | "data-plane" | "identity";
  readonly check: string;
  readonly level: "ok" | "warning" | "error";
  readonly message: string;
}

interface ServiceEndpoints {
  readonly service: string;
  readonly endpoints: readonly EndpointItem[];
}
interface FindingItem {
  readonly level: string;
  readonly code: string;
  readonly message: string;
  readonly kind: string;
  readonly name: string;
  readonly file: string;
  readonly line: number;
}
interface EndpointItem {
  readonly address: string;
  readonly port: number;
  readonly workload: string;
  readonly namespace: string;
  readonly health: string;
  /** Whether callers are told to use mutual TLS to it: there should be a sidecar. */
  readonly meshTls: boolean;
}

/** Looks at everything that can be seen from here. Throws where the control plane cannot be asked. */
export const runChecks = async (api: ApiTarget): Promise<readonly CheckItem[]> => {
  const startedMs = performance.now();
  const about = await askApi<{ version?: string }>(api, "/v1/version");
  const took = Math.round(performance.now() - startedMs);
  const [{ items: proxies }, registered, findings] = await Promise.all([
    askApi<{ items: readonly ProxyItem[] }>(api, "/v1/proxies"),
    askApi<readonly ServiceEndpoints[]>(api, "/debug/endpointz"),
    askApi<{ items: readonly FindingItem[] }>(api, "/v1/analyze"),
  ]);
  const sorted = proxies.toSorted((a, b) => (proxyName(a) < proxyName(b) ? -1 : 1));
  const reachable: CheckItem = {
    area: "control-plane",
    check: "reachable",
    level: "ok",
    message: `${api.baseUrl}, version ${about.version ?? "?"}, ${took} ms`,
  };
  const certificates = await Promise.all(sorted.map((proxy) => checkCertificate(proxy, Date.now())));
  return [
    reachable,
    ...checkFindings(findings.items),
    ...checkEndpoints(registered, proxies),
    ...sorted.map(checkProxy),
    ...certificates.filter((item) => item !== undefined),
  ];
};

/** More are only counted. */
const findingsShownMax = 20;

const checkFindings = (findings: readonly FindingItem[]): readonly CheckItem[] => {
  const area = "configuration";
  const serious = findings.filter(({ level }) => level !== "info");
  if (serious.length === 0) return [{ area, check: "objects", level: "ok", message: "no errors or warnings" }];
  const items = serious.map(({ level, code, message, kind, name, file, line }): CheckItem => {
    const check = name === "" ? kind || "file" : `${kind}/${name}`;
    return {
      area,
      check,
      level: level === "error" ? "error" : "warning",
      message: `${code} ${file}:${line} ${message}`,
    };
  });
  const rest = items.splice(findingsShownMax);
  if (rest.length === 0) return items;
  const level = rest.some((item) => item.level === "error") ? "error" : "warning";
  return [...items, { area, check: "objects", level, message: `and ${rest.length} more, at GET /v1/analyze` }];
};

const checkEndpoints = (services: readonly ServiceEndpoints[], proxies: readonly ProxyItem[]): readonly CheckItem[] => {
  const all = services.flatMap(({ service, endpoints }) => endpoints.map((endpoint) => ({ service, endpoint })));
  const healthy = all.filter(({ endpoint }) => endpoint.health === "healthy").length;
  const orphans = all.filter(({ endpoint }) => endpoint.meshTls && !proxies.some((proxy) => serves(proxy, endpoint)));
  return [
    {
      area: "registry",
      check: "endpoints",
      level: healthy === all.length ? "ok" : "warning",
      message: `services: ${services.length}, endpoints: ${all.length}, healthy: ${healthy}`,
    },
    ...orphans.map(({ service, endpoint }): CheckItem => {
      const message = `${endpoint.address}:${endpoint.port} is registered, but its sidecar is not connected`;
      return { area: "registry", check: shortName(service), level: "error", message };
    }),
  ];
};

/** `default/web.default.svc.cluster.local` as people say it: `web.default`. */
const shortName = (key: string): string => key.slice(key.indexOf("/") + 1).replace(/\.svc\..*$/, "");

const serves = (proxy: ProxyItem, { address, port, workload, namespace }: EndpointItem): boolean => {
  const { WEFT_INBOUND: inbound } = proxy.metadata;
  if (Array.isArray(inbound)) {
    return (inbound as readonly EndpointItem[]).some((own) => own.address === address && own.port === port);
  }
  return proxy.id.split("~")[1] === address || proxyName(proxy) === `${workload}.${namespace}`;
};

const checkProxy = (proxy: ProxyItem): CheckItem => {
  const troubled = Object.entries(proxy.types).filter(([, { status }]) => /NACK|STALE/.test(status));
  return {
    area: "data-plane",
    check: proxyName(proxy),
    level: troubled.length === 0 ? "ok" : "error",
    message:
      troubled.length === 0
        ? "has what it should have"
        : troubled.map(([type, { status, error }]) => `${type} ${status}${error ? `: ${error}` : ""}`).join("; "),
  };
};

interface CertsAnswer {
  readonly certificates?: readonly {
    readonly cert_chain?: readonly { readonly valid_from?: string; readonly expiration_time?: string }[];
  }[];
}

/** Asks the proxy itself. A proxy without an admin interface says nothing about its certificate. */
const checkCertificate = async (proxy: ProxyItem, nowMs: number): Promise<CheckItem | undefined> => {
  const admin = proxy.metadata.WEFT_ADMIN;
  if (typeof admin !== "string") return undefined;
  const item = { area: "identity", check: proxyName(proxy) } as const;
  try {
    const response = await fetch(`http://${admin}/certs`, { signal: AbortSignal.timeout(2000) });
    const { certificates = [] } = (await response.json()) as CertsAnswer;
    return { ...item, ...judgeCertificates(certificates, nowMs) };
  } catch {
    return { ...item, level: "warning", message: `its admin at ${admin} does not answer from here` };
  }
};

/** Renewal is due at half of its life; one with less than a third left has not been renewed. */
const dueShare = 1 / 3;

const judgeCertificates = (
  certificates: NonNullable<CertsAnswer["certificates"]>,
  nowMs: number,
): Pick<CheckItem, "level" | "message"> => {
  const lives = certificates
    .flatMap(({ cert_chain = [] }) => cert_chain)
    .map((each) => ({ from: Date.parse(each.valid_from ?? ""), to: Date.parse(each.expiration_time ?? "") }))
    .filter(({ to }) => Number.isFinite(to))
    .sort((a, b) => a.to - b.to);
  const [soonest] = lives;
  if (soonest === undefined) return { level: "warning", message: "it has no certificate" };
  const leftMs = soonest.to - nowMs;
  if (leftMs <= 0) return { level: "error", message: "WF7002 the certificate has expired" };
  const good = `certificate good for ${duration(leftMs)}`;
  return leftMs < (soonest.to - soonest.from) * dueShare
    ? { level: "warning", message: `${good} only: it should have been renewed` }
    : { level: "ok", message: good };
};

const duration = (ms: number): string => {
  const hours = ms / 3_600_000;
  if (hours < 1) return `${Math.ceil(ms / 60_000)} min`;
  return hours < 72 ? `${hours.toFixed(1)} h` : `${Math.floor(hours / 24)} days`;
};
