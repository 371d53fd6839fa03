import { refuseOthers } from "../../compile/fields.ts";
import type { HttpFilterKind } from "./filter.ts";

/**
 * Accepted so that configuration with it can be taken. Requests of `application/grpc-web` are answered 415: their
 * bodies would have to be translated, which filters at head level cannot do.
 */
export const grpcWeb: HttpFilterKind = {
  name: "envoy.filters.http.grpc_web",
  typeName: "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
  configure(raw) {
    refuseOthers(raw, "GrpcWeb", "", []);
    return () => ({
      onRequest({ request }) {
        if (!request.headers.get("content-type")?.startsWith("application/grpc-web")) return undefined;
        return { status: 415, flags: "", details: "grpc_web_unsupported", body: "gRPC-Web is not supported" };
      },
    });
  },
};
