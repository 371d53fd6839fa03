/** ProxyConfig: how the proxies of chosen workloads are started. */
import { type Infer, int, mapOf, object, oneWord, text } from "../schema/schema.ts";
import { workloadSelector } from "./common.ts";
import { defineKind, type Kind } from "./kind.ts";

export const proxyImage = object("The proxy's container image.", {
  imageType: oneWord(["", "default", "debug", "distroless"], "Variant of the image."),
});

/** Worker threads of a proxy, here and in the mesh's defaults. */
export const proxyConcurrency = int("Worker threads; 0 is one for each core.", {
  default: "the processor limit of the workload",
});

export const proxyConfigSpec = object("How proxies start. A change holds from their next start on.", {
  selector: workloadSelector,
  concurrency: proxyConcurrency,
  environmentVariables: mapOf(text("The value."), "Environment variables of the proxy."),
  image: proxyImage,
});
export interface ProxyConfigSpec extends Infer<typeof proxyConfigSpec> {}

export const proxyConfig: Kind = defineKind({
  name: "ProxyConfig",
  plural: "proxyconfigs",
  group: "networking.istio.io",
  versions: ["v1beta1"],
  about: "How the proxies of a namespace, or of chosen workloads, start. The root namespace's holds for all.",
  schema: proxyConfigSpec,
});
