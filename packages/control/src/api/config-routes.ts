/** `/v1/config`: read, apply and delete configuration objects. */
import { compareFindings } from "@weft/config/analyze/analyze";
import type { ConfigObject } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import { kinds } from "@weft/config/kinds/index";
import type { FieldPath } from "@weft/config/schema/problem";
import { WeftError } from "@weft/core/error";
import { type Route, route } from "@weft/net/http/routes";
import { HttpRefusal, type HttpReply, type HttpRequest } from "@weft/net/http/server";
import type { Analysis } from "../analysis/analysis.ts";
import { type ChangeAnswer, type ConfigStore, type ConfigWriter, keyOf } from "../store/config-store.ts";
import { objectDocument, withoutKeys } from "../store/object-document.ts";
import { json, listAnswer, notFound, param } from "./answers.ts";

export interface ConfigRoutesOptions {
  readonly store: ConfigStore;
  /** Who takes changes; the store itself where nobody shares it. */
  readonly writer?: ConfigWriter;
  readonly analysis: Pick<Analysis, "run">;
  /** What was found where resources were generated for the proxies connected. */
  readonly runningFindings: () => readonly Finding[];
}

export const configRoutes = (options: ConfigRoutesOptions): readonly Route[] => {
  const { store, writer = store, analysis, runningFindings } = options;
  const change = (verb: "apply" | "delete") => async (request: HttpRequest) => {
    const options = { file: request.query.get("file") ?? "<body>", dryRun: request.query.get("dryRun") === "true" };
    const answer = await stored(() => writer[verb](request.body.toString("utf8"), options));
    refuseErrors(answer);
    return listChange(answer);
  };
  return [
    route("GET", "/v1/config", ({ query }) => {
      const wanted = query.get("kind");
      const kind = wanted === null ? undefined : kindNamed(wanted);
      const namespace = query.get("namespace");
      const items = store
        .list()
        .filter((object) => kind === undefined || object.kind === kind)
        .filter((object) => namespace === null || object.namespace === namespace);
      return listAnswer("Config", items.map(shown));
    }),
    route("GET", "/v1/config/{kind}/{namespace}/{name}", (request) => {
      const object = store.get(keyIn(request));
      if (!object) throw notFound(`there is no ${keyIn(request)}`);
      return json({ ...shown(object), ...fieldPlaces(object, request.query.getAll("field")) });
    }),
    route("PUT", "/v1/config/{kind}/{namespace}/{name}", async (request) => {
      const text = request.body.toString("utf8");
      const options = { file: request.query.get("file") ?? "<body>", dryRun: true };
      const planned = store.apply(text, options);
      refuseErrors(planned);
      const [item, more] = planned.items;
      if (!item || more || keyOf(item as Parameters<typeof keyOf>[0]) !== keyIn(request)) {
        throw new HttpRefusal(400, "WF8400", `the body must be one object, ${keyIn(request)}`);
      }
      if (request.query.get("dryRun") === "true") return json(item);
      await stored(() => writer.apply(text, { ...options, dryRun: false }));
      return json(item, item.result === "created" ? 201 : 200);
    }),
    route("DELETE", "/v1/config/{kind}/{namespace}/{name}", async (request) => {
      const result = await stored(() => writer.deleteOne(keyIn(request), request.query.get("dryRun") === "true"));
      if (result === "absent") throw notFound(`there is no ${keyIn(request)}`);
      const [kind, namespace, name] = keyIn(request).split("/");
      const hiding = store.hiding(keyIn(request));
      return json({ kind, namespace, name, result, ...(hiding ? { findings: [hiding] } : {}) });
    }),
    route("POST", "/v1/config/apply", change("apply")),
    route("POST", "/v1/config/delete", change("delete")),
    route("GET", "/v1/analyze", async () => {
      const beside = await analysis.run(store.list);
      const written = [...store.findings(), ...beside];
      const findings = [...written, ...runningFindings()].sort(compareFindings);
      const count = (level: string): number => findings.filter((finding) => finding.level === level).length;
      const summary = { errors: count("error"), warnings: count("warning"), infos: count("info") };
      return listAnswer("Finding", findings, summary);
    }),
  ];
};

const cannotStore = "WF8507";

/** What the store cannot keep is answered 507; what else fails on the way keeps its own status. */
const stored = async <T>(run: () => T | Promise<T>): Promise<T> => {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof WeftError) || error.code !== cannotStore) throw error;
    const { code, message, next } = error;
    throw new HttpRefusal(507, code, message, next === undefined ? {} : { next });
  }
};

/** The document, and where it came from. */
const shown = (object: ConfigObject): object => ({ ...withoutKeys(objectDocument(object)), source: object.source });

/** So many fields of one object are looked up at once. */
const fieldsMax = 100;

/** Where those fields are written, or their nearest parents; nothing where none is asked for. */
const fieldPlaces = (object: ConfigObject, fields: readonly string[]): object => {
  if (fields.length === 0) return {};
  if (fields.length > fieldsMax) throw new HttpRefusal(400, "WF8400", `more than ${fieldsMax} fields are asked for`);
  return { fields: Object.fromEntries(fields.map((field) => [field, object.positionOf(parsePath(field))])) };
};

/** `spec.http[0].match` as a path; a quoted key cannot be asked for. */
const parsePath = (field: string): FieldPath =>
  [...field.matchAll(/\[(\d+)\]|([^.[\]]+)/g)].map(([, index, key]) =>
    index === undefined ? (key ?? "") : Number(index),
  );

const keyIn = (request: HttpRequest): string =>
  [kindNamed(param(request, "kind")), param(request, "namespace"), param(request, "name")].join("/");

/** A kind by its name, plural or short name in any case. Refuses with 400 WF8400. */
const kindNamed = (given: string): string => {
  const lower = given.toLowerCase();
  const found = kinds.find(({ name, plural, shortNames = [] }) =>
    [name, plural, ...shortNames].some((known) => known.toLowerCase() === lower),
  );
  if (found) return found.name;
  throw new HttpRefusal(400, "WF8400", `there is no kind ${given}`, {
    next: `use one of ${kinds.flatMap(({ name, inert }) => (inert === undefined ? [name] : [])).join(", ")}`,
  });
};

/** The first error decides the code; all are in the findings. */
const refuseErrors = ({ findings }: ChangeAnswer): void => {
  const errors = findings.filter(({ level }) => level === "error");
  const [first] = errors;
  if (!first) return;
  const { code, message, file, line, column } = first;
  const more = errors.length === 1 ? "" : ` (and ${errors.length - 1} more)`;
  const where = `${file}:${line}:${column}`;
  throw new ConfigRefusal(code, `${where} ${message}${more}`, findings);
};

/** 422 with the findings beside the error. */
class ConfigRefusal extends HttpRefusal {
  override readonly details: object;
  constructor(code: string, message: string, findings: ChangeAnswer["findings"]) {
    super(422, code, message, { next: "correct it and apply it again; nothing was taken" });
    this.details = { findings };
  }
}

const listChange = ({ items, findings }: ChangeAnswer): HttpReply => {
  const summary: Record<string, number> = {};
  for (const { result } of items) summary[result] = (summary[result] ?? 0) + 1;
  return json({ apiVersion: "weft.dev/v1", kind: "ChangeList", items, findings, summary });
};
