import { GrpcWebBodies, grpcWebContentType, grpcWebType } from "@weft/protocols/grpc/web";
import { refuseOthers } from "../../compile/fields.ts";
import type { Exchange } from "../../http/exchange.ts";
import { isGrpcContentType } from "../../matching/grpc.ts";
import type { HttpFilterKind } from "./filter.ts";

/** Translates gRPC-Web, in binary and in text, so that browsers can call gRPC servers. Other requests pass untouched. */
export const grpcWeb: HttpFilterKind = {
  name: "envoy.filters.http.grpc_web",
  typeName: "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
  configure(raw) {
    refuseOthers(raw, "GrpcWeb", "", []);
    return () => {
      const calls = new WeakMap<Exchange, GrpcWebBodies>();
      return {
        onRequest(exchange) {
          const { headers } = exchange.request;
          const asked = grpcWebType(headers.get("content-type"));
          if (asked === undefined || exchange.translate === undefined) return undefined;
          const textAnswer = grpcWebType(headers.get("accept"))?.text ?? asked.text;
          const bodies = new GrpcWebBodies({ textRequest: asked.text, textAnswer });
          headers.set("content-type", `application/grpc${asked.suffix}`);
          headers.remove("content-length");
          headers.set("te", "trailers");
          if (!headers.has("grpc-accept-encoding")) headers.set("grpc-accept-encoding", "identity,deflate,gzip");
          exchange.translate(bodies);
          calls.set(exchange, bodies);
          return undefined;
        },
        onResponse(exchange) {
          const bodies = calls.get(exchange);
          if (bodies === undefined) return;
          const { headers } = exchange.response;
          bodies.answersGrpc = isGrpcContentType(headers.get("content-type"));
          if (!bodies.answersGrpc) return;
          headers.set("content-type", grpcWebContentType(bodies.textAnswer));
          headers.remove("content-length");
        },
        onEnd(exchange) {
          calls.delete(exchange);
        },
      };
    };
  },
};
