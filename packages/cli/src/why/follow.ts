/** The whole path: the client's proxy, the server's where it has one, and what comes of it. */
import type { ClientPath, NextHop } from "./client-path.ts";
import { clientPath } from "./client-path.ts";
import { transportStep } from "./cluster-steps.ts";
import type { OfflineProxy } from "./offline-proxy.ts";
import type { Question } from "./question.ts";
import { step } from "./routing-steps.ts";
import { offeredAlpn, type Sent, serverPath } from "./server-side.ts";
import type { Outcome, Step } from "./step.ts";

export interface WholePath {
  readonly steps: readonly Step[];
  readonly outcome: Outcome;
}

export interface Client {
  readonly proxy: OfflineProxy;
  /** Its SPIFFE identity; empty where nobody knows it. */
  readonly identity: string;
  /** Where its connections come from. */
  readonly address: string;
}

/** Finds the proxy of a workload; `undefined` where it has none that is connected. */
export type FindServer = (workload: string) => Promise<OfflineProxy | undefined>;

/** The workload behind a host, as `NAME.NAMESPACE`; empty where the endpoint does not say it. */
export const workloadOf = ({ host }: Pick<NextHop, "host">): string => {
  const text = host.metadata.istio?.workload;
  const [name = "", namespace = ""] = typeof text === "string" ? text.split(";") : [];
  return name === "" ? "" : `${name}.${namespace}`;
};

export const followPath = async (client: Client, question: Question, findServer: FindServer): Promise<WholePath> => {
  const path = clientPath(client.proxy, question);
  const { next } = path;
  if (!next) return { steps: path.steps, outcome: path.outcome ?? elsewhere(path) };
  const sent: Sent = {
    ...{ host: next.host, cluster: next.cluster, told: next.told, identity: client.identity },
    sourceHost: client.address,
  };
  const transport = transportStep(next.cluster, next.host, offeredAlpn(sent));
  const workload = workloadOf(next);
  const server = workload === "" ? undefined : await findServer(workload);
  const forwarded = forwardedTo(next);
  if (!server) {
    const who = workload === "" ? "the host has no workload of the mesh" : `no proxy of ${workload} is connected`;
    const last = step("server", "proxy", `${who}: what becomes of the request there is not known`);
    return { steps: [...path.steps, transport, last], outcome: forwarded };
  }
  const there = serverPath(server, sent);
  const first = step("server", "proxy", workload, {
    notes: next.eligible.length > 1 ? [`of the ${next.eligible.length} hosts, ${next.host.address} is followed`] : [],
  });
  return { steps: [...path.steps, transport, first, ...there.steps], outcome: there.outcome ?? forwarded };
};

const elsewhere = (_: ClientPath): Outcome => ({
  ...{ kind: "forwarded", status: 0, flags: "", details: "" },
  text: "forwarded to a host that the configuration does not name",
});

/** So many hosts are told by name. */
const hostsMax = 10;

const forwardedTo = ({ eligible }: NextHop): Outcome => {
  const addresses = [...new Set(eligible.map(({ address }) => address))];
  const listed = addresses.slice(0, hostsMax).join(", ");
  const more = addresses.length > hostsMax ? ` and ${addresses.length - hostsMax} more` : "";
  return {
    ...{ kind: "forwarded", status: 0, flags: "", details: "" },
    text: addresses.length === 1 ? `forwarded to ${listed}` : `forwarded to one of ${listed}${more}`,
  };
};
