/** Text to configuration objects, with everything that is wrong with the text. */
import type { SourcePosition } from "@weft/core/error";
import type { ConfigObject } from "./config-object.ts";
import type { Finding } from "./finding.ts";
import { findKind } from "./kinds/find-kind.ts";
import type { Kind } from "./kinds/kind.ts";
import { describeLooseDocument, documentCodes } from "./loose-documents.ts";
import { meshTextOf, readMeshText } from "./mesh-configs.ts";
import { readMetadata } from "./metadata.ts";
import { alsoOf } from "./schema/also.ts";
import { shapeCodes } from "./schema/codes.ts";
import { nearest } from "./schema/nearest.ts";
import type { FieldPath, Problem } from "./schema/problem.ts";
import { validateValue } from "./schema/validate.ts";
import { objectProblemsMax, problemsMax } from "./yaml/limits.ts";
import { parseDocuments, type SourceDocument } from "./yaml/parse-documents.ts";

export interface ParsedConfig {
  /** Objects without errors, in the order of the text. */
  readonly objects: readonly ConfigObject[];
  readonly findings: readonly Finding[];
}

/** One object's value within a document; those of a List share a document. */
interface Piece {
  readonly document: Pick<SourceDocument, "positionOf">;
  /** Unknown fields are remarks: whoever took the object before knows them. */
  readonly lenient?: boolean;
  readonly value: unknown;
  readonly path: FieldPath;
}

/**
 * Reads YAML or JSON, one or several documents. Never throws. An object with an error is left out of `objects`, as
 * Kubernetes would refuse it; the others stand. `firstOrder` numbers the objects on when several texts are read.
 */
export const parseConfig = (text: string, file: string, firstOrder = 0): ParsedConfig => {
  const { documents, problems } = parseDocuments(text, file);
  const findings: Finding[] = [...problems];
  const objects: ConfigObject[] = [];
  for (const piece of documents.flatMap((document) => flatten({ document, value: document.value, path: [] }))) {
    const read = readObject(piece, firstOrder + objects.length);
    findings.push(...read.findings);
    if (read.object) objects.push(read.object);
  }
  return { objects, findings: boundFindings(findings) };
};

/**
 * Reads one object that is a value already, as a server sends it. `source` is what findings say in place of a file. A
 * field that is not known is a warning: the server may be newer. `placeOf` says where a field is. Never throws.
 */
export const parseObject = (
  value: unknown,
  source: string,
  placeOf: (field: FieldPath) => SourcePosition = () => ({ file: source, line: 0, column: 0 }),
): ReadObject => readObject({ document: { positionOf: placeOf }, lenient: true, value, path: [] }, 0);

/** Beyond the bound the errors are kept first, so that none hides behind remarks. */
const boundFindings = (findings: readonly Finding[]): readonly Finding[] => {
  if (findings.length <= problemsMax) return findings;
  const isError = ({ level }: Finding) => level === "error";
  return [...findings.filter(isError), ...findings.filter((finding) => !isError(finding))].slice(0, problemsMax);
};

/** Lists, as `kubectl get -o yaml` prints them, stand for their items. */
const flatten = (piece: Piece): readonly Piece[] => {
  const { value, path, document } = piece;
  if (Array.isArray(value) && path.length === 0) {
    return value.map((item, index) => ({ document, value: item, path: [index] }));
  }
  if (!isRecord(value) || !Array.isArray(value.items)) return [piece];
  const { kind, items } = value;
  if (typeof kind !== "string" || !kind.endsWith("List")) return [piece];
  return items.map((item, index) => ({ document, value: item, path: [...path, "items", index] }));
};

export interface ReadObject {
  /** Absent when it has an error. */
  readonly object?: ConfigObject;
  readonly findings: readonly Finding[];
}

