/** The shop: five services in seven workloads, and the way in. */
export interface ShopWorkload {
  readonly name: string;
  readonly service: string;
  readonly version: string;
  /** Module of examples/shop/services. */
  readonly program: string;
  /** Ports the application listens on; each is an endpoint of the service. */
  readonly endpoints: number;
}

const workload = (name: string, service = name, version = "v1", endpoints = 1): ShopWorkload => ({
  name,
  service,
  version,
  program: `${service}.ts`,
  endpoints,
});

export const shopWorkloads: readonly ShopWorkload[] = [
  workload("web"),
  workload("catalog"),
  workload("details"),
  workload("reviews-v1", "reviews", "v1"),
  workload("reviews-v2", "reviews", "v2"),
  workload("reviews-v3", "reviews", "v3"),
  workload("ratings", "ratings", "v1", 2),
];

export const ingressName = "ingress";
/** Configuration the shop always has, and what each key applies on top; folders and files below examples/shop. */
export const baseFolder = "examples/shop/mesh";

export interface Scenario {
  readonly key: string;
  readonly name: string;
  readonly title: string;
  /** The file applied; `undefined` deletes what the others added and applies the base again. */
  readonly file: string | undefined;
}

export const scenarios: readonly Scenario[] = [
  { key: "1", name: "canary", title: "canary 10 % to reviews v2", file: "examples/shop/scenarios/canary.yaml" },
  { key: "2", name: "break", title: "break ratings", file: "examples/shop/scenarios/break-ratings.yaml" },
  { key: "3", name: "deny", title: "deny web→ratings", file: "examples/shop/scenarios/deny-web-ratings.yaml" },
  { key: "0", name: "normal", title: "back to normal", file: undefined },
];
