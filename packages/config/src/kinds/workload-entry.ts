/** WorkloadEntry: one workload outside a platform's own registry. */
import { type Infer, object } from "../schema/schema.ts";
import { defineKind, type Kind } from "./kind.ts";
import { workloadEntryFields } from "./service-entry.ts";
import { validateWorkloadEntry } from "./service-entry-rules.ts";

export const workloadEntrySpec = object("A workload by its address, ports and labels.", workloadEntryFields);
export interface WorkloadEntrySpec extends Infer<typeof workloadEntrySpec> {}

export const workloadEntry: Kind = defineKind({
  name: "WorkloadEntry",
  plural: "workloadentries",
  shortNames: ["we"],
  group: "networking.istio.io",
  versions: ["v1", "v1beta1", "v1alpha3"],
  about: "A workload that ServiceEntry selectors pick by label, such as a virtual machine.",
  schema: workloadEntrySpec,
  validate: validateWorkloadEntry,
});
