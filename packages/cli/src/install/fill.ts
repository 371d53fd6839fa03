/**
 * Where manifests take their values from: given values make plain manifests, placeholders make a Helm chart. Both come from one
 * description, so they cannot differ.
 */
import { stringify } from "yaml";

/** Values of an installation; each is simple, and one name holds everywhere. */
export interface InstallValues {
  readonly namespace: string;
  readonly createNamespace: boolean;
  readonly revision: string;
  readonly replicas: number;
  readonly maxReplicas: number;
  readonly image: string;
  readonly imagePullPolicy: string;
  readonly clusterId: string;
  readonly meshId: string;
  readonly trustDomain: string;
  readonly logLevel: string;
  readonly cpuRequest: string;
  readonly memoryRequest: string;
  readonly memoryLimit: string;
  readonly priorityClass: string;
  readonly store: string;
  readonly storeSecret: string;
  readonly storeCredentials: boolean;
  readonly networkPolicy: boolean;
  readonly injectByDefault: boolean;
  readonly nativeSidecars: string;
  readonly holdApplicationUntilProxyStarts: boolean;
  readonly proxyCpuRequest: string;
  readonly proxyMemoryRequest: string;
  readonly proxyCpuLimit: string;
  readonly proxyMemoryLimit: string;
}
export type ValueName = keyof InstallValues;
type NamesOf<T> = { [K in ValueName]: InstallValues[K] extends T ? K : never }[ValueName];

export interface Fill {
  readonly text: (name: NamesOf<string>) => string;
  /** A number or a boolean; in a chart a text that stands for it. */
  readonly plain: (name: NamesOf<number | boolean>) => unknown;
  /** Nothing for the revision `default`, else `-REVISION`: the end of every name. */
  readonly suffix: string;
  /** The items where the value is set (a text that is not empty, or true). */
  readonly when: (name: ValueName, items: readonly unknown[]) => readonly unknown[];
  /** The items where the revision is `default`. */
  readonly whenDefault: (items: readonly unknown[]) => readonly unknown[];
}

/** Plain values. */
export const valuesFill = (values: InstallValues): Fill => ({
  text: (name) => values[name],
  plain: (name) => values[name],
  suffix: values.revision === "default" ? "" : `-${values.revision}`,
  when: (name, items) => (values[name] ? items : []),
  whenDefault: (items) => (values.revision === "default" ? items : []),
});

/** Placeholders, which `chartText` turns into what Helm reads. */
export const chartFill: Fill = {
  text: (name) => `@@${name}@@`,
  plain: (name) => `@@plain:${name}@@`,
  suffix: "@@suffix@@",
  when: (name, items) => [`@@if:${name}@@`, ...items, "@@end@@"],
  whenDefault: (items) => ["@@ifdefault@@", ...items, "@@end@@"],
};

const chartValue = (name: string): string => (name === "namespace" ? ".Release.Namespace" : `.Values.${name}`);

/** One object as a template. */
export const chartText = (object: unknown, condition?: ValueName): string => {
  const text = stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 })
    .replaceAll(/^ *- "@@if:(\w+)@@"$/gm, (_, name: string) => `{{- if ${chartValue(name)} }}`)
    .replaceAll(/^ *- "@@ifdefault@@"$/gm, '{{- if eq .Values.revision "default" }}')
    .replaceAll(/^ *- "@@end@@"$/gm, "{{- end }}")
    .replaceAll(/"@@plain:(\w+)@@"|@@plain:(\w+)@@/g, (_, quoted?: string, bare?: string) => {
      return `{{ ${chartValue(quoted ?? bare ?? "")} }}`;
    })
    .replaceAll("@@suffix@@", '{{ if ne .Values.revision "default" }}-{{ .Values.revision }}{{ end }}')
    .replaceAll(/@@(\w+)@@/g, (_, name: string) => `{{ ${chartValue(name)} }}`);
  return condition === undefined ? text : `{{- if ${chartValue(condition)} }}\n${text}{{- end }}\n`;
};
