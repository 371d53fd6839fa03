/** What the server's proxy does with a request that the client's sent it. */

import type { Host } from "@weft/proxy/clusters/host";
import { rbac } from "@weft/proxy/filters/http/rbac";
import { networkRbacType } from "@weft/proxy/filters/network/rbac";
import { compileRbacRules } from "@weft/proxy/filters/rbac/rules";
import type { DownstreamTlsInfo } from "@weft/proxy/http/exchange";
import { reasonFor } from "@weft/proxy/http/reasons";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { RBACJson as RulesJson } from "@weft/xds/gen/envoy/config/rbac/v3/rbac";
import { type Decision, decide } from "./decide.ts";
import type { Told } from "./engine.ts";
import { type Arrival, type Entrance, enter, wayIn } from "./entrance.ts";
import type { OfflineCluster, OfflineListener, OfflineProxy } from "./offline-proxy.ts";
import { round, step } from "./routing-steps.ts";
import { type ObjectRef, type Outcome, refOfPolicy, type Step } from "./step.ts";
import { upstreamOf } from "./upstream.ts";

export interface Sent {
  readonly host: Host;
  readonly cluster: OfflineCluster;
  /** The request as it leaves the client's proxy; absent on a bare connection. */
  readonly told: Told | undefined;
  /** The SPIFFE identity of the client's proxy; empty where nobody knows it. */
  readonly identity: string;
  readonly sourceHost: string;
}

export interface ServerPath {
  readonly steps: readonly Step[];
  /** Absent where the application answers. */
  readonly outcome: Outcome | undefined;
}

/** ALPN that is offered to the host: what the client's filters chose, else the transport's own. */
export const offeredAlpn = ({ cluster: { cluster }, host, told }: Sent): readonly string[] => {
  const transport = cluster.transportOf(host);
  if (transport.kind !== "tls") return [];
  const chosen = cluster.http.protocol === "http2" ? told?.upstreamAlpn?.http2 : told?.upstreamAlpn?.http11;
  return chosen ?? transport.alpn;
};

const refused = (text: string): Outcome => ({
  ...{ kind: "refused", status: 503, flags: "UF", details: "upstream_reset_before_response_started", code: "WF5040" },
  text,
});

export const serverPath = (proxy: OfflineProxy, sent: Sent): ServerPath => {
  const { target } = sent.host;
  if (target.kind !== "ip")
    return { steps: [step("server", "listener", `unknown for ${target.path}`)], outcome: undefined };
  const listener = wayIn(proxy, target.host, target.port);
  if (!listener) {
    return {
      steps: [step("server", "listener", `the proxy has none at ${sent.host.address}`)],
      outcome: refused(`nothing of the server's proxy listens at ${sent.host.address}`),
    };
  }
  const arrival = arrivalOf(sent, target);
  const entrance = enter(proxy, listener, arrival);
  const mode = modeOf(proxy, listener, arrival);
  const first = [
    step("server", "listener", `${listener.config.name} for ${sent.host.address}`),
    step("server", "mTLS mode", mode, { refs: peerAuthentication(listener.json, target.port) }),
  ];
  if (!entrance) {
    const how = arrival.facts.transportProtocol === "tls" ? "this TLS" : "plaintext";
    return {
      steps: [...first, step("server", "filter chain", `no chain takes ${how}: the connection is closed`)],
      outcome: refused(`the server's proxy takes no ${how} at ${sent.host.address} (${mode})`),
    };
  }
  return through(proxy, entrance, { sent, first });
};

const through = (
  proxy: OfflineProxy,
  entrance: Entrance,
  { sent, first }: { readonly sent: Sent; readonly first: readonly Step[] },
): ServerPath => {
  const { chain, http, downstream, json } = entrance;
  const secured = chain.tls === undefined ? "plaintext" : "the mesh's TLS";
  const found = `${chain.name || "unnamed"}: ${secured}, ${chain.terminal.kind}`;
  const steps = [...first, step("server", "filter chain", found)];
  const authorized = [...authorizations(json.filters), ...authorizations(http?.json.httpFilters)];
  if (authorized.length > 0 && downstream.tls !== undefined && sent.identity === "") {
    const text = "unknown: neither the client's proxy nor the control plane tells who the client is";
    return { steps: [...steps, step("server", "authorization", text)], outcome: unknownClient };
  }
  for (const allow of chain.allow) {
    const { allowed: passes, details } = allow(downstream);
    if (!passes) return denied(steps, { status: 0, flags: "", details });
  }
  if (!http || !sent.told) {
    const passed = step("server", "application", "the connection is passed on");
    return { steps: [...steps, ...allowed(authorized), passed], outcome: undefined };
  }
  const asked = { settings: http.settings, table: http.table, request: sent.told.request, downstream };
  const decision = decide(proxy, asked);
  const { told } = decision;
  if (told.details.startsWith("rbac_access_denied")) return denied(steps, told);
  const { matched: request, remoteHost } = told;
  const verdicts = authorized.flatMap(({ rules }) => {
    const { policy } = compileRbacRules(rules, "rules").decide({ request, downstream, remoteHost });
    return policy === "none" ? [] : [policy];
  });
  return {
    steps: [...steps, ...allowed(authorized, verdicts), ...applicationSteps(proxy, decision)],
    outcome: answerOf(decision),
  };
};

const unknownClient: Outcome = {
  ...{ kind: "unknown", status: 0, flags: "", details: "" },
  text: "the server's policies ask who the client is, and that is not known",
};

