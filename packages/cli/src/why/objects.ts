/** Where the configuration objects behind a path are written, as the control plane knows it. */
import { WeftError } from "@weft/core/error";
import type { ApiTarget } from "../mesh/api.ts";
import { askApi } from "../mesh/api.ts";
import type { Envelope } from "../output/print.ts";
import type { ObjectRef, ServiceRef, Step } from "./step.ts";

export interface FoundObject extends ObjectRef {
  /** Absent where the control plane does not know the object, or not any more. */
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
}

export interface FoundStep extends Omit<Step, "refs" | "service"> {
  readonly objects: readonly FoundObject[];
}

interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

interface ConfigDocument {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: {
    readonly hosts?: readonly string[];
    readonly host?: string;
    readonly subsets?: readonly { readonly name?: string }[];
  };
  readonly source?: Position;
  readonly fields?: Readonly<Record<string, Position>>;
}

export interface Objects {
  find(step: Step): Promise<FoundStep>;
}

/** Looks objects up, each once. */
export const openObjects = (target: ApiTarget): Objects => {
  const documents = new Map<string, Promise<ConfigDocument | undefined>>();
  const read = (path: string): Promise<ConfigDocument | undefined> => {
    const known = documents.get(path) ?? askApi<ConfigDocument>(target, path).catch(absent);
    documents.set(path, known);
    return known;
  };
  const locate = async (ref: ObjectRef): Promise<FoundObject> => {
    const path = `/v1/config/${[ref.kind, ref.namespace, ref.name].map(encodeURIComponent).join("/")}`;
    const whole = await read(path);
    if (!whole) return ref;
    const field = subsetField(ref.field, whole);
    const at = field === "" ? undefined : (await read(`${path}?field=${encodeURIComponent(field)}`))?.fields?.[field];
    return { ...ref, field, ...placed(at ?? whole.source) };
  };
  let entries: Promise<readonly ConfigDocument[]> | undefined;
  const declaring = async ({ host, namespace }: ServiceRef): Promise<readonly FoundObject[]> => {
    entries ??= listDeclaring(target);
    const own = (await entries).filter((each) => declares(each, host, namespace));
    return own.map(({ kind, metadata, source }) => ({
      ...{ kind, namespace: metadata.namespace ?? namespace, name: metadata.name, field: "spec" },
      ...placed(source),
    }));
  };
  return {
    async find({ refs, service, ...step }) {
      const objects = [...(await Promise.all(refs.map(locate))), ...(service ? await declaring(service) : [])];
      const nowhere = service && objects.every(({ kind }) => kind === "DestinationRule");
      const note = `no configuration object declares ${service?.host}: a registry does`;
      return { ...step, notes: nowhere ? [...step.notes, note] : step.notes, objects };
    },
  };
};

/** An object that is gone is unknown; a control plane that does not answer is an error. */
const absent = (error: unknown): undefined => {
  if (error instanceof WeftError && error.code === "WF8404") return undefined;
  throw error;
};

const placed = (at: Position | undefined): Partial<Position> =>
  at === undefined || at.file === "" ? {} : { file: at.file, line: at.line, column: at.column };

/** `spec.subsets[name=v1]` by the place of that subset in the list. */
const subsetField = (field: string, { spec }: ConfigDocument): string => {
  const [, name] = /^spec\.subsets\[name=(.*)\]$/.exec(field) ?? [];
  if (name === undefined) return field;
  const index = (spec?.subsets ?? []).findIndex((subset) => subset.name === name);
  return index < 0 ? "spec" : `spec.subsets[${index}]`;
};

const listDeclaring = async (target: ApiTarget): Promise<readonly ConfigDocument[]> => {
  const lists = await Promise.all(
    ["ServiceEntry", "Service"].map((kind) => askApi<Envelope>(target, `/v1/config?kind=${kind}`)),
  );
  return lists.flatMap(({ items }) => items as readonly ConfigDocument[]);
};

const declares = ({ kind, metadata, spec }: ConfigDocument, host: string, namespace: string): boolean => {
  if (kind === "ServiceEntry") return spec?.hosts?.includes(host) === true;
  return metadata.namespace === namespace && host.startsWith(`${metadata.name}.${namespace}.svc.`);
};
