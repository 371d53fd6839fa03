// Serves clusters and their endpoints from go-control-plane's LinearCache over delta ADS, and changes endpoints on
// request: the peer that the benches of weft's control plane measure it against. What it serves it reads from a file of
// discovery responses, so that both serve the same bytes.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"

	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// load gives the resources of a type, by name, of a file of delta responses, each after its length in four bytes.
func load(file string, typeURL string) map[string]types.Resource {
	found := map[string]types.Resource{}
	for rest := must(os.ReadFile(file)); len(rest) > 0; {
		size := binary.BigEndian.Uint32(rest)
		response := &discovery.DeltaDiscoveryResponse{}
		if err := proto.Unmarshal(rest[4:4+size], response); err != nil {
			panic(err)
		}
		rest = rest[4+size:]
		for _, one := range response.Resources {
			if one.Resource.TypeUrl == typeURL {
				found[one.Name] = must(one.Resource.UnmarshalNew())
			}
		}
	}
	return found
}

// mutualTLS takes ca, certificate and key files.
func mutualTLS(ca, certificate, key string) grpc.ServerOption {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(ca)))
	return grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{must(tls.LoadX509KeyPair(certificate, key))},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    roots,
	}))
}

func main() {
	endpoints := load(os.Args[1], resource.EndpointType)
	linear := cache.NewLinearCache(resource.EndpointType)
	linear.SetResources(endpoints)
	clusters := cache.NewLinearCache(resource.ClusterType)
	clusters.SetResources(load(os.Args[1], resource.ClusterType))
	mux := &cache.MuxCache{
		Classify:      func(r *cache.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: func(r *cache.DeltaRequest) string { return r.GetTypeUrl() },
		Caches:        map[string]cache.Cache{resource.EndpointType: linear, resource.ClusterType: clusters},
	}
	xds := must(net.Listen("tcp", "127.0.0.1:0"))
	control := must(net.Listen("tcp", "127.0.0.1:0"))
	options := []grpc.ServerOption{grpc.MaxConcurrentStreams(1000)}
	if len(os.Args) == 5 {
		options = append(options, mutualTLS(os.Args[2], os.Args[3], os.Args[4]))
	}
	grpcServer := grpc.NewServer(options...)
	discovery.RegisterAggregatedDiscoveryServiceServer(grpcServer, server.NewServer(context.Background(), mux, nil))
	// The weight of a service's first endpoint tells one version from the next.
	http.HandleFunc("/change", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("name")
		weight, _ := strconv.ParseUint(r.URL.Query().Get("weight"), 10, 32)
		known, ok := endpoints[name].(*endpoint.ClusterLoadAssignment)
		if !ok {
			http.Error(w, "no such name", http.StatusNotFound)
			return
		}
		changed := proto.Clone(known).(*endpoint.ClusterLoadAssignment)
		changed.Endpoints[0].LbEndpoints[0].LoadBalancingWeight = wrapperspb.UInt32(uint32(weight))
		if err := linear.UpdateResource(name, changed); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	go func() { panic(http.Serve(control, nil)) }()
	fmt.Printf("ready xds=%s control=%s\n", xds.Addr(), control.Addr())
	panic(grpcServer.Serve(xds))
}