const denied = (
  steps: readonly Step[],
  { status, flags, details }: Pick<Told, "status" | "flags" | "details">,
): ServerPath => {
  const how = status === 0 ? "the connection is closed" : String(status);
  const text = `${how}: the server's proxy denies it (${policyIn(details)})`;
  const kind = status === 0 ? "refused" : "answered";
  const outcome: Outcome = { kind, status, flags, details, code: "WF5041", text };
  return { steps: [...steps, verdictStep(details)], outcome };
};

const answerOf = ({ told, clusters }: Decision): Outcome | undefined =>
  clusters.length > 0
    ? undefined
    : {
        ...{ kind: "answered", status: told.status, flags: told.flags, details: told.details, location: told.location },
        code: reasonFor({ details: told.details })?.code,
        text: `${told.status} from the server's proxy: ${told.details}`,
      };

const applicationSteps = (proxy: OfflineProxy, { clusters, told }: Decision): readonly Step[] =>
  clusters.map(({ name, percent }) => {
    const open = proxy.cluster(name);
    const json = proxy.resources.clusters.get(name);
    const hosts = open && json ? upstreamOf(json, open, told.hash).eligible.map(({ address }) => address) : [];
    const share = percent === 100 ? "" : `${round(percent)} % `;
    return step("server", "application", `${share}${name}${hosts.length > 0 ? ` at ${hosts.join(", ")}` : ""}`);
  });

interface Authorization {
  readonly rules: RulesJson;
}

interface Filter {
  readonly typedConfig?: { readonly "@type"?: string };
}

/** The rules of all RBAC filters of a chain, in their order. */
const authorizations = (filters: readonly unknown[] | undefined): readonly Authorization[] =>
  ((filters ?? []) as readonly Filter[]).flatMap(({ typedConfig }) => {
    const type = typedConfig?.["@type"] ?? "";
    if (!type.endsWith(`/${rbac.typeName}`) && !type.endsWith(`/${networkRbacType}`)) return [];
    const { rules } = typedConfig as { readonly rules?: RulesJson };
    return rules ? [{ rules }] : [];
  });

const policyIn = (details: string): string => /matched_policy\[(.*)\]$/.exec(details)?.[1] ?? "";

const verdictStep = (details: string): Step => {
  const policy = policyIn(details);
  const ref = refOfPolicy(policy);
  const found = policy === "none" ? "denied: no rule of any ALLOW policy takes it" : `denied by ${policy}`;
  return step("server", "authorization", found, { refs: ref ? [ref] : [] });
};

const allowed = (all: readonly Authorization[], by: readonly string[] = []): readonly Step[] => {
  if (all.length === 0) return [step("server", "authorization", "allowed: no AuthorizationPolicy is for the workload")];
  const refs = by.flatMap((policy): ObjectRef[] => {
    const ref = refOfPolicy(policy);
    return ref ? [ref] : [];
  });
  const found = by.length > 0 ? `allowed by ${by.join(", ")}` : "allowed: no DENY policy takes it";
  return [step("server", "authorization", found, { refs })];
};

const arrivalOf = (sent: Sent, target: { readonly host: string; readonly port: number }): Arrival => {
  const { cluster, host, identity, sourceHost } = sent;
  const transport = cluster.cluster.transportOf(host);
  const common = { destinationHost: target.host, destinationPort: target.port, sourceHost, sourcePort: 50_000 };
  const http = cluster.cluster.http.protocol === "http2" ? "h2c" : "http/1.1";
  if (transport.kind !== "tls") {
    return {
      facts: {
        ...common,
        serverName: "",
        transportProtocol: "raw_buffer",
        applicationProtocols: sent.told ? [http] : [],
      },
      tls: undefined,
      redirected: true,
    };
  }
  const alpn = offeredAlpn(sent);
  const tls: DownstreamTlsInfo = {
    ...{ sni: transport.sni, alpn: alpn[0] ?? "", version: "TLSv1.3", peerDnsNames: [], peerSubject: "", peerPem: "" },
    peerUris: identity === "" || transport.certificate === undefined ? [] : [identity],
    peerFingerprint: transport.certificate === undefined ? "" : "unknown",
    localUris: [],
  };
  return {
    facts: {
      ...common,
      serverName: transport.sni.toLowerCase(),
      transportProtocol: "tls",
      applicationProtocols: alpn,
    },
    tls,
    redirected: true,
  };
};

/** Told by what its chains take: plaintext, the mesh's TLS, or both. */
const modeOf = (proxy: OfflineProxy, listener: OfflineListener, { facts }: Arrival): string => {
  const plain = enter(proxy, listener, {
    facts: { ...facts, transportProtocol: "raw_buffer", serverName: "", applicationProtocols: ["http/1.1"] },
    tls: undefined,
    redirected: true,
  });
  const mesh = enter(proxy, listener, {
    facts: { ...facts, transportProtocol: "tls", applicationProtocols: ["istio-http/1.1", "istio"] },
    tls: undefined,
    redirected: true,
  });
  const takesMesh = mesh?.chain.tls !== undefined;
  if (!takesMesh) return "DISABLE";
  return plain && plain.chain.tls === undefined ? "PERMISSIVE" : "STRICT";
};

/** As the control plane leaves it with the listener: by port, `*` for the others. */
const peerAuthentication = ({ metadata }: ListenerJson, port: number): readonly ObjectRef[] => {
  const known = metadata?.filterMetadata?.weft?.peerAuthentication as Readonly<Record<string, unknown>> | undefined;
  const text = known?.[String(port)] ?? known?.["*"];
  const [namespace, name, field] = typeof text === "string" ? text.split("/") : [];
  return namespace !== undefined && name !== undefined
    ? [{ kind: "PeerAuthentication", namespace, name, field: field ?? "spec" }]
    : [];
};
