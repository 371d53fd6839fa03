/**
 * What frameworks of Go write into etcd at `PREFIX/SERVICE/ID`, told apart by its fields. go-micro (below
 * `/micro/registry`): a service with the one node that registered it. Kratos (below `/microservices`): an instance with
 * the URLs of its servers, of which one can be called by one name: gRPC's, else the first.
 */
import { parseAddress } from "@weft/core/address";
import { isObject, textsIn } from "../outside/record-fields.ts";

/** What such a record says of an instance; a text is what is wrong with it. */
export type FrameworkRecord =
  | {
      readonly address: string;
      readonly port: number;
      readonly protocol: string | undefined;
      readonly labels: Readonly<Record<string, string>>;
    }
  | string;

type Fields = Readonly<Record<string, unknown>>;

/** `undefined` for a record that none of them writes. */
export const readFrameworkRecord = (fields: Fields): FrameworkRecord | undefined => {
  if (Array.isArray(fields.nodes)) return microRecord(fields, fields.nodes);
  if (Array.isArray(fields.endpoints)) return kratosRecord(fields, fields.endpoints);
  return undefined;
};

const microRecord = (fields: Fields, nodes: readonly unknown[]): FrameworkRecord => {
  const [node] = nodes;
  if (nodes.length !== 1 || !isObject(node)) return `it has ${nodes.length} nodes, not one`;
  const at = typeof node.address === "string" ? parseAddress(node.address) : undefined;
  if (!at) return "address of its node is not HOST:PORT";
  const labels = { ...versionOf(fields), ...textsIn(fields.metadata), ...textsIn(node.metadata) };
  const { protocol } = labels;
  return { address: at.host, port: at.port, labels, protocol: calledBy.has(protocol ?? "") ? protocol : undefined };
};

/** Of the protocols that go-micro names, those that others speak too. */
const calledBy: ReadonlySet<string> = new Set(["grpc", "http"]);

const kratosRecord = (fields: Fields, endpoints: readonly unknown[]): FrameworkRecord => {
  const read = endpoints.map(endpointIn);
  const chosen = read.find((one) => one?.scheme === "grpc") ?? read[0];
  if (!chosen) return "endpoints does not begin with SCHEME://HOST:PORT";
  const { scheme, host, port, secure } = chosen;
  const labels = { ...versionOf(fields), ...textsIn(fields.metadata) };
  return { address: host, port, labels, protocol: secure ? "tls" : scheme };
};

const endpointIn = (endpoint: unknown) => {
  const [, scheme = "", authority = "", query = ""] =
    (typeof endpoint === "string" && /^([a-z][a-z0-9+.-]*):\/\/([^/?#]+)\/?(?:\?([^#]*))?$/.exec(endpoint)) || [];
  const at = parseAddress(authority);
  return at && { scheme, ...at, secure: new URLSearchParams(query).get("isSecure") === "true" };
};

const versionOf = ({ version }: Fields): Readonly<Record<string, string>> =>
  typeof version === "string" && version !== "" ? { version } : {};
