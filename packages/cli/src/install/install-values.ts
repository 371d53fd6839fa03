/** The values of an installation: their defaults, what they mean, and how flags change them. */
import { defaultImage, defaultInjectorValues } from "@weft/config/inject/injector-values";
import { wantedOfResources } from "@weft/config/inject/pod-values";
import { nearest } from "@weft/config/schema/nearest";
import { WeftError } from "@weft/core/error";
import type { InstallValues, ValueName } from "./fill.ts";

export const defaultInstallValues: InstallValues = {
  namespace: "istio-system",
  createNamespace: true,
  revision: "default",
  replicas: 3,
  maxReplicas: 10,
  image: defaultImage,
  imagePullPolicy: "IfNotPresent",
  clusterId: defaultInjectorValues.clusterId,
  meshId: defaultInjectorValues.meshId,
  trustDomain: defaultInjectorValues.trustDomain,
  logLevel: "info",
  cpuRequest: "250m",
  memoryRequest: "512Mi",
  memoryLimit: "2Gi",
  priorityClass: "system-cluster-critical",
  store: "",
  storeSecret: "weft-store",
  storeCredentials: false,
  networkPolicy: false,
  injectByDefault: false,
  nativeSidecars: "auto",
  holdApplicationUntilProxyStarts: false,
  proxyCpuRequest: "100m",
  proxyMemoryRequest: "128Mi",
  proxyCpuLimit: "2000m",
  proxyMemoryLimit: "1024Mi",
};

/** What each value is for, as the chart's values.yaml and the documents say. */
export const valueMeanings: Readonly<Record<ValueName, string>> = {
  namespace: "namespace of the control plane",
  createNamespace: "also make the namespace",
  revision: "name of this control plane among several; default has no suffix",
  replicas: "control planes that always run",
  maxReplicas: "control planes under load",
  image: "image of the control plane and of every sidecar; its entry point is weft",
  imagePullPolicy: "when nodes pull it",
  clusterId: "name of this cluster in the mesh",
  meshId: "name of the mesh",
  trustDomain: "trust domain of all identities",
  logLevel: "log level of the control plane",
  cpuRequest: "CPU a control plane requests",
  memoryRequest: "memory a control plane requests",
  memoryLimit: "memory a control plane may use",
  priorityClass: "priority of control planes",
  store: "what control planes share, etcd://HOST:PORT/PREFIX: one certificate authority; empty: none",
  storeSecret: "Secret whose key `key` seals what is stored",
  storeCredentials: "the same Secret has USER:PASSWORD for the store under the key `credentials`",
  networkPolicy: "let nothing but the control plane's own ports be reached",
  injectByDefault: "inject every namespace that does not say otherwise",
  nativeSidecars: "sidecars are init containers that keep running: true, false, or auto (every node is 1.33 or newer)",
  holdApplicationUntilProxyStarts: "classic sidecars hold the application back until they are ready",
  proxyCpuRequest: "CPU a sidecar requests",
  proxyMemoryRequest: "memory a sidecar requests",
  proxyCpuLimit: "CPU a sidecar may use",
  proxyMemoryLimit: "memory a sidecar may use",
};

type Form = readonly [RegExp, string];
const label: Form = [/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, "small letters, digits and -"];
const word: Form = [/^[A-Za-z0-9][\w./:@-]{0,254}$/, "a name without spaces or quotes"];
const quantity: Form = [/^\d+(\.\d+)?(m|[KMGT]i?)?$/, "a quantity, such as 500m or 128Mi"];

/** What a value may be, where more than its type is asked. */
const forms: Readonly<Partial<Record<ValueName, Form>>> = {
  namespace: label,
  revision: label,
  storeSecret: label,
  priorityClass: label,
  image: word,
  clusterId: word,
  meshId: word,
  trustDomain: word,
  imagePullPolicy: [/^(Always|IfNotPresent|Never)$/, "Always, IfNotPresent or Never"],
  logLevel: [/^(debug|info|warn|error)$/, "debug, info, warn or error"],
  store: [/^(etcd:\/\/[A-Za-z0-9[\]_.:,/-]+)?$/, "etcd://HOST:PORT/PREFIX, without a password"],
  nativeSidecars: [/^(auto|true|false)$/, "auto, true or false"],
  cpuRequest: quantity,
  memoryRequest: quantity,
  memoryLimit: quantity,
  proxyCpuRequest: quantity,
  proxyMemoryRequest: quantity,
  proxyCpuLimit: quantity,
  proxyMemoryLimit: quantity,
};

const bad = (message: string, next: string): WeftError => new WeftError("WF2176", message, { next });
const isName = (name: string): name is ValueName => Object.hasOwn(defaultInstallValues, name);
const replicasMax = 100;

/** `--set NAME=VALUE` over the values before; several in one are parted by commas. WF2176 for what cannot be. */
export const setValues = (before: InstallValues, settings: readonly string[]): InstallValues => {
  const pairs = settings.flatMap((setting) => setting.split(/,(?=\w+=)/)).filter((pair) => pair !== "");
  const values: Record<string, unknown> = { ...before };
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    const name = pair.slice(0, Math.max(equals, 0));
    if (equals < 1) throw bad(`--set "${pair}" is not NAME=VALUE`, "--set replicas=1");
    if (!isName(name)) {
      const guess = nearest(name, Object.keys(defaultInstallValues));
      throw bad(
        `there is no value "${name}"${guess === undefined ? "" : ` — did you mean "${guess}"?`}`,
        "weft install --list-values",
      );
    }
    values[name] = readValue(name, pair.slice(equals + 1));
  }
  const done = values as unknown as InstallValues;
  refuseTogether(done);
  if (done.maxReplicas < done.replicas) return { ...done, maxReplicas: done.replicas };
  return done;
};

/** Throws WF2176 for values that are right each by itself, and with which no control plane or no sidecar would start. */
const refuseTogether = (values: InstallValues): void => {
  if (values.storeCredentials && values.store === "")
    throw bad("storeCredentials is true, but there is no store", "--set store=etcd://HOST:PORT/PREFIX");
  for (const [what, resources] of [
    ["control planes", { requests: { memory: values.memoryRequest }, limits: { memory: values.memoryLimit } }],
    [
      "sidecars",
      {
        requests: { cpu: values.proxyCpuRequest, memory: values.proxyMemoryRequest },
        limits: { cpu: values.proxyCpuLimit, memory: values.proxyMemoryLimit },
      },
    ],
  ] as const) {
    const wanted = wantedOfResources(resources);
    if (wanted !== undefined) throw bad(`the resources of ${what} want ${wanted}`, "weft install --list-values");
  }
};

const readValue = (name: ValueName, text: string): string | number | boolean => {
  const before = defaultInstallValues[name];
  if (typeof before === "boolean") {
    if (text === "true" || text === "false") return text === "true";
    throw bad(`${name} is "${text}", not true or false`, `--set ${name}=true`);
  }
  if (typeof before === "number") {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= 1 && number <= replicasMax) return number;
    throw bad(`${name} is "${text}", not a number from 1 to ${replicasMax}`, `--set ${name}=${before}`);
  }
  const form = forms[name];
  if (form && !form[0].test(text)) throw bad(`${name} is "${text}", not ${form[1]}`, `--set ${name}=${before}`);
  return text;
};
