/** Host names as configuration writes them: short names, wildcards, and who may see what. */

/** Completes a short name (`reviews`) to the namespace's domain; names with a dot, `*` and addresses stay. */
export const resolveHost = (host: string, namespace: string, domain: string): string =>
  host.includes(".") || host.includes(":") || host === "*" ? host : `${host}.${namespace}.svc.${domain}`;

/** Does `pattern` (exact, `*`, or `*.suffix`) cover `host`, which may itself be a wildcard? */
export const hostMatches = (pattern: string, host: string): boolean => {
  if (pattern === host || pattern === "*") return true;
  return pattern.startsWith("*") && host.length > pattern.length - 1 && host.endsWith(pattern.slice(1));
};

/** The narrower of two hosts when either covers the other, as a gateway and a VirtualService combine; else `undefined`. */
export const intersectHosts = (a: string, b: string): string | undefined =>
  hostMatches(a, b) ? b : hostMatches(b, a) ? a : undefined;

/** Orders the most specific first: exact names, then longer wildcards, then shorter ones. */
export const compareSpecificity = (a: string, b: string): number => {
  const [wildA, wildB] = [a.startsWith("*"), b.startsWith("*")];
  if (wildA !== wildB) return wildA ? 1 : -1;
  return wildA ? b.length - a.length : 0;
};

/** Is an object of `owner` with this `exportTo` visible in `namespace`? Absent and empty mean everywhere. */
export const visibleIn = (exportTo: readonly string[] | undefined, owner: string, namespace: string): boolean =>
  !exportTo?.length ||
  exportTo.some((scope) => scope === "*" || scope === namespace || (scope === "." && owner === namespace));

/** The names by which a client in `namespace` may call a service of that fully qualified name, the longest first. */
export const namesOf = (
  hostname: string,
  client: { readonly namespace: string; readonly domain: string },
): readonly string[] => {
  const suffix = `.svc.${client.domain}`;
  if (!hostname.endsWith(suffix) || hostname.startsWith("*")) return [hostname];
  const [name, namespace, ...more] = hostname.slice(0, -suffix.length).split(".");
  if (!name || !namespace || more.length > 0) return [hostname];
  const names = [hostname, `${name}.${namespace}`, `${name}.${namespace}.svc`];
  return namespace === client.namespace ? [hostname, name, ...names.slice(1)] : names;
};
