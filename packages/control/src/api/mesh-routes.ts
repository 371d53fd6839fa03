/** The debug pages about the model: what services, endpoints and objects the control plane works with. */
import type { Graph } from "@weft/core/collection";
import { type Route, route } from "@weft/net/http/routes";
import type { MeshModel } from "../model/mesh-model.ts";
import type { Publisher } from "../push/publisher.ts";
import type { ConfigStore } from "../store/config-store.ts";
import { objectDocument } from "../store/object-document.ts";
import { json } from "./answers.ts";

export interface MeshRoutesOptions {
  readonly model: MeshModel;
  readonly graph: Graph;
  readonly store: ConfigStore;
  readonly publisher: Publisher;
}

export const meshRoutes = ({ model, graph, store, publisher }: MeshRoutesOptions): readonly Route[] => [
  route("GET", "/debug/registryz", () => json([...model.services.values()])),
  route("GET", "/debug/endpointz", ({ query }) => {
    const service = query.get("service");
    const items = [...model.endpoints.values()].filter(({ key }) => service === null || key.endsWith(`/${service}`));
    return json(items.map(({ key, endpoints }) => ({ service: key, endpoints })));
  }),
  route("GET", "/debug/configz", () =>
    json({
      objects: store.list().map((object) => ({ ...objectDocument(object), source: object.source })),
      findings: store.findings(),
      badResources: publisher.badResources(),
      notes: publisher.notes(),
    }),
  ),
  route("GET", "/debug/graph", () => json({ epoch: model.epoch(), collections: graph.stats() })),
];
