/** Dubbo's providers per interface: each is the name of a node, a whole URL percent-encoded. */
import type { SourceInstance } from "../outside/source-events.ts";
import type { Layout, NodeRecord, ReadRecord } from "./layout.ts";
import { unreadable } from "./layout.ts";
import { labelCharsMax } from "./limits.ts";

/** What the schemes speak, where it is more than bytes. */
const protocols: ReadonlyMap<string, string> = new Map([
  ["tri", "grpc"],
  ["grpc", "grpc"],
  ["rest", "http"],
  ["http", "http"],
  ["webservice", "http"],
  ["hessian", "http"],
]);

/** Dubbo's own; an instance that says nothing weighs as much as the others. */
const weightDefault = 100;
const labelNames = ["version", "group", "application"] as const;

const decoded = (name: string): string | undefined => {
  try {
    return decodeURIComponent(name);
  } catch {
    return undefined;
  }
};

const read = ({ key, namespace, service, name }: NodeRecord): ReadRecord => {
  const text = decoded(name);
  if (text === undefined) return unreadable("the node's name has a wrong percent sign");
  const match = /^([a-z][a-z0-9+.-]*):\/\/(?:[^/?#@]*@)?(?:\[([^\]]*)\]|([^:/?#]*)):(\d{1,5})(?:[/?]|$)/i.exec(text);
  if (!match) return unreadable("the node's name is not a URL with an address and a port");
  const [, scheme = "", six, four = "", port = ""] = match;
  const question = text.indexOf("?");
  const options = new URLSearchParams(question < 0 ? "" : text.slice(question));
  if ((options.get("category") ?? "providers") !== "providers") return { kind: "other" };
  const weight = Number(options.get("weight") ?? weightDefault);
  if (!Number.isInteger(weight) || weight < 0) return unreadable("weight is not a whole number");
  const off = options.get("disabled") === "true" || options.get("enabled") === "false";
  const labels = labelNames
    .map((label) => [label, options.get(label) ?? ""] as const)
    .filter(([, value]) => value !== "" && value.length <= labelCharsMax);
  const instance: SourceInstance = {
    ...{ key, namespace, service, id: `${six ?? four}:${port}`, address: six ?? four, port: Number(port) },
    servicePort: undefined,
    protocol: protocols.get(scheme.toLowerCase()) ?? "tcp",
    labels: Object.fromEntries(labels),
    ...{ serviceAccount: "", locality: "", weight, health: off ? "draining" : "healthy" },
  };
  return { kind: "instance", instance };
};

export const dubboLayout: Layout = { listAt: "/providers", readsData: false, read };
