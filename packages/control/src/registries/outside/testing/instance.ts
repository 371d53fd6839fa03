import type { SourceInstance } from "../source-events.ts";

/** An instance for tests; its key is `NAMESPACE/SERVICE/ID`. */
export const testInstance = (id: string, over: Partial<SourceInstance> = {}): SourceInstance => {
  const { namespace = "shop", service = "web" } = over;
  return {
    key: `${namespace}/${service}/${id}`,
    ...{ namespace, service, id, address: "10.0.0.1", port: 8080, servicePort: undefined, protocol: "http" },
    ...{ labels: {}, serviceAccount: "", locality: "", weight: 1, health: "healthy" },
    ...over,
  };
};
