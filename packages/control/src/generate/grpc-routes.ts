/**
 * The virtual host of the explicit listener's own address. A gRPC client that dials `localhost:15001` sends that as
 * its authority, so the service is found by the first segment of the path, which is the gRPC service's name.
 */
import type { RouteJson, VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { isHttp, isHttp2 } from "../model/protocol.ts";
import type { Service, ServicePort } from "../model/service.ts";
import { serviceRoutes } from "./mesh-routes.ts";
import type { RouteContext } from "./rule-routes.ts";

interface Candidate {
  readonly service: Service;
  readonly port: number;
}

/** gRPC goes to the only gRPC port, else the only HTTP/2 port, else the first HTTP one. */
const grpcPort = ({ ports }: Service): number | undefined => {
  const grpc = ports.filter(({ protocol }) => protocol === "grpc");
  const http2 = ports.filter(({ protocol }) => isHttp2(protocol));
  const http = ports.filter(({ protocol }: ServicePort) => isHttp(protocol) || protocol === "auto");
  return (grpc.length === 1 ? grpc[0] : http2.length === 1 ? http2[0] : http[0])?.number;
};

const servicePath = /^\/([A-Za-z_][\w]*(?:\.[A-Za-z_][\w]*)*)(?:\/|$)/;

/** gRPC service name → who speaks it: as instances declare, and as rules match `uri` on a service's host. */
const candidates = ({ scope }: RouteContext): ReadonlyMap<string, readonly Candidate[]> => {
  const found = new Map<string, Map<string, Candidate>>();
  const add = (name: string, service: Service): void => {
    const port = grpcPort(service);
    if (port === undefined) return;
    const known = found.get(name) ?? new Map<string, Candidate>();
    known.set(service.key, { service, port });
    found.set(name, known);
  };
  const { views } = scope.egress;
  const services = new Map(views.flatMap((view) => [...view.services]));
  for (const service of services.values()) for (const name of service.grpcServices) add(name, service);
  for (const { hosts, http } of views.flatMap(({ rules }) => rules)) {
    const paths = http.flatMap(({ rule }) => (rule.match ?? []).map(({ uri }) => uri?.prefix ?? uri?.exact));
    for (const path of paths) {
      const name = servicePath.exec(path ?? "")?.[1];
      if (!name?.includes(".")) continue;
      for (const host of hosts) {
        const service = services.get(host);
        if (service) add(name, service);
      }
    }
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, known]) => [name, [...known.values()]]));
};

/** Narrows a service's routes to one gRPC service: those that take everything, and those below its path. */
const narrowed = (routes: readonly RouteJson[], prefix: string): readonly RouteJson[] =>
  routes.flatMap((route) => {
    const { match } = route;
    if (match?.prefix === "/" || match?.safeRegex?.regex === ".*") {
      const { safeRegex: _, ...rest } = match;
      return [{ ...route, match: { ...rest, prefix } }];
    }
    const path = match?.prefix ?? match?.path ?? "";
    return path.startsWith(prefix) ? [route] : [];
  });

/** An answer that reaches a gRPC client as UNIMPLEMENTED (what HTTP 404 means there) with the text as its message. */
const unimplemented = (name: string, match: RouteJson["match"], message: string): RouteJson => ({
  name,
  ...(match ? { match } : {}),
  directResponse: { status: 404, body: { inlineString: message } },
});

const candidatesListedMax = 20;

export const selfHost = (context: RouteContext): VirtualHostJson => {
  const known = candidates(context);
  const routes = [...known].flatMap(([name, speakers]): readonly RouteJson[] => {
    const [only, other] = speakers;
    if (only && !other) return narrowed(serviceRoutes(context, only.service, only.port), `/${name}/`);
    const names = speakers.map(({ service }) => service.hostname).join(", ");
    const text = `WF5011 several services speak ${name}: ${names}. Next: dial one of them by name, or route ${name} by a VirtualService`;
    return [unimplemented("grpc-ambiguous", { prefix: `/${name}/`, grpc: {} }, text)];
  });
  const listed = [...known.keys()].slice(0, candidatesListedMax).join(", ") || "none";
  const nobody =
    `WF5010 no service of the mesh declares this gRPC service; declared are: ${listed}. ` +
    "Next: set instance metadata grpc-services, or send the service's name as Host or authority";
  return {
    name: "weft|self",
    domains: ["localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*", "[::1]", "[::1]:*"],
    routes: [
      ...routes,
      unimplemented("grpc-unknown", { prefix: "/", grpc: {} }, nobody),
      {
        name: "block_all",
        match: { prefix: "/" },
        directResponse: {
          status: 502,
          body: {
            inlineString: "WF5012 the Host names this listener, not a service. Next: send the service's name as Host",
          },
        },
      },
    ],
    includeRequestAttemptCount: true,
  };
};
