/** Curator's service discovery, also Spring Cloud's and Dubbo 3's per application: JSON at BASE/SERVICE/ID. */
import type { SourceInstance } from "../outside/source-events.ts";
import type { Layout, NodeRecord, ReadRecord } from "./layout.ts";
import { unreadable } from "./layout.ts";
import { labelCharsMax, labelsMax } from "./limits.ts";

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const utf8 = new TextDecoder("utf-8", { fatal: true });

const fieldsOf = (data: Buffer): Fields | undefined => {
  try {
    const value: unknown = JSON.parse(utf8.decode(data));
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
};

const read = ({ key, namespace, service, name, data }: NodeRecord): ReadRecord => {
  const fields = fieldsOf(data);
  if (!fields) return unreadable("the record is not a JSON object");
  const { address, port: plainPort, sslPort, id } = fields;
  if (typeof address !== "string" || address === "") return unreadable("address is missing or no text");
  const secure = typeof plainPort !== "number";
  const port = secure ? sslPort : plainPort;
  if (typeof port !== "number") return unreadable("neither port nor sslPort is a number");
  const metadata = metadataOf(fields);
  const weight = Number(metadata.get("weight") ?? 1);
  const instance: SourceInstance = {
    ...{ key, namespace, service, id: typeof id === "string" && id !== "" ? id : name, address, port },
    servicePort: undefined,
    protocol: metadata.get("protocol") ?? (secure ? "tls" : schemeOf(fields.uriSpec)),
    labels: labelsOf(metadata),
    serviceAccount: "",
    locality: metadata.get("locality") ?? "",
    weight: Number.isInteger(weight) && weight >= 0 ? weight : 1,
    health: isOff(fields, metadata) ? "draining" : "healthy",
  };
  return { kind: "instance", instance };
};

/** Texts of `payload.metadata`, or of a payload that is itself a flat object. */
const metadataOf = ({ payload }: Fields): ReadonlyMap<string, string> => {
  if (!isFields(payload)) return new Map();
  const source = isFields(payload.metadata) ? payload.metadata : payload;
  const texts = Object.entries(source).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string" && !entry[0].startsWith("@"),
  );
  return new Map(texts);
};

/** What is too long for a label or one too many is left out, as an application keeps other things there too. */
const labelsOf = (metadata: ReadonlyMap<string, string>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...metadata]
      .filter(([name, value]) => name !== "" && name.length <= labelCharsMax && value.length <= labelCharsMax)
      .slice(0, labelsMax),
  );

/** The scheme where the address' pattern spells it out: `{scheme}://…` leaves it open. */
const schemeOf = (uriSpec: unknown): string | undefined => {
  if (!isFields(uriSpec) || !Array.isArray(uriSpec.parts)) return undefined;
  const first: unknown = uriSpec.parts[0];
  if (!isFields(first) || first.variable === true || typeof first.value !== "string") return undefined;
  return /^(grpc|https?|tcp)\b/.exec(first.value)?.[1];
};

const isOff = (fields: Fields, metadata: ReadonlyMap<string, string>): boolean =>
  fields.enabled === false || /^(OUT_OF_SERVICE|DOWN)$/i.test(metadata.get("instance_status") ?? "");

export const curatorLayout: Layout = { listAt: "", readsData: true, read };
