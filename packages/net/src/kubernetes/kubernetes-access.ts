/** Where a Kubernetes API server is and as whom it is asked; files are read anew, so what is rotated is used. */
import { execFile } from "node:child_process";
import { isIPv6 } from "node:net";
import { WeftError } from "@weft/core/error";
import { isReadable, readIfThere } from "../files/files.ts";

export interface KubernetesCredentials {
  readonly token?: string;
  /** PEM. */
  readonly certificate?: string;
  readonly key?: string;
}

export interface KubernetesAccess {
  /** The cluster's name for people: the kubeconfig's, or `in-cluster`. */
  readonly cluster: string;
  /** `https://HOST:PORT`, with a path where the server is behind one; without a slash at its end. */
  readonly server: string;
  /** The namespace that is meant where none is said. */
  readonly namespace: string;
  /** PEM of the authorities to trust; `undefined`: the system's. */
  readonly authorities: () => string | undefined;
  /** The name the server's certificate is checked for; `undefined`: its host. */
  readonly serverName: string | undefined;
  /** The server is not checked at all, as the kubeconfig wants it. */
  readonly unchecked: boolean;
  /** `refused`: the former were not taken. Rejects with a WeftError where there are none to be had. */
  readonly credentials: (refused: boolean) => Promise<KubernetesCredentials>;
}

/** What the process was started with. */
export type Environment = Readonly<Record<string, string | undefined>>;

export const serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount";

/** A pod's own service account. Throws WF2151 outside a pod. */
export const inClusterAccess = (environment: Environment, folder = serviceAccountFolder): KubernetesAccess => {
  const host = environment.KUBERNETES_SERVICE_HOST;
  const port = environment.KUBERNETES_SERVICE_PORT_HTTPS ?? environment.KUBERNETES_SERVICE_PORT ?? "443";
  if (!host || !isReadable(`${folder}/token`)) {
    throw new WeftError(
      "WF2151",
      `this is no pod with a service account: ${host ? `${folder}/token is missing` : "KUBERNETES_SERVICE_HOST is not set"}`,
      {
        next: "name a kubeconfig: kubernetes://?kubeconfig=FILE",
      },
    );
  }
  return {
    cluster: "in-cluster",
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    namespace: readIfThere(`${folder}/namespace`)?.trim() || "default",
    authorities: () => readIfThere(`${folder}/ca.crt`),
    serverName: undefined,
    unchecked: false,
    credentials: async () => ({ token: tokenIn(`${folder}/token`) }),
  };
};

/** Throws WF2151 where the file is missing or empty. */
export const tokenIn = (file: string): string => {
  const token = readIfThere(file)?.trim();
  if (!token) throw new WeftError("WF2151", `the token file ${file} is missing or empty`, { next: "have it written" });
  return token;
};

export interface CredentialCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly (readonly [string, string])[];
  readonly apiVersion: string;
  /** Its path starts in the folder of the kubeconfig. */
  readonly folder: string;
}

export const commandTimeoutMs = 30_000;
const commandOutputMax = 1024 * 1024;
/** Credentials are renewed so long before they expire. */
const renewBeforeMs = 60_000;

/** Runs the program when what it gave last expires or was refused; never twice at a time. */
export const commandCredentials = (
  plugin: CredentialCommand,
  environment: Environment,
  wallMs: () => number,
): KubernetesAccess["credentials"] => {
  let known: { readonly credentials: KubernetesCredentials; readonly untilMs: number } | undefined;
  let running: Promise<KubernetesCredentials> | undefined;
  const run = async (): Promise<KubernetesCredentials> => {
    try {
      known = readExecCredential(await output(plugin, environment), plugin.command);
      return known.credentials;
    } finally {
      running = undefined;
    }
  };
  return (refused) => {
    if (known && !refused && wallMs() < known.untilMs - renewBeforeMs) return Promise.resolve(known.credentials);
    running ??= run();
    return running;
  };
};

const output = ({ command, args, env, apiVersion, folder }: CredentialCommand, environment: Environment) =>
  new Promise<string>((resolve, reject) => {
    const info = JSON.stringify({ apiVersion, kind: "ExecCredential", spec: { interactive: false } });
    const path = command.includes("/") && !command.startsWith("/") ? `${folder}/${command}` : command;
    const options = {
      env: { ...environment, KUBERNETES_EXEC_INFO: info, ...Object.fromEntries(env) } as NodeJS.ProcessEnv,
      timeout: commandTimeoutMs,
      killSignal: "SIGKILL" as const,
      maxBuffer: commandOutputMax,
    };
    execFile(path, [...args], options, (error, stdout, stderr) => {
      if (!error) resolve(stdout);
      else
        reject(
          commandFailed(command, error.killed ? "it did not end in time" : stderr.trim().slice(-300) || error.message),
        );
    });
  });

const commandFailed = (command: string, problem: string): WeftError =>
  new WeftError("WF2152", `the credential program ${command} gave no credentials: ${problem}`, {
    next: "run it by hand and see what it says",
  });

/** Reads what a credential program printed. Throws WF2152. */
export const readExecCredential = (
  text: string,
  command: string,
): { readonly credentials: KubernetesCredentials; readonly untilMs: number } => {
  let status: Readonly<Record<string, unknown>> = {};
  try {
    const { kind, status: given } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (kind === "ExecCredential" && typeof given === "object" && given !== null) status = given as typeof status;
  } catch {
    throw commandFailed(command, "what it printed is no JSON");
  }
  const { token, clientCertificateData: certificate, clientKeyData: key, expirationTimestamp } = status;
  const credentials: KubernetesCredentials = {
    ...(typeof token === "string" && token !== "" ? { token } : {}),
    ...(typeof certificate === "string" && typeof key === "string" ? { certificate, key } : {}),
  };
  if (Object.keys(credentials).length === 0)
    throw commandFailed(command, "it printed neither a token nor a certificate");
  const untilMs = typeof expirationTimestamp === "string" ? Date.parse(expirationTimestamp) : Number.NaN;
  return { credentials, untilMs: Number.isNaN(untilMs) ? Number.POSITIVE_INFINITY : untilMs };
};
