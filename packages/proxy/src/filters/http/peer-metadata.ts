/**
 * Istio's metadata exchange: both sides of a mesh call tell each other what workload they are, in headers that the
 * applications never see.
 */
import type { HeaderList } from "@weft/protocols/http/headers";
import type { Exchange } from "../../http/exchange.ts";
import { createPeerDecoder, encodeNode, type Peer } from "../../observe/peer.ts";
import type { HttpFilterKind } from "./filter.ts";

const metadataHeader = "x-envoy-peer-metadata";
const idHeader = "x-envoy-peer-metadata-id";

/** Clusters that lead out of the mesh: our metadata is nobody's business there. */
const outside: ReadonlySet<string> = new Set(["PassthroughCluster", "BlackHoleCluster", "InboundPassthroughCluster"]);

const leavesMesh = ({ route, request, cluster }: Exchange): boolean => {
  if (cluster) return outside.has(cluster.name) || cluster.metadata.istio?.external === true;
  const action = route?.action;
  return action?.kind === "forward" && outside.has(action.clusterName(request, 0).cluster);
};

/** Takes the peer's headers out; `undefined` when it sent none that can be read. */
const takePeer = (headers: HeaderList, decode: (value: string) => Peer | undefined): Peer | undefined => {
  const value = headers.get(metadataHeader);
  headers.remove(idHeader);
  if (value === undefined) return undefined;
  headers.remove(metadataHeader);
  return decode(value);
};

export const peerMetadata: HttpFilterKind = {
  name: "istio.metadata_exchange",
  typeName: "io.istio.http.peer_metadata.Config",
  aliases: ["envoy.filters.http.peer_metadata", "istio.peer_metadata", "envoy.filters.http.metadata_exchange"],
  configure() {
    return ({ node }) => {
      const ownMetadata = encodeNode(node);
      const decode = createPeerDecoder();
      const put = (headers: HeaderList): void => {
        headers.set(metadataHeader, ownMetadata);
        headers.set(idHeader, node.id);
      };
      return {
        onRequest(exchange) {
          if (exchange.downstream.direction === "inbound") {
            // A request whose redirect is followed comes here again, without what it told the first time.
            exchange.peer = takePeer(exchange.request.headers, decode) ?? exchange.peer;
          } else if (!leavesMesh(exchange)) {
            put(exchange.request.headers);
          } else if (exchange.request.headers.get(metadataHeader) === ownMetadata) {
            exchange.request.headers.remove(metadataHeader);
            exchange.request.headers.remove(idHeader);
          }
          return undefined;
        },
        onResponse(exchange) {
          const { headers } = exchange.response;
          if (exchange.downstream.direction !== "inbound") {
            exchange.peer = takePeer(headers, decode);
          } else if (exchange.peer !== undefined) {
            put(headers);
          } else {
            takePeer(headers, decode);
          }
        },
      };
    };
  },
};