const readObject = (piece: Piece, creationOrder: number): ReadObject => {
  const { value } = piece;
  const collector = collect(piece);
  if (!isRecord(value)) {
    const message = "a document must be an object with apiVersion, kind and metadata";
    collector.report([], { code: shapeCodes.wrongType, message });
    return { findings: collector.findings() };
  }
  const loose = describeLooseDocument(value);
  if (loose) {
    collector.report([], loose);
    return { findings: collector.findings() };
  }
  const kind = readKind(value, collector.report);
  if (kind === undefined) return { findings: collector.findings() };
  const metadata = readMetadata(kind, value.metadata, collector.report);
  collector.named(kind.name, metadata.namespace, metadata.name);
  const spec = readSpec(kind, value, collector.report);
  if (!collector.failed()) {
    const report = (path: FieldPath, problem: Problem) => collector.report(fromRoot(kind, path), problem);
    kind.validate(spec, { ...metadata, report });
  }
  const meshText = meshTextOf(kind.name, metadata.name, spec);
  if (meshText !== undefined) readMeshText(meshText, metadata, collector.report);
  else if (kind.inert !== undefined) {
    const message = `${kind.name} has no effect: ${kind.inert}`;
    collector.report([], { code: documentCodes.inertKind, level: "info", message });
  }
  const findings = collector.findings();
  if (collector.failed()) return { findings };
  const { document, path } = piece;
  const object = {
    ...metadata,
    kind: kind.name,
    apiVersion: value.apiVersion,
    creationOrder,
    source: document.positionOf(path),
    positionOf: (field: FieldPath) => document.positionOf([...path, ...field]),
    spec,
  } as unknown as ConfigObject;
  return { object, findings };
};

/** Gathers problems, to be turned to findings when the object's name is known. */
const collect = ({ document, path, lenient = false }: Piece) => {
  const problems: { readonly at: FieldPath; readonly problem: Problem }[] = [];
  let facts = { kind: "", namespace: "", name: "" };
  return {
    report: (at: FieldPath, problem: Problem): void => {
      const remark = lenient && problem.code === shapeCodes.unknownField;
      problems.push({ at, problem: remark ? { ...problem, level: "warning" } : problem });
    },
    named: (kind: string, namespace: string, name: string): void => {
      facts = { kind, namespace, name };
    },
    failed: (): boolean => problems.some(({ problem }) => (problem.level ?? "error") === "error"),
    findings: (): Finding[] =>
      problems.slice(0, objectProblemsMax).map(({ at, problem: { code, level = "error", message, onKey = false } }) => {
        const position: SourcePosition = document.positionOf([...path, ...at], onKey);
        return { code, level, message, ...facts, ...position, also: alsoOf(code) };
      }),
  };
};

const bodyFields = new Set(["apiVersion", "kind", "metadata", "status"]);

const readSpec = (kind: Kind, value: Readonly<Record<string, unknown>>, report: Report): unknown => {
  const body = Object.fromEntries(Object.entries(value).filter(([name]) => !bodyFields.has(name)));
  if (kind.bodyIsRoot) return validateValue(kind.schema, body, kind.name, [], report);
  for (const name of Object.keys(body)) {
    if (name === "spec") continue;
    const guess = nearest(name, ["spec", ...bodyFields]);
    const inSpec = Object.hasOwn(kind.schema.fields, name);
    const hint = inSpec ? " — move it under spec" : guess === undefined ? "" : ` — did you mean "${guess}"?`;
    const accepted = "(accepted: apiVersion, kind, metadata, spec, status)";
    const message = `unknown field ${JSON.stringify(name)} in ${kind.name}${hint} ${accepted}`;
    report([name], { code: shapeCodes.unknownField, message, onKey: true });
  }
  return validateValue(kind.schema, body.spec ?? {}, kind.name, ["spec"], report);
};

type Report = (path: FieldPath, problem: Problem) => void;

const fromRoot = (kind: Kind, path: FieldPath): FieldPath => (kind.bodyIsRoot ? path : ["spec", ...path]);

const readKind = (value: Readonly<Record<string, unknown>>, report: Report): Kind | undefined => {
  const { kind, apiVersion } = value;
  for (const [name, given] of Object.entries({ apiVersion, kind })) {
    if (typeof given === "string" && given !== "") continue;
    const typo = Object.keys(value).find((key) => key !== "kind" && key !== "apiVersion" && nearest(key, [name]));
    const hint = typo === undefined ? "" : `: write it in place of ${JSON.stringify(typo)}`;
    report([], { code: shapeCodes.missingField, message: `the object lacks ${JSON.stringify(name)}${hint}` });
  }
  if (typeof kind !== "string" || kind === "" || typeof apiVersion !== "string" || apiVersion === "") return undefined;
  const found = findKind(apiVersion, kind);
  if (found.kind === "known") return found.found;
  if (found.kind === "foreign") {
    const message = `${kind} of ${apiVersion} is not weft's and has no effect here`;
    report(["kind"], { code: documentCodes.inertKind, level: "info", message });
  } else {
    const path = found.about === "apiVersion" ? ["apiVersion"] : ["kind"];
    report(path, { code: shapeCodes.unknownKind, message: found.message, onKey: true });
  }
  return undefined;
};

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
