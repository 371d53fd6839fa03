/** Codes and their meanings, the later half: a line with code and title, then an indented line that says what to do. */
export const codesFrom5000 = `
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
WF5065 what pods are injected with is not read from the cluster yet
  The pod's controller makes it again. If it lasts, the control plane's log says why (WF2193).
WF5066 the unit of a machine that joined would not start
  Make the user it runs as, and put weft and Node where that user may read them; then start it.
WF5067 an application collides with its proxy
  Run it as another user than 1337, and let it listen on other ports than 15000, 15001, 15006, 15020, 15021 and 15090.
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
WF9052 a real server could not be built for the system tests
  Its name is in the message. It needs Go and a Go module proxy, once. Run its file under e2e/peers/ to see what is wrong.
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
