/** `/v1/proxy-start`: how the proxy of a workload is to be started. */
import { type Route, route } from "@weft/net/http/routes";
import { byKind, ofKind } from "../model/config-item.ts";
import { meshConfigOf } from "../model/mesh-config.ts";
import type { MeshModel } from "../model/mesh-model.ts";
import { proxyStartOf } from "../model/proxy-start.ts";
import { json, parseLabels } from "./answers.ts";

/** `rootNamespace`: the one the control plane was started with, where MeshConfig is. */
export const proxyStartRoutes = (
  model: Pick<MeshModel, "config" | "mesh">,
  rootNamespace: string,
): readonly Route[] => [
  route("GET", "/v1/proxy-start", ({ query }) => {
    const kinds = byKind(model.config);
    const workload = {
      namespace: query.get("namespace") ?? "default",
      labels: Object.fromEntries(parseLabels(query.get("labels") ?? "")),
    };
    return json(
      proxyStartOf(workload, {
        proxyConfigs: ofKind(kinds.lookup("ProxyConfig"), "ProxyConfig"),
        meshConfig: meshConfigOf(ofKind(kinds.lookup("MeshConfig"), "MeshConfig"), rootNamespace),
        rootNamespace: model.mesh.rootNamespace,
      }),
    );
  }),
];
