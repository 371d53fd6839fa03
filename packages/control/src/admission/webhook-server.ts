/** The HTTPS server an API server asks, with a certificate of the mesh's own that is renewed while it runs. */
import type { SocketAddress } from "@weft/core/address";
import { formatIdentity, type Identity } from "@weft/core/identity";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { Routes } from "@weft/net/http/routes";
import { type HttpServer, type HttpTls, openHttpServer } from "@weft/net/http/server";
import type { Authority } from "../ca/authority.ts";
import { reviewBytesMax } from "./admission-review.ts";

export interface WebhookServerOptions {
  readonly address: SocketAddress;
  readonly routes: Routes;
  readonly authority: Pick<Authority, "issueServer" | "rootPem">;
  readonly identity: Identity;
  /** DNS names and addresses the API server knows it by. */
  readonly hosts: readonly string[];
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

const certificateTtlMs = 24 * 3_600_000;
/** How often it is looked whether the certificate is of the present root and young. */
const lookMs = 60_000;
/** An API server waits 30 s at most. */
const requestTimeoutMs = 15_000;

/** Listens. Refuses with WF2010 when the address cannot be had. */
export const openWebhookServer = async (options: WebhookServerOptions): Promise<HttpServer> => {
  const { authority, identity, hosts, clock, setTimer, log } = options;
  let issuedMs = clock.wallMs();
  let issuedBy = authority.rootPem;
  const issue = (): HttpTls => {
    issuedMs = clock.wallMs();
    issuedBy = authority.rootPem;
    const { shownPem, keyPem } = authority.issueServer({ identity, hosts }, certificateTtlMs, issuedMs);
    return { key: keyPem, cert: shownPem };
  };
  const server = await openHttpServer({
    ...{ address: options.address, routes: options.routes, log },
    ...{ tls: issue(), bodyBytesMax: reviewBytesMax, requestTimeoutMs },
  });
  const look = (): void => {
    timer = setTimer(look, lookMs);
    const age = clock.wallMs() - issuedMs;
    if (issuedBy === authority.rootPem && age >= 0 && age < certificateTtlMs / 2) return;
    server.setTls(issue());
    log.info("the webhooks have a new certificate", { identity: formatIdentity(identity) });
  };
  let timer = setTimer(look, lookMs);
  return {
    address: server.address,
    get descriptor() {
      return server.descriptor;
    },
    setTls: server.setTls,
    close: (timeoutMs) => {
      timer[Symbol.dispose]();
      return server.close(timeoutMs);
    },
  };
};

/** How a service's pods are called within the cluster. */
export const serviceHosts = (service: string, namespace: string): readonly string[] => [
  `${service}.${namespace}.svc`,
  `${service}.${namespace}`,
  `${service}.${namespace}.svc.cluster.local`,
];
