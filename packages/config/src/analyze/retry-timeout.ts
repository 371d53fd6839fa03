import { formatDuration, parseGoDuration } from "@weft/core/duration";
import type { HttpRoute } from "../kinds/virtual-service.ts";
import type { Analyzer } from "./analyzer.ts";

/** A route's retries cannot happen within its timeout. */
export const retryTimeout: Analyzer = {
  code: "WF1113",
  level: "warning",
  also: [],
  title: "retries do not fit in the timeout",
  explain: `The route's \`timeout\` bounds all tries together, and \`perTryTimeout\` one of them. If one try may
last as long as all, a slow first try leaves no time for another, so the retries promised never happen
for timeouts. If the tries together exceed the timeout, the last of them are cut off. A fixed delay
injected by \`fault\` counts too.`,
  run: ({ of }) =>
    of("VirtualService").flatMap((object) =>
      (object.spec.http ?? []).flatMap((route, index) => {
        const problem = contradiction(route);
        return problem === undefined
          ? []
          : [{ object, path: ["spec", "http", index, ...problem.path], message: problem.message }];
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: quotes}
spec:
  hosts: [quotes]
  http:
  - timeout: 2s
    retries: {attempts: 3, perTryTimeout: 2s}
    route: [{destination: {host: quotes}}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: quotes}
spec:
  hosts: [quotes]
  http:
  - timeout: 2s
    retries: {attempts: 3, perTryTimeout: 500ms}
    route: [{destination: {host: quotes}}]
`,
  },
};

interface Contradiction {
  readonly path: readonly string[];
  readonly message: string;
}

const contradiction = ({ timeout, retries, fault }: HttpRoute): Contradiction | undefined => {
  const whole = parseGoDuration(timeout ?? "0") ?? 0;
  if (whole === 0) return undefined;
  const delay = parseGoDuration(fault?.delay?.fixedDelay ?? "0") ?? 0;
  if (delay >= whole) {
    const message =
      `the injected delay ${formatDuration(delay)} is not within the timeout ` +
      `${formatDuration(whole)}: every delayed request fails`;
    return { path: ["fault", "delay", "fixedDelay"], message };
  }
  const { attempts = 0, perTryTimeout } = retries ?? {};
  const one = parseGoDuration(perTryTimeout ?? "0") ?? 0;
  if (attempts === 0 || one === 0) return undefined;
  const path = ["retries", "perTryTimeout"];
  const shown = `perTryTimeout ${formatDuration(one)}`;
  if (one >= whole) {
    const fit = formatDuration(Math.floor(whole / (attempts + 1)));
    const message =
      `${shown} is not below the timeout ${formatDuration(whole)}, so a slow try is never ` +
      `repeated: lower it to ${fit} or raise the timeout`;
    return { path, message };
  }
  const all = one * (attempts + 1);
  if (all <= whole) return undefined;
  const message =
    `${attempts + 1} tries of ${shown} need ${formatDuration(all)}, more than the timeout ` +
    `${formatDuration(whole)}: the last are cut off`;
  return { path, message };
};
