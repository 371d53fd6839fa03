/** The Helm chart: the same objects with placeholders in the place of values. */
import { stringify } from "yaml";
import { chartFill, chartText, type InstallValues, type ValueName } from "./fill.ts";
import { installParts } from "./install-objects.ts";
import { valueMeanings } from "./install-values.ts";

/** Path within the chart's folder → text. `namespace` is Helm's own and no value. */
export const chartFiles = (values: InstallValues, version: string): ReadonlyMap<string, string> => {
  const files = new Map<string, string>();
  files.set(
    "Chart.yaml",
    stringify({
      apiVersion: "v2",
      name: "weft",
      description: "A service mesh that takes Istio's configuration and speaks Envoy's xDS.",
      type: "application",
      version,
      appVersion: version,
      kubeVersion: ">=1.29.0-0",
    }),
  );
  files.set("values.yaml", valuesText(values));
  for (const { file, objects, condition } of installParts(chartFill)) {
    const text = objects.map((object) => chartText(object, condition)).join("---\n");
    files.set(`templates/${file}.yaml`, text);
  }
  return files;
};

/** Helm's way is to make the namespace itself. */
const valuesText = (values: InstallValues): string => {
  const shown = { ...values, createNamespace: false };
  return (Object.keys(valueMeanings) as ValueName[])
    .filter((name) => name !== "namespace")
    .map((name) => `# ${valueMeanings[name]}\n${stringify({ [name]: shown[name] })}`)
    .join("");
};
