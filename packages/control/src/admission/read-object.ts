/** Reads one object of the Kubernetes API as configuration is read, with the field of every remark. */
import type { ConfigObject } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import { parseObject } from "@weft/config/parse-config";
import { shapeCodes } from "@weft/config/schema/codes";
import { type FieldPath, formatPath, type Level } from "@weft/config/schema/problem";

export interface Remark {
  readonly code: string;
  readonly level: Level;
  /** From the object's root; empty where it is about no one field. */
  readonly field: string;
  readonly message: string;
}

export interface ObjectRead {
  /** What the object has wrong by itself; with an error it is not taken. */
  readonly remarks: readonly Remark[];
  readonly object: ConfigObject | undefined;
  /** The same of a finding about `object` that came of something else. */
  readonly remarkOf: (finding: Finding) => Remark;
  readonly isAbout: (finding: Finding) => boolean;
}

/** `namespace` holds where the object does not say its own. */
export const readKubernetesObject = (
  document: Readonly<Record<string, unknown>>,
  namespace = "",
  source = "<object>",
): ObjectRead => {
  // A finding has a place in a file. There is none, so lines number the fields that were asked for.
  const fields: FieldPath[] = [];
  const placeOf = (field: FieldPath) => ({ file: source, line: fields.push(field), column: 0 });
  const { object, findings } = parseObject(bare(document, namespace), source, placeOf);
  const remarkOf = ({ code, level, message, line }: Finding): Remark => {
    const field = formatPath(fields[line - 1] ?? []);
    // A kind of a later Istio is none of ours to refuse; a long list of names would be cut off with what follows it.
    if (code === shapeCodes.unknownKind) return { code, level: "warning", field, message };
    if (code !== shapeCodes.unknownField) return { code, level, field, message };
    return { code, level, field, message: `${message.replace(acceptedNames, "")}: it has no effect` };
  };
  return { remarks: findings.map(remarkOf), object, remarkOf, isAbout: ({ file }) => file === source };
};

export const remarkLine = ({ code, field, message }: Omit<Remark, "level">): string =>
  `${code} ${field === "" ? "" : `${field}: `}${message}`;

const acceptedNames = / \(accepted: [^)]*\)$/;

/** Without what Kubernetes writes itself, and with a name where one is still to be made. */
const bare = (document: Readonly<Record<string, unknown>>, namespace: string): object => {
  const { status: _status, metadata, ...rest } = document;
  if (!isRecord(metadata)) return { ...rest, metadata };
  const { managedFields: _managed, name, generateName, ...others } = metadata;
  const shownName = name ?? (typeof generateName === "string" ? `${generateName}x` : undefined);
  return {
    ...rest,
    metadata: {
      ...(namespace === "" ? {} : { namespace }),
      ...(shownName === undefined ? {} : { name: shownName }),
      ...others,
    },
  };
};

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
