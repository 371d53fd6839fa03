// Serves clusters and their endpoints from go-control-plane's LinearCache over delta ADS, and changes the endpoints of the
// first on request: the peer that the push benchmarks measure weft's control plane against.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// assignment has ten endpoints; the weight of the first tells one version from the next.
func assignment(name string, weight uint32) *endpoint.ClusterLoadAssignment {
	var hosts []*endpoint.LbEndpoint
	for i := 0; i < 10; i++ {
		share := uint32(1)
		if i == 0 {
			share = weight
		}
		hosts = append(hosts, &endpoint.LbEndpoint{
			HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: &core.Address{
				Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
					Address:       fmt.Sprintf("10.0.0.%d", i+1),
					PortSpecifier: &core.SocketAddress_PortValue{PortValue: 8080},
				}},
			}}},
			HealthStatus:        core.HealthStatus_HEALTHY,
			LoadBalancingWeight: wrapperspb.UInt32(share),
		})
	}
	return &endpoint.ClusterLoadAssignment{
		ClusterName: name,
		Endpoints:   []*endpoint.LocalityLbEndpoints{{LbEndpoints: hosts}},
	}
}

func edsCluster(name string) *cluster.Cluster {
	return &cluster.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		ConnectTimeout:       durationpb.New(10_000_000_000),
		EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{
			ServiceName: name,
			EdsConfig: &core.ConfigSource{
				ResourceApiVersion:    core.ApiVersion_V3,
				ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
			},
		},
	}
}

func main() {
	names := os.Args[1:]
	name := names[0]
	linear := cache.NewLinearCache(resource.EndpointType)
	clusters := cache.NewLinearCache(resource.ClusterType)
	mux := &cache.MuxCache{
		Classify:      func(r *cache.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: func(r *cache.DeltaRequest) string { return r.GetTypeUrl() },
		Caches:        map[string]cache.Cache{resource.EndpointType: linear, resource.ClusterType: clusters},
	}
	for _, name := range names {
		if err := clusters.UpdateResource(name, edsCluster(name)); err != nil {
			panic(err)
		}
		if err := linear.UpdateResource(name, assignment(name, 1)); err != nil {
			panic(err)
		}
	}
	xds, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	grpcServer := grpc.NewServer(grpc.MaxConcurrentStreams(1000))
	discovery.RegisterAggregatedDiscoveryServiceServer(grpcServer, server.NewServer(context.Background(), mux, nil))
	http.HandleFunc("/change", func(w http.ResponseWriter, r *http.Request) {
		weight, _ := strconv.ParseUint(r.URL.Query().Get("weight"), 10, 32)
		if err := linear.UpdateResource(name, assignment(name, uint32(weight))); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	go func() { panic(http.Serve(control, nil)) }()
	fmt.Printf("ready xds=%s control=%s\n", xds.Addr(), control.Addr())
	panic(grpcServer.Serve(xds))
}
