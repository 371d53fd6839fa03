/** AdmissionReview of admission.k8s.io/v1: what an API server asks, read with care, and what it is answered. */
import { WeftError } from "@weft/core/error";

export interface AdmissionRequest {
  readonly uid: string;
  readonly operation: string;
  readonly kind: GroupVersionKind;
  /** Plural name of the resource. */
  readonly resource: string;
  /** Empty for the object itself. */
  readonly subResource: string;
  readonly namespace: string;
  /** Empty where the API server is yet to make one. */
  readonly name: string;
  readonly dryRun: boolean;
  /** `undefined` for deletions. */
  readonly object: Readonly<Record<string, unknown>> | undefined;
}

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export type AdmissionVerdict =
  | { readonly kind: "allowed"; readonly warnings: readonly string[]; readonly patch?: readonly unknown[] }
  | { readonly kind: "denied"; readonly message: string; readonly warnings: readonly string[] };

export const reviewVersion = "admission.k8s.io/v1";
/** What an API server stores at most is 1.5 MB; a review holds it twice, and a little beside. */
export const reviewBytesMax = 8 * 1024 * 1024;
/** Objects and lists within each other: no kind of the API comes near, and whoever looks through a review goes in by itself. */
export const reviewDepthMax = 500;
/** An API server cuts warnings itself beyond some 4 KB in all. */
export const warningsMax = 16;
export const warningCharsMax = 240;
const messageCharsMax = 4_000;

/** Throws WF2187 for what is no review of version v1 in JSON. */
export const readReview = (body: Buffer, contentType: string | undefined): AdmissionRequest => {
  const type = contentType?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") throw refusal(`the content type is ${type ?? "not said"}, not application/json`);
  if (isDeeper(body, reviewDepthMax)) throw refusal(`the body nests deeper than ${reviewDepthMax}`);
  const review = parse(body);
  if (review.kind !== "AdmissionReview") throw refusal("the body is no AdmissionReview");
  if (review.apiVersion !== reviewVersion) {
    throw refusal(`the review is of version ${shown(review.apiVersion)}, not ${reviewVersion}`);
  }
  if (!isRecord(review.request)) throw refusal("the review has no request");
  const { request } = review;
  const { uid, object, operation } = request;
  if (typeof uid !== "string" || uid === "") throw refusal("the request has no uid");
  if (object !== undefined && object !== null && !isRecord(object)) throw refusal("the request's object is none");
  return {
    uid,
    operation: text(operation),
    kind: kindIn(request.kind),
    resource: isRecord(request.resource) ? text(request.resource.resource) : "",
    subResource: text(request.subResource),
    namespace: text(request.namespace),
    name: text(request.name),
    dryRun: request.dryRun === true,
    object: isRecord(object) ? object : undefined,
  };
};

/** The whole answer, bounded. */
export const reviewAnswer = (uid: string, verdict: AdmissionVerdict): object => {
  const warnings = verdict.warnings.slice(0, warningsMax).map((warning) => cut(warning, warningCharsMax));
  const response = {
    uid,
    allowed: verdict.kind === "allowed",
    ...(warnings.length === 0 ? {} : { warnings }),
    ...(verdict.kind === "denied"
      ? { status: { status: "Failure", code: 422, reason: "Invalid", message: cut(verdict.message, messageCharsMax) } }
      : {}),
    ...(verdict.kind === "allowed" && verdict.patch && verdict.patch.length > 0
      ? { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(verdict.patch)).toString("base64") }
      : {}),
  };
  return { apiVersion: reviewVersion, kind: "AdmissionReview", response };
};

/** The same text, at most so long, with a sign where it was cut. */
export const cut = (text: string, charsMax: number): string =>
  text.length <= charsMax ? text : `${text.slice(0, charsMax - 1)}…`;

const parse = (body: Buffer): Readonly<Record<string, unknown>> => {
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw refusal("the body is not JSON", cause);
  }
  return isRecord(value) ? value : {};
};

const [quote, backslash, openBrace, closeBrace, openBracket, closeBracket] = Buffer.from('"\\{}[]');

/** Whether objects and lists of a text of JSON stand in each other more than so many times. */
const isDeeper = (text: Buffer, max: number): boolean => {
  let depth = 0;
  let isText = false;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (isText) {
      if (byte === backslash) at++;
      else if (byte === quote) isText = false;
    } else if (byte === quote) isText = true;
    else if (byte === openBrace || byte === openBracket) {
      if (++depth > max) return true;
    } else if (byte === closeBrace || byte === closeBracket) depth--;
  }
  return false;
};

const kindIn = (value: unknown): GroupVersionKind => {
  const { group, version, kind } = isRecord(value) ? value : {};
  return { group: text(group), version: text(version), kind: text(kind) };
};

const refusal = (message: string, cause?: unknown): WeftError => new WeftError("WF2187", message, { cause });
const shown = (value: unknown): string => (typeof value === "string" ? JSON.stringify(cut(value, 60)) : "none");
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
