/** The webhooks as paths of an HTTPS server. */
import type { InjectNote } from "@weft/config/inject/inject-note";
import { injectPod } from "@weft/config/inject/inject-pod";
import { jsonPatch } from "@weft/config/inject/json-patch";
import { formatPath } from "@weft/config/schema/problem";
import { WeftError } from "@weft/core/error";
import type { Clock, Logger } from "@weft/core/world";
import { type Route, route } from "@weft/net/http/routes";
import { HttpRefusal, type HttpReply, type HttpRequest } from "@weft/net/http/server";
import type { AdmissionMetrics } from "./admission-metrics.ts";
import { type AdmissionRequest, type AdmissionVerdict, readReview, reviewAnswer } from "./admission-review.ts";
import { type InjectionPlace, placeInPath } from "./injection-place.ts";
import type { InjectionSettings } from "./injection-source.ts";
import { type JudgingContext, judgeObject } from "./validate-object.ts";

export interface AdmissionRoutesOptions {
  /** This control plane's; objects labelled with another are let through. */
  readonly revision: string;
  /** What pods of that namespace get, as of now. */
  readonly injection: (namespace: string, place: InjectionPlace) => InjectionSettings;
  readonly judging: JudgingContext;
  readonly metrics: AdmissionMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

/** `POST /inject`, with the pod's cluster and network in the path where they are known, and `POST /validate`. */
export const admissionRoutes = (options: AdmissionRoutesOptions): readonly Route[] => {
  const inject = (request: HttpRequest): Promise<HttpReply> => {
    const place = placeInPath(request.params);
    return answered(request, "inject", options, (review) => decideInjection(review, place, options));
  };
  return [
    route("POST", "/inject", inject),
    route("POST", "/inject/{name1}/{value1}", inject),
    route("POST", "/inject/{name1}/{value1}/{name2}/{value2}", inject),
    route("POST", "/validate", (request) =>
      answered(request, "validate", options, (review) => decideValidity(review, options)),
    ),
    route("GET", "/ready", () => ({ kind: "text", body: "ready\n" })),
  ];
};

const answered = async (
  { body, headers }: HttpRequest,
  path: string,
  { metrics }: AdmissionRoutesOptions,
  decide: (review: AdmissionRequest) => AdmissionVerdict | Promise<AdmissionVerdict>,
): Promise<HttpReply> => {
  const type = headers["content-type"];
  try {
    const review = readReview(body, typeof type === "string" ? type : undefined);
    return { kind: "json", body: reviewAnswer(review.uid, await decide(review)) };
  } catch (error) {
    if (!(error instanceof WeftError)) throw error;
    metrics.unreadable.add(1, path);
    throw new HttpRefusal(400, error.code, error.message, { next: "send an AdmissionReview of admission.k8s.io/v1" });
  }
};

/** A pod keeps the sidecar it got, and one that is refused is made again by its controller. */
const notReadYet = "what pods are injected with is not read from the cluster yet: make the pod again in a few seconds";

const decideInjection = (
  review: AdmissionRequest,
  place: InjectionPlace,
  { injection, metrics, clock, log }: AdmissionRoutesOptions,
): AdmissionVerdict => {
  const { kind, operation, subResource, object, namespace } = review;
  const isPod = kind.group === "" && kind.kind === "Pod" && subResource === "";
  if (!isPod || operation !== "CREATE" || !object) return { kind: "allowed", warnings: [] };
  metrics.injections.add(1);
  const pod = podName(object, namespace);
  const { unread, ...settings } = injection(namespace, place);
  const startedMs = clock.nowMs();
  const outcome = injectPod({ ...settings, pod: object });
  metrics.injectionSeconds.observe((clock.nowMs() - startedMs) / 1000);
  const warnings = outcome.notes.filter(({ level }) => level === "warning").map(noteLine);
  switch (outcome.kind) {
    case "left":
      metrics.left.add(1);
      log.debug("a pod is left without sidecar", { pod, why: outcome.why });
      return { kind: "allowed", warnings };
    case "refused": {
      metrics.injectionFailed.add(1);
      const message = outcome.notes
        .filter(({ level }) => level === "error")
        .map(noteLine)
        .join("; ");
      log.warn("a pod is refused", { code: "WF2189", pod, error: message });
      return { kind: "denied", message, warnings };
    }
    case "injected":
      if (unread) {
        metrics.injectionFailed.add(1);
        log.warn("a pod is refused", { code: "WF5065", pod, error: notReadYet });
        return { kind: "denied", message: `WF5065 ${notReadYet}`, warnings };
      }
      metrics.injected.add(1);
      log.info("a pod gets a sidecar", { pod, dryRun: review.dryRun });
      return { kind: "allowed", warnings, patch: jsonPatch(object, outcome.pod) };
    default:
      return outcome satisfies never;
  }
};

const decideValidity = async (
  { kind, operation, subResource, object, namespace, resource, name }: AdmissionRequest,
  { revision, judging, metrics, log }: AdmissionRoutesOptions,
): Promise<AdmissionVerdict> => {
  const isWrite = operation === "CREATE" || operation === "UPDATE";
  if (!object || !isWrite || subResource !== "" || isOfOther(object, revision) || isGoing(object))
    return { kind: "allowed", warnings: [] };
  const verdict = await judgeObject({ document: object, namespace }, judging);
  const labels = [kind.group, kind.version, resource];
  if (verdict.kind === "allowed") metrics.valid.add(1, ...labels);
  else {
    metrics.invalid.add(1, ...labels);
    const what = `${kind.kind} ${namespace}/${name}`;
    log.info("an object is refused", { code: "WF2188", object: what, error: verdict.message });
  }
  return verdict;
};

/** Being deleted: all that is still written is that its finalizers are done, which is not to be kept from it. */
const isGoing = ({ metadata }: Readonly<Record<string, unknown>>): boolean =>
  typeof (metadata as { readonly deletionTimestamp?: unknown } | undefined | null)?.deletionTimestamp === "string";

/** Labelled for a control plane of another revision. */
const isOfOther = ({ metadata }: Readonly<Record<string, unknown>>, revision: string): boolean => {
  const labels = (metadata as { readonly labels?: unknown } | undefined)?.labels;
  const rev = (labels as { readonly [revisionLabel]?: unknown } | undefined | null)?.[revisionLabel];
  return typeof rev === "string" && rev !== "" && rev !== revision;
};
const revisionLabel = "istio.io/rev";

const podName = ({ metadata }: Readonly<Record<string, unknown>>, namespace: string): string => {
  const { name, generateName } = (metadata ?? {}) as { readonly name?: unknown; readonly generateName?: unknown };
  const known = typeof name === "string" ? name : typeof generateName === "string" ? `${generateName}…` : "";
  return `${namespace}/${known}`;
};

const noteLine = ({ code, path, message }: InjectNote): string => {
  const field = formatPath(path);
  return `${code} ${field === "" ? "" : `${field}: `}${message}`;
};
