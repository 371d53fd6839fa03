/** Rules of MeshConfig that its schema cannot say. */
import { shapeCodes } from "../schema/codes.ts";
import type { RuleTools } from "./kind.ts";
import type { MeshConfigSpec } from "./mesh-config.ts";
import { checkUnique, reporter } from "./rules.ts";

export const validateMeshConfig = (spec: MeshConfigSpec, tools: RuleTools): void => {
  const { bad, both, missing } = reporter(tools);
  const scopes = ["defaultServiceExportTo", "defaultVirtualServiceExportTo", "defaultDestinationRuleExportTo"] as const;
  for (const name of scopes) {
    const given = spec[name] ?? [];
    if (given.length > 1 && given.includes("*")) bad([name], `${name} has "*" beside other namespaces: keep "*" alone`);
  }
  if (spec.localityLbSetting && spec.zoneAwareLbSetting) {
    both(["zoneAwareLbSetting"], "localityLbSetting and zoneAwareLbSetting exclude each other: keep one of them");
  }
  checkUnique(
    (spec.extensionProviders ?? []).map(({ name }) => name),
    (index, name) => bad(["extensionProviders", index, "name"], `provider "${name}" stands twice: names must differ`),
  );
  for (const [index, { name, ...kinds }] of (spec.extensionProviders ?? []).entries()) {
    const count = Object.keys(kinds).length;
    if (count === 1) continue;
    const at = ["extensionProviders", index];
    if (count === 0) missing(at, `provider "${name}" says not what it is: add its block, such as prometheus`);
    else both(at, `provider "${name}" has ${Object.keys(kinds).join(" and ")}: keep one of them`);
  }
  const image = spec.defaultConfig?.serviceCluster !== undefined && spec.defaultConfig.tracingServiceName !== undefined;
  if (image) {
    tools.report(["defaultConfig", "tracingServiceName"], {
      code: shapeCodes.exclusiveFields,
      message: "defaultConfig has serviceCluster and tracingServiceName: keep one of them",
      onKey: true,
    });
  }
};
