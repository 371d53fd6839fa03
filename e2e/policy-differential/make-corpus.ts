/**
 * Configuration and requests to compare two proxies by, made from a seed: every host has a VirtualService and a
 * DestinationRule of its own, and requests that come close to what its rules ask for.
 */
import { seededRandom } from "@weft/core/random";
import { makePolicy } from "./make-policy.ts";
import { makeRequest } from "./make-request.ts";
import { makeRule, type Rule } from "./make-rule.ts";
import { createPick } from "./pick.ts";

export interface Backend {
  readonly version: string;
  readonly port: number;
}

export interface CaseRequest {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Case {
  readonly name: string;
  readonly request: CaseRequest;
  /** Asked often enough that every host that can be chosen is. */
  readonly spread: boolean;
}

export interface Corpus {
  readonly yaml: string;
  readonly cases: readonly Case[];
}

export interface CorpusSize {
  readonly hosts: number;
  readonly requestsPerHost: number;
}

/**
 * Everything weft does that a stock Envoy can do too: only our sidecar has reasons to tell, and a budget of the retries
 * nobody wrote. A written one, which both have, takes its place.
 */
const onlyWhatEnvoyHas = {
  apiVersion: "weft.dev/v1alpha1",
  kind: "MeshDefaults",
  metadata: { name: "mesh", namespace: "istio-system" },
  spec: { profile: "weft", reasonHeader: "off", retryBudget: { percent: 100, minConcurrency: 100 } },
};

const serviceEntry = (host: string, backends: readonly Backend[]): object => ({
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: { name: host.replaceAll(".", "-") },
  spec: {
    hosts: [host],
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    resolution: "STATIC",
    location: "MESH_EXTERNAL",
    endpoints: backends.map(({ version, port }) => ({
      address: "127.0.0.1",
      ports: { http: port },
      labels: { version },
    })),
  },
});

const virtualService = (host: string, http: readonly Rule[]): object => ({
  apiVersion: "networking.istio.io/v1",
  kind: "VirtualService",
  metadata: { name: host.replaceAll(".", "-") },
  spec: { hosts: [host], http },
});

const destinationRule = (host: string, trafficPolicy: object): object => ({
  apiVersion: "networking.istio.io/v1",
  kind: "DestinationRule",
  metadata: { name: host.replaceAll(".", "-") },
  spec: {
    host,
    trafficPolicy,
    subsets: ["v1", "v2", "v3"].map((version) => ({ name: version, labels: { version } })),
  },
});

export interface Upstreams {
  readonly backends: readonly Backend[];
  /** Refuses connections. */
  readonly closedPort: number;
}

/** A host that no rule is for: who can ask it has its endpoints. */
export const plainHost = "plain.example";

/** The same seed makes the same corpus, but for the ports. JSON is YAML. */
export const makeCorpus = (seed: number, size: CorpusSize, { backends, closedPort }: Upstreams): Corpus => {
  const random = seededRandom(seed);
  const pick = createPick(random);
  const documents: object[] = [
    serviceEntry(plainHost, backends),
    onlyWhatEnvoyHas,
    serviceEntry("dead.example", [{ version: "v1", port: closedPort }]),
    serviceEntry("empty.example", []),
  ];
  const cases: Case[] = [];
  for (let i = 0; i < size.hosts; i++) {
    const host = `h${i}.example`;
    const rules = Array.from({ length: pick.between(1, 4) }, () => makeRule(pick, host));
    documents.push(serviceEntry(host, backends), virtualService(host, rules));
    if (pick.chance(0.9)) documents.push(destinationRule(host, makePolicy(pick)));
    for (let k = 0; k < size.requestsPerHost; k++) {
      const request = makeRequest(pick, host, rules);
      cases.push({ name: `${i}.${k}`, request, spread: false });
      // With a session of its own: without one, each connection would get another.
      const headers = { ...request.headers, cookie: "session=one" };
      if (k === 0) cases.push({ name: `${i}.spread`, request: { ...request, headers }, spread: true });
    }
  }
  return { yaml: documents.map((document) => JSON.stringify(document)).join("\n---\n"), cases };
};
