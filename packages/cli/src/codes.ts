/** What the codes outside configuration mean; those of configuration are in `@weft/config/analyze/explain`. */

export interface CodeMeaning {
  readonly code: string;
  readonly title: string;
  /** What happens because of it, and what to do. */
  readonly explain: string;
}

/** By area: a line with code and title, then an indented line that says what to do. */
const table = `
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
  The sidecar runs on, but would have nothing after a restart without control plane. Check --data.
WF3305 the last good resources are not used
  The file is of another node or damaged; the message says which. The sidecar waits for its control plane.
WF3306 no control plane answers, so the last good resources serve
  Traffic goes on with the configuration of before. Check the control plane.
WF3307 resources were not renewed in time
  Their lifetime, given by the control plane, ended; they are treated as removed. Check that the control plane is there.
WF3308 a load reporting server's answer cannot be read
  The stream is ended and opened again. Check that the server speaks the load reporting service, version 3.
WF3310 a request to the admin interface is refused
  Use an address or localhost as host: a name could be made to resolve here by somebody else's page.

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

WF5001 a listener's port is in use
  Stop what listens there or choose another port.
WF5002 a listener's address is not this machine's
  Choose 0.0.0.0, 127.0.0.1 or an address that an interface has.
WF5003 a listener's port needs a privilege
  Choose a port above 1023, or give the process CAP_NET_BIND_SERVICE.
WF5004 a listener cannot be bound
  The system's reason is in the message.
WF5005 a listener may not take connections to other addresses
  Give the sidecar CAP_NET_ADMIN, or intercept with --mode redirect.
WF5006 listening sockets could not be passed from one process to another
  The reason is in the message. Both processes must be of one user and version, on Linux.
WF5007 there is no process to take over from
  Nobody offers sockets at the path, or who did has ended: the sidecar starts as usual. Give both the same --data folder.
WF5008 a process that takes over was not ready in time
  The process that runs goes on serving. The log of the new one says what it waited for.
WF5009 a takeover did not come about
  The process that asked failed, went, or was not ready in time. This one serves on, and the next may ask.
WF5010 no service declares the gRPC service that was called
  Set the instance metadata grpc-services (weft run --grpc-services), or send the service's name as authority.
WF5011 several services declare the gRPC service that was called
  Dial one of them by name, or route it with a VirtualService.
WF5012 the request's Host names the sidecar, not a service
  Send the name of a service as Host: curl -H 'Host: catalog' …
WF5013 the mesh knows no service of the request's name
  Declare the host with a ServiceEntry, or call it without the proxy.
WF5014 the request names a service with a port that it does not have
  Leave the port out of the Host, or look the service's ports up with weft registry.
WF5020 a resource could not be compiled for a reason weft did not foresee
  The resource is refused and the rest stands. It is a fault in weft: report it with the log line.
WF5021 a worker refused a resource that the main thread had taken
  No worker uses it; the former one serves. It is a fault in weft, or a file it names changed: send it again.
WF5022 a worker thread died, its connections with it
  Another takes its place. Look at the detail: memory that ran out wants a higher limit, anything else is a fault in weft.
WF5023 a worker thread died too often
  The sidecar ends with exit code 1, for whoever started it to start it anew. Report the detail in the log line.
WF5024 there are more clusters, hosts or rate limits than workers can count together
  Limits and ejections of the further ones hold for each worker by itself. Run with --concurrency 1 if that is too loose.
WF5030 connections were lent to requests and never given back
  They are taken back and counted (upstream_cx_lease_lost). It is a fault in weft: report it with the log line.
WF5031 connections have been lent for an hour without carrying a byte
  They are left alone and counted (upstream_cx_lease_quiet). Set a stream idle timeout if they should end.
WF5032 an HTTP/2 client was disconnected for too much of one thing
  Look at who it is. Counted under http2. and in downstream_rq_too_many_premature_resets; a line at most every 10 s.
WF5040 the server's proxy takes no such connection
  Its port is STRICT and the client sends plaintext, or nothing listens there. Give the client a sidecar, or set PeerAuthentication to PERMISSIVE; look at tls in its DestinationRule.
WF5041 an AuthorizationPolicy denies the request
  The message names the policy and its rule; with none, no rule of any ALLOW policy takes the request. Compare its from, to and when with the request that weft why shows.
WF5042 no route takes the request
  Look at the rules that weft why says nearly matched, and at the Host: a VirtualService's hosts must have it.
WF5043 a route leads to a cluster that is not there
  The destination's host, port or subset is unknown to the client. Declare the subset in a DestinationRule, or mend the name.
WF5044 no host of the cluster can be used
  It has no endpoints, its subset selects none, or all are unhealthy or ejected: weft registry SERVICE, and the notes of weft why.
WF5045 a fault is injected
  The rule's fault.abort answers in place of the server. Take it out of the VirtualService, or lower its percentage.
WF5050 the proxy is overloaded
  It answers 503 itself, without asking anyone, until memory or time are there again. Give it more, or send less; overload. counters of /stats say of what.
WF5051 a share of the cluster's requests is dropped
  Its endpoints came with drop_overloads. The control plane that sends them says why.
WF5052 an endpoint takes no connection
  It is not listening, or speaks no TLS where TLS is expected. The access log's UPSTREAM_TRANSPORT_FAILURE_REASON has the cause.
WF5053 connecting to an endpoint took too long
  Look at the network between the two and at the endpoint's backlog; connectionPool.tcp.connectTimeout is the bound.
WF5054 an endpoint closed the connection before it answered
  It died, or closed an idle connection as the request was on its way. Such requests are sent again where that is safe: write retries for more.
WF5055 an endpoint reset the request
  The server refused or cancelled it: its own log says why.
WF5056 a limit of the connection pool is reached
  The DestinationRule that the reason names bounds connections or requests that wait: connectionPool. Raise it, or add endpoints.
WF5057 an endpoint broke the protocol
  What it sent is no valid HTTP, or not the version expected. Look at the port's appProtocol or name.
WF5058 a timeout of the route is over
  The VirtualService's timeout or perTryTimeout, or one that the caller asked for. Raise it, or make the server faster.
WF5059 nothing was sent for too long
  The stream idle timeout ended the request. Raise it for requests that wait long, such as long polls.
WF5060 a rate limit is reached
  The reason names the LocalRateLimit. Raise its bucket, or send less.
WF5061 the request took longer than it may
  A bound on requests or streams as a whole ended it, not one on the server's answer.
WF5062 the request is larger than what is kept of it
  Requests are kept while they may have to be sent again, up to the connection's buffer limit. Raise that, or switch retries off for the route.
WF5063 the route takes no such upgrade
  WebSocket is taken, and CONNECT where a service is dialled through the proxy; others need upgrade_configs.
WF5064 the workload has as many requests as it answers well
  MeshDefaults.adaptiveConcurrency holds its limit. Add instances; minLimit and tolerance set how soon requests are turned away.
WF5900 an error nobody caught
  The process goes on unless it happens often. It is a fault in weft: report it with the log line.

WF6001 a value of the interception is not valid
  weft intercept plan --help says what each flag takes.
WF6002 a list of the interception is too long
  Use ranges or fewer entries.
WF6003 the tables of the kernel cannot be read
  Install iptables; run as root or with CAP_NET_ADMIN; pass --no-ipv6 where the kernel has none.
WF6004 the kernel refused the rules
  Nothing was changed. weft intercept plan shows what was to be done; run as root.
WF6005 a rule in place is not the planned one
  weft intercept apply with the same flags puts it right.
WF6006 a route, rule or address of the interception cannot be set
  Run as root with iproute2 installed; pass --no-ipv6 where the kernel has none.

WF7001 a workload has no certificate yet
  The sidecar keeps asking; the message says why it got none. Check the control plane's address and the join token.
WF7002 a certificate has expired or soon will
  Renewal fails; the message says why. Check the control plane, the clocks and, after a long pause, the join token.
WF7003 the stored certificate cannot be used or stored
  The sidecar asks for a new one. Check the folder given with --data.
WF7004 the certificate that the CA gave cannot be used
  It does not fit the key or the identity asked for. Check that --root-cert is of this control plane.
WF7005 key files cannot be written
  Check the folder given with --cert-dir.
WF7006 a proxy rejected its certificate
  Envoy's reason is in the message. Check its version and the clock of the machine.
WF7010 STRICT cannot be kept for a proxy without keys
  Its ports take plaintext. Run weft agent beside it and name the SDS cluster in node metadata WEFT_SDS.
WF7011 a gateway's server or a Sidecar's port has no keys
  It is left out, the others serve. Put the Secret that credentialName names into the gateway's own namespace, with tls.crt and tls.key (and ca.crt for MUTUAL), or name files that the gateway can read.
WF7101 a request for a certificate shows no workload
  Give a join token (--token-file), or a certificate of this mesh that names a workload.
WF7110 the join token is not taken
  It is unknown, expired or used up. Make another with weft token.
WF7111 the identity asked for is not allowed
  A token or certificate allows only its own namespace, service account and trust domain. Ask for those.
WF7112 a request for a certificate names no single identity
  Name one SPIFFE identity, spiffe://DOMAIN/ns/NAMESPACE/sa/NAME, in it or in the join token.
WF7113 a certificate request cannot be read
  Send a PKCS #10 request with a key on P-256 or P-384, or an RSA key of 2048 to 4096 bits.
WF7114 too many certificates are being asked for
  The asker tries again by itself. Look for a workload that restarts over and over.
WF7115 a join token's life or uses are out of range
  Give a life of up to 366 days and at least one use.
WF7116 there are too many join tokens
  Revoke some (DELETE /v1/tokens/ID), or let them expire.
WF7117 a join token is not made for the system's own identity
  Identities of the root namespace and of the service account istiod need a token that names the namespace and the service account.
WF7120 the CA's folder cannot be read
  Restore it from a copy. A new root would lock out every running sidecar.
WF7121 the mesh's root certificate has expired
  Remove its key and certificate for a new root, and restart every sidecar with the new root-cert.pem.

WF8001 an instance's field is not valid
  Correct the field in the message.
WF8002 the registry is full or an instance has too much
  Take out instances that are gone, or send less.
WF8003 the instance is not registered
  Its life ran out, or it was taken out. Register it again with PUT.
WF8004 the instance has changed meanwhile
  Read it again, then send its version as If-Match.
WF8005 the changes asked for are not kept any more
  Watch again without since; the answer begins with all there is.
WF8010 an object is deleted that a file still has
  It is hidden, and comes back when its text in the file changes. Take it out of the file too.
WF8020 two registries differ about a service
  The message says in what and which one holds. Make them agree, or rename one service.
WF8400 a request to the HTTP API cannot be understood
  The message says which part. docs/reference.md lists what each path takes.
WF8401 the admin token is missing or wrong
  Send Authorization: Bearer with the text of the file admin-token in the control plane's data folder.
WF8403 the request is for another host or from another page
  Use 127.0.0.1 or localhost, or name the host with weft cp --http-host.
WF8404 there is nothing at the path
  Check the name; docs/reference.md lists the paths.
WF8405 the path does not take the method
  The answer's Allow header lists those it takes.
WF8409 a name means several services
  Add ?namespace=.
WF8413 the request's body is too large
  Send it in parts.
WF8507 a change to configuration cannot be stored
  Nothing of it was taken. Make room in the control plane's data folder, or make it writable, and try again.
WF8508 a change that does not hold any more is still stored
  It could not be removed from the data folder, and would be read again after a restart. Check the folder, then apply anew.

WF9001 npm is not there
  Install Node.js 20 or later, which brings it.
WF9002 npm ci failed
  Its output is above. Check the network and the disk, then run the command again.
WF9003 no Node.js that weft runs on
  None comes from npm for this platform. Install Node.js 24 or later.
WF9010 there is no such test suite
  There are unit and system.
WF9011 no test file matches
  The words narrow the run by path; leave them out to run all.
WF9012 the tests were ended by a signal
  Run them again; memory may have run out.
WF9013 the check failed
  The lines above say where.
WF9020 a flag or value is not one the command takes
  Add --help to see what it takes.
WF9021 the admin token cannot be read
  Give --token-file with the control plane's DATA/admin-token.
WF9022 an argument is missing or not valid
  The message says what is wanted.
WF9023 there is no object of that kind and name
  weft get KIND lists those there are.
WF9024 nothing is known of the code
  weft explain lists every code.
WF9025 no connected proxy has that name
  weft proxy-status lists those there are.
WF9026 a name means several proxies
  Name one in full, as weft proxy-status shows it.
WF9027 the proxy has no admin interface
  Leave --admin out, or start the proxy with one.
WF9028 the proxy's admin interface does not answer
  Run the command on the proxy's machine, or leave --admin out.
WF9029 a file cannot be read
  Check the path.
WF9030 the control plane does not answer
  Start one with npm start or weft cp, or name it with --cp H:P.
WF9031 the control plane refused without a reason
  Check that --cp is a weft control plane's HTTP address.
WF9032 the control plane's answer is too large
  Ask for less: one kind, one namespace, one service.
WF9033 the control plane did not answer in time
  It has the connection but says nothing. Look at its log and load, or restart it.
WF9034 no configuration object is in what was given
  Check the path; a folder's .yaml, .yml and .json files are read.
WF9035 the proxy refused what its admin interface was asked
  Its words say why. weft proxy-config log PROXY lists its loggers; weft sidecar --help names the levels.
WF9036 a proxy's configuration cannot be read
  weft why reads it as our sidecar would; the message says what in it our sidecar does not take. weft proxy-config shows it as it is.
WF9040 the sidecar was not ready in time
  Its last lines are in the message; weft check looks at the mesh.
WF9041 the sidecar ended before it was ready
  Its last lines are in the message; weft check looks at the mesh.
WF9042 no mesh runs on this machine
  Start one with npm start or weft cp, or give --secure, --root-cert and --join-token-file.
WF9043 the sidecar ended while the program runs
  Another is started in its place; until it is ready the program has no way into the mesh.
WF9044 the program cannot be started
  Check its path and who may run it.
WF9045 the program's port is taken
  Stop what listens there, or give --port another port.
WF9046 a file for the first certificate cannot be read
  Give --root-cert and --join-token-file with files of the control plane's data folder.
WF9047 a program's WorkloadGroup cannot be read
  Apply the WorkloadGroup in the program's namespace first, or leave --group out.
WF9050 programs for the system tests are missing
  Run as root so that they can be installed, or install them by hand.
WF9051 Envoy could not be installed
  Check that python3 with venv is there.
WF9060 there is no such bench
  The message lists those there are.
WF9061 a number of the bench is out of range
  Give one from 1 to 600.
WF9062 a load generator failed
  Its output is in the message.
WF9063 a peer of the bench could not be built
  Install Go 1.24 or later.
WF9070 a number of the leak run is out of range
  Give at least 1000 requests and 3 rounds.
`;

/** Every code outside configuration, in order. */
export const otherCodes: readonly CodeMeaning[] = table
  .trim()
  .split(/\n+(?=WF)/)
  .map((entry) => {
    const [head = "", ...lines] = entry.split("\n");
    return { code: head.slice(0, 6), title: head.slice(7), explain: lines.map((line) => line.trim()).join(" ") };
  });

/** Markdown about a code; `undefined` for one that is not here. */
export const explainOther = (code: string): string | undefined => {
  const found = otherCodes.find((meaning) => meaning.code === code.trim().toUpperCase());
  return found && `## ${found.code} ${found.title}\n\n${found.explain}\n`;
};
