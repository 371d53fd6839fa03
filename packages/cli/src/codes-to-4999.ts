/** Codes and their meanings, the first half: a line with code and title, then an indented line that says what to do. */
export const codesTo4999 = `
WF1530 a redirect's status code cannot be sent
  Envoy redirects with 301, 302, 303, 307 or 308 only; 301 is sent. Write one of them as redirectCode.
WF1531 a delegate cannot be used
  The rule that names it is left out, the others hold. A delegate is a VirtualService without hosts, exported to the namespace of the one that names it, and does not delegate again.
WF1532 a host has its routes from an older VirtualService
  In the mesh a host has one VirtualService: the one private to the client's namespace, else exported to it by name, else the oldest. Put the rules into one, or delegate.
WF1533 a delegate's rule is outside of what was delegated
  Every match of a delegate must be within one of the matches that delegate to it: the same text, or one that begins with the prefix. The rule is left out, the others hold.
WF1534 connections cannot be told apart
  Two services or rules take the same connections at one port: the first keeps them. Give one an address, a port or server names of its own.
WF1536 a Sidecar is not used
  An older one is for the same workloads. Put them together, or give them different workloadSelectors.
WF1537 a Sidecar imports nothing
  Write hosts as NAMESPACE/HOST with the full name of the service (./reviews.shop.svc.cluster.local), and check exportTo.
WF1538 servers of a gateway cannot share a port
  Plain HTTP servers join, and TLS servers with different hosts stand beside each other; nothing else does. The older Gateway's server stays. Give the other its own port or bind address.
WF1539 a host is served on the port already
  A server name belongs to one TLS server or rule of a port, that of the older object. Name each host once.
WF1541 a rule's credentialName is not for these sidecars
  Gateways read the secret, and sidecars that the rule's workloadSelector picks; others connect without TLS, as in Istio. Add a workloadSelector, or name files with clientCertificate, privateKey and caCertificates.
WF1542 a gateway's server has nothing to carry connections to
  Bind a VirtualService with tcp rules for the server's hosts and port to the Gateway. The port stays closed until then.
WF1543 a part of a gateway's TLS settings is not used
  The message says which, and what is done instead; nothing is less strict for it.
WF1544 a Sidecar's ingress listener would dial itself
  Write defaultEndpoint with the address of the application. The listener is left out until then.
WF1545 a Sidecar's ingress.tls is not used
  The mesh's own TLS is on for the port. PeerAuthentication with DISABLE for it gives the port to ingress.tls.

WF1550 a patch of an EnvoyFilter changes nothing
  No proxy that is connected has what its match names. Compare it with the listeners, clusters and routes that weft proxy-config shows.
WF1551 a patch of an EnvoyFilter is not made
  The message says why: its value is no message of that kind, the proxy lacks the extension, or the name is taken. Everything else is made.

WF2001 the demo's control plane did not start
  Its last lines are in the message. Run \`weft cp\` alone to see all of them.
WF2002 the data folder cannot be used
  Give a folder this user may write to with --data.
WF2003 there is no readable configuration at the path
  Give a folder or file that exists with --config, or leave the flag out and configure over the API.
WF2010 the control plane cannot listen on an address
  Stop what listens there, or choose another with the flag that the message names; port 0 takes a free one.
WF2030 the registry's database cannot be opened
  Check the folder's permissions. A damaged file may be moved away: the registry then begins empty.
WF2031 another control plane has the data folder
  Two would issue certificates and answer from one registry without knowing of each other. Stop one, or give each its own --data.
WF2101 there is no registry of the kind
  A --registry or --register-into URL begins with the kind of registry; the message lists those there are.
WF2102 a registry's URL is wrong
  Write SCHEME://HOST:PORT[,HOST:PORT]/PATH?OPTION=VALUE, as the message says. Users and passwords go into a file that --registry-credentials names.
WF2103 a registry's credentials cannot be used
  The file, or WEFT_REGISTRY_CREDENTIALS_NAME, holds one line USER:PASSWORD; --registry-credentials is NAME=FILE with the name that weft registry sources shows.
WF2110 a registry is out of reach
  Its last view stays in force, however old it grows; weft registry sources shows its age and why. It is dialled again by itself.
WF2111 instances seem gone from their registry
  They are missing from its list after a reconnect, or expired with more than half of their service within 30 s (of what registers at weft itself: within one ttlSeconds). The registry may be wrong, so they are used where nothing else is for 5 minutes, and are then gone. An instance that registers again is back at once.
WF2112 a record of a registry cannot be read
  The message names its key and what is wrong; the others hold, and so does an earlier good record of that key. Correct or delete it there.
WF2113 a service of a registry has no name in the mesh
  Names become lower case with dashes for what DNS does not have. A name must have 1 to 63 characters then, and be that of one service only: rename one of them.
WF2114 a registry has more instances than are used
  A service has at most 10,000 and a registry 200,000; those whose keys come first are used. Split the service.
WF2115 the last good view of a registry is not kept or not used
  A damaged file is ignored and written anew; a full disk stops nothing but the writing. Make room, or correct the permissions of registries/ in the data folder.
WF2116 instances of a service disagree on a port
  The protocol of the instance whose key comes first holds. Register them alike.
WF2117 instances come and go too often
  One that was taken out three times within a minute is used again after it has stood for 10 s, or at once where its service has nothing else.
WF2118 instances of a service have one address
  One application registered twice, so that it is called as often as two. Take out the record that is left over.
WF2120 a registry cannot be written to
  What --register-into wrote there stands until its time ends, 30 s after it was renewed last; the mesh itself is not concerned. It is tried again by itself, and then everything is written again. The message says why.
WF2121 a registry does not take an instance
  The message names the instance and what the registry says; the others are written. It is tried again with each renewal, every 10 s. Correct the instance, or what the registry allows; of two services that would have one name there, rename one.
WF2122 more instances register here than are written into one registry
  It gets at most 20,000. Say which namespaces it is to get with of-namespaces= in the URL.
WF2140 Nacos is asked over HTTP, not by gRPC
  Changes are seen only as often as it is asked. Open its gRPC port, the HTTP port plus 1,000 or grpc-port= in the URL, or write transport=http.
WF2151 a Kubernetes cluster cannot be asked as the flags say
  The message says what the kubeconfig, its files or the pod's service account lack. kubectl config view shows what a kubeconfig says.
WF2152 a credential program gave no credentials
  It is named by the kubeconfig, and must print an ExecCredential within 30 s without asking anybody. Run it by hand.
WF2153 a kind may not be read from a cluster
  The account lacks get, list and watch for it. Everything else is read; it is tried again each minute. Grant it, or do without that kind.
WF2154 an object of a cluster cannot be used
  The message names it and what is wrong. It stays as it last was, and the others are unharmed. Correct it in the cluster.
WF2155 addresses wait for their pods
  A slice came before its pod. After 10 s its addresses are used without the pod's labels and identity, and so without mTLS, until the pod comes.
WF2156 an object of a cluster has no effect
  A change over the API goes before files, files before clusters, and clusters before those named after them. Delete the other one.
WF2157 objects are missing from a cluster's list
  Nobody deleted them while weft looked: the API server may have an older state. Endpoints stay as a last resort, all else as it was, for 5 minutes at most. What is deleted there is believed at once.
WF2158 a cluster's API server is out of reach
  All that was read stays in force, however old it grows; weft registry sources shows its age and why. It is asked again by itself.
WF2159 the last good view of a cluster is not kept or not used
  A damaged file is ignored and written anew; a full disk stops nothing but the writing. Make room, or correct the permissions of registries/ in the data folder.
WF2160 gateways need keys in more namespaces than are read
  Secrets are read in the first 64 of them by name. Put gateways into fewer namespaces, or give their keys as files.
WF2170 a pod cannot be injected as it is written
  The message says what its shape lacks, and the place is in the file. Nothing is printed for the whole file, so that no half of it is applied.
WF2171 an annotation for the sidecar has a value that cannot be used
  The message says what is wanted. The pod is refused, as a sidecar that is not as asked would be found out later.
WF2172 an annotation for the sidecar is unknown
  Its group is Istio's for injection, its name is not; look for a slip. The pod is injected without it.
WF2173 an annotation or a value has no effect on weft's sidecars
  The message says why, and what to write instead where there is something. The pod is injected without it.
WF2174 the injector's values cannot be used
  The ConfigMap istio-sidecar-injector has them under values, as YAML or JSON. A control plane keeps the values it had.
WF2175 a probe is left as it is
  The kubelet asks through the mesh then. Name the port among the container's ports, or write its number.
WF2176 a value of the installation is wrong
  weft install --list-values shows each value with its default and what it is for.
WF2177 nothing was installed
  The message says what was refused and by whom. What was applied before it stays, and applying again is harmless.
WF2178 the chart cannot be written
  Choose another folder. Files of the chart are written over, others are left alone.
WF2179 the control planes share no certificate authority
  Start etcd, put a random key of 32 bytes or more into the Secret weft-store under key, and set store to etcd://HOST:PORT/PREFIX.
WF2180 the probes of a pod cannot be read
  Injection writes them into the sidecar's environment. Inject the pod anew, and do not change ISTIO_KUBE_APP_PROBERS.
WF2181 the sidecar of a pod was not ready in time
  The application starts only after it. See the log of the container istio-proxy, and whether it reaches the control plane.
WF2182 the sidecar of a pod cannot be drained
  It ended already, or its admin interface is elsewhere: give --admin-port. Its connections end when it does.
WF2183 Kubernetes does not say whose a token is
  The caller gets no certificate and asks again. The control plane's account needs create on tokenreviews; weft install grants it.
WF2186 the lease of those who write to Kubernetes cannot be asked for
  This control plane serves, and writes nothing until it can. Check the API server, and that the service account may get, create and update leases.
WF2187 an admission review cannot be read
  The API server is answered 400 or 404. Webhooks must ask with admission.k8s.io/v1, at /inject, /inject/cluster/NAME/net/NAME or /validate.
WF2188 an object was refused by the validation webhook
  Whoever wrote it was told the code and the field. Correct the object.
WF2189 a pod was refused by the injection webhook
  Its annotations or containers cannot be had with a sidecar; the message says which. Correct the pod, or label it sidecar.istio.io/inject: "false".
WF2190 a webhook configuration cannot be kept
  It may name an old root, and then API servers cannot ask. Check that the service account may get and patch it, and create Gateways in its namespace.
WF2191 the status of a kind may not be written
  It is tried again every five minutes. Let the service account patch the status of that kind.
WF2192 a round of writing status failed
  The next one comes in a second. The message says what is wrong inside weft; please report it.
WF2193 what pods are injected with cannot be read
  What was read last holds, or the defaults. Check that the service account may get the ConfigMap istio-sidecar-injector and list nodes.
WF2194 the mesh's root cannot be written into a namespace
  Pods there wait for the ConfigMap istio-ca-root-cert. Check that the service account may create, get and patch ConfigMaps of that name.
WF2200 a store that control planes share cannot be used
  --store takes etcd://HOST:PORT[,HOST:PORT]/PREFIX, with the options of an etcd registry; credentials come by --store-credentials FILE.
WF2201 the shared store cannot be reached at the start
  There is no last good view in the data folder to start from. Check --store, its credentials and that etcd runs, and start again.
WF2202 the shared store cannot take changes now
  etcd is away, or this replica is cut off from it. Reading, certificates and traffic go on from the last good view; registrations, changes and tokens with a count are answered 503. Ask another replica, or try again.
WF2203 the shared store's key is missing or too short
  Make one with openssl rand -base64 32 > FILE, and start every replica with the same --store-key FILE.
WF2204 what is sealed in the shared store cannot be opened
  This replica has another --store-key than the one that sealed it. Give every replica the same file.
WF2205 the shared store is another mesh's, or was emptied
  It has no root, or another one, than this replica knows, so the last good view stays in force and nothing is written. Restore etcd from a copy; for a new mesh give a new data folder.
WF2206 the last good view of the shared store is not written
  The data folder is full or not writable. Nothing else stops; only a start without etcd would find an older view.
WF2207 a replica's own CA is not renewed
  The message says why. The present one goes on for as long as it lasts; look at --store-key and the shared store.
WF2208 a change in the shared store cannot be read
  It is left out on this replica. Was it written by a newer version, or under another --store-key? Apply the object again.
WF2209 registrations ran out while no control plane was there
  Leases run in the shared store, but nobody could renew them. They stay in force and get their whole time again; who is gone goes after that.
WF2210 no control plane can be reached to join
  The message says what each address answered. --cp is the secure address (15012), reachable from this machine.
WF2211 the control plane shows another root than was pinned
  Compare the fingerprint with the one that weft token create shows: else this is another mesh, or somebody in between.
WF2212 the control plane gives no certificate to a machine that joins
  The token is used up, expired, revoked, or made for another name or namespace. Make one with weft token create.
WF2213 a machine's files cannot be written
  Run weft join as root, or give --dir and --unit-dir that you may write to. The message says whether the token is still good.

WF2230 the control plane did not say in time where a host leads
  In a large mesh the sidecar asks for a service when it is called for the first time, and waited 5 s in vain. Look at weft proxy-status and at the control plane; services that were called before are not affected. With weft cp --on-demand-above off sidecars are given all services beforehand.
WF2231 too many requests wait for services that were not called before
  More than 1,024 requests of one sidecar wait for the control plane's answer. It is slow or away, or a client invents hosts: see http.vhds.on_demand_asked in the sidecar's /stats.
WF2260 the registry cannot keep a change
  The disk of the data folder refuses the write, as when it is full. Nothing of the change was made and all that is registered serves on; instances that are not renewed still go in time. Make room: the next registration is taken.
WF2261 a registration that was kept is damaged
  The record in registry.sqlite is left out, the others hold. An instance with a time to live registers again by itself; register others anew.
WF2262 the registry's database has gone back
  It lacks changes that it had: it was damaged or replaced by an older copy. Instances with a time to live register again by themselves; register others anew.
WF2263 an object in a folder of services is none of a registry
  A folder of --registry file:///FOLDER gives Service, EndpointSlice, Endpoints, ServiceEntry and WorkloadEntry. Move other objects into the folder of --config.
WF2270 the shared store has gone back to an older state
  A copy of another day was put in place of its data. What this replica knows is newer and stays in force. One line says so when it is found, with how much the store lacks and how much came back that was taken out; the next says how much was written back, and what others had written meanwhile, which counts. Then it is said what became of what came back (WF2285, WF2286). Tokens are as in the copy: revoke anew what you revoked since.
WF2271 the shared store has gone back and takes nothing back yet
  What it lacks stays in force here and is tried again every two seconds, and by the next connection. The message says why: etcd is out of room, or may not be written to. Until then leave this replica's data folder as it is.
WF2280 what another control plane tells of its proxies cannot be read
  Its record under proxies/ of the shared store is damaged, too large or of another version of weft. Its proxies are missing in the counts of status and weft proxy-status until it is written anew; nothing else depends on it.
WF2281 another control plane tells nothing of its proxies
  It is there, and wrote nothing of its proxies for more than two minutes: it is older than these counts, or may not write to the store, as where etcd is out of room. Its proxies are missing in the counts.
WF2282 another control plane has proxies of more kinds than are told apart
  Proxies are told apart by namespace and the labels that objects select by, 1,000 kinds for each control plane. The status of objects says how many are left out; select by fewer labels, or by labels with fewer values.
WF2285 what came back with an older store is taken out again
  A replica saw these records being taken out before etcd went back to an older state, and nobody has written them anew. The line names the first ten. Whoever still wants one registers or applies it again.
WF2286 what came back with an older store stays
  These records were taken out before etcd went back, but a replica that may know better has not come back within ten minutes, or others are in the way. The line names the first ten: take them out anew, or leave them.
WF2290 a registry has more than is read of it
  What is over the bound is left out as if it were not there; what was known before stays. weft registry sources and weft_registry_left_out say how much, the message where. Delete what is not used, or give a part of it a place (prefix, path, namespace, group) that another --registry names.
WF2500 an answer of the HTTP API failed
  It is a fault in weft; the server's log has the details. Report it with them.

WF3001 a proxy's node id cannot be read
  Write it as TYPE~IP~WORKLOAD.NAMESPACE~DOMAIN, with sidecar or router as type. gRPC clients may use any id.
WF3002 a proxy's node metadata has the wrong shape
  Correct the member that the message names; the proxy is refused until then.
WF3011 a gRPC client cannot redirect or answer by itself
  The route is left out for proxyless gRPC. Proxies have it.
WF3012 a gRPC client lacks the load balancing asked for
  It uses ROUND_ROBIN instead. Proxies have what the DestinationRule says.
WF3013 a gRPC client does not count consecutive errors
  outlierDetection has no effect on proxyless gRPC. Proxies eject as configured.
WF3014 a gRPC client cannot do the TLS asked for
  It connects in plaintext. Put a sidecar beside the client where the server demands TLS.
WF3020 configuration is larger than its client takes in one message
  The client keeps what it last took. Show it less (fewer hosts, smaller routes), or let it use the incremental protocol.
WF3021 a stream says nothing
  A discovery or load reporting stream must begin with a request that names its node within 15 s.
WF3100 a bootstrap or resource file is not YAML
  Correct it at the place in the message.
WF3101 a bootstrap cannot be followed
  A field is unknown, has the wrong type, or asks for what weft does not have. Correct it at the place in the message.
WF3102 a static resource of the bootstrap is refused
  The sidecar does not start with part of what was asked. Change or remove what the message names.
WF3103 a resource is refused
  It stays as it was, and its sender is told (NACK). weft proxy-status shows which proxy refused what.
WF3104 there is no such bootstrap file
  Check the path given with --bootstrap.
WF3105 a static listener cannot be bound
  Free the port or choose another in the bootstrap.
WF3110 a part of the bootstrap is ignored
  The message says why. Nothing needs doing unless the part matters to you.
WF3111 fewer workers serve than --concurrency asks for
  Several workers need Linux, where threads can share a port; more than 64 are not started.
WF3112 DNS would be answered beyond loopback
  Whoever can ask could have answers sent to anybody. Give an address of 127.0.0.0/8 or ::1.
WF3113 the address for DNS cannot be had
  It is tried for again every second. Free the port, or give weft sidecar --dns another and weft intercept --dns-port the same.
WF3120 a file of resources does not fit
  The last good content stays in force. Correct the file at the place in the message.
WF3121 a file of resources cannot be read
  The last good content stays in force. Check the path and who may read it.
WF3301 a discovery response cannot be read
  The stream is ended and opened anew. Check that the address is an xDS server of API v3.
WF3302 a discovery stream ended
  What was received stays in force; the sidecar connects again with growing pauses. Check the control plane.
WF3303 a resource is to come from a cluster that is not static
  Name a cluster of the bootstrap in its config source, or use ads.
WF3304 the last good resources cannot be written
  The sidecar runs on and tries again; what is on disk stays. Until then a restart without control plane would find what was before. Check the disk under --data.
WF3305 the last good resources are not used
  The files are of another node, or cannot be read; the message says which. The sidecar waits for its control plane.
WF3306 no control plane answers, so the last good resources serve
  Traffic goes on with the configuration of before. Check the control plane.
WF3307 resources were not renewed in time
  Their lifetime, given by the control plane, ended; they are treated as removed. Check that the control plane is there.
WF3308 a load reporting server's answer cannot be read
  The stream is ended and opened again. Check that the server speaks the load reporting service, version 3.
WF3309 the control plane sends a field that the sidecar does not know
  It has no effect. Said once for each field, by its message and number; server.dynamic_unknown_fields counts all. Use a newer weft if it matters.
WF3310 a request to the admin interface is refused
  Use an address or localhost as host: a name could be made to resolve here by somebody else's page.
WF3320 files of the discovery cache are damaged
  What is whole is used, what is lost is named and comes from the control plane; nothing needs doing. If it happens again, check the disk under --data.
WF3321 the discovery cache is full
  What is named is not kept on disk and would be missing after a restart without control plane. Give more with --discovery-cache-disk.
WF3322 another process writes the same discovery cache
  This one serves and reads it, and writes again when the other is gone. After a takeover that is as it should be; else give each sidecar a --data folder of its own.
WF3323 resources that others need are not in the discovery cache
  No control plane answers, and what is named is lost: clusters without their endpoints and hosts without their route tables answer 503, listeners without their keys are left out, until it comes. The rest serves.

WF4001 a proxy's certificate is missing or does not fit its node
  The node's NAMESPACE and SERVICE_ACCOUNT must be those of its certificate, in this trust domain.
WF4002 the status of proxies is not for this client
  Ask from the control plane's machine, with a certificate of this mesh, or with the admin token over TLS.
WF4010 a condition of an AuthorizationPolicy is not known
  The rule never holds, so an ALLOW allows nothing by it and a DENY denies nothing. Correct the key.
WF4011 a CUSTOM policy has no provider
  Requests it selects are denied. Write it as ALLOW or DENY.
WF4012 AUDIT policies are not recorded yet
  The policy has no effect.
`;
