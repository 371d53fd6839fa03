/** kubeconfig files: which cluster, as whom. */
import { dirname, isAbsolute, join } from "node:path";
import { parseDocuments } from "@weft/config/yaml/parse-documents";
import { WeftError } from "@weft/core/error";
import { readIfThere } from "../files/files.ts";
import { commandCredentials, type Environment, type KubernetesAccess, tokenIn } from "./kubernetes-access.ts";

export interface KubeconfigOptions {
  readonly file: string;
  /** Absent: the file's current context. */
  readonly context?: string;
  readonly environment: Environment;
  readonly wallMs: () => number;
}

type Entry = Readonly<Record<string, unknown>>;

/** Throws WF2151 for a file that cannot be read or used, with what is wrong. */
export const readKubeconfig = ({ file, context, environment, wallMs }: KubeconfigOptions): KubernetesAccess => {
  const wrong = (problem: string): WeftError =>
    new WeftError("WF2151", `kubeconfig ${file} ${problem}`, { next: "see what `kubectl config view` says of it" });
  const text = readText(file, wrong);
  const { documents, problems } = parseDocuments(text, file);
  const [document] = documents;
  if (!document) throw wrong(`cannot be read: ${problems[0]?.message ?? "it is empty"}`);
  const config = entryOf(document.value);
  const named = (list: string, part: string, name: string): Entry => {
    const found = (Array.isArray(config[list]) ? config[list] : []).map(entryOf).find((entry) => entry.name === name);
    if (!found) throw wrong(`has no ${part} ${JSON.stringify(name)}`);
    return entryOf(found[part]);
  };
  const contextName = context ?? textOf(config["current-context"]);
  if (!contextName) throw wrong("has no current-context, and none was named");
  const { cluster: clusterName, user: userName, namespace } = named("contexts", "context", contextName);
  const cluster = named("clusters", "cluster", textOf(clusterName) ?? "");
  const server = textOf(cluster.server)?.replace(/\/+$/, "") ?? "";
  if (!/^https:\/\/[^/?#@]+(\/[^?#]*)?$/.test(server))
    throw wrong(`has the server ${JSON.stringify(server)}, which is no https:// address`);
  const folder = dirname(file);
  const pem = (entry: Entry, field: string): (() => string) | undefined => {
    const data = textOf(entry[`${field}-data`]);
    if (data !== undefined) {
      const decoded = Buffer.from(data, "base64").toString("utf8");
      return () => decoded;
    }
    const named = textOf(entry[field]);
    if (named === undefined) return undefined;
    const path = isAbsolute(named) ? named : join(folder, named);
    return () => readText(path, (problem) => wrong(`names ${path}, which ${problem}`));
  };
  const authorities = pem(cluster, "certificate-authority");
  authorities?.();
  const user = userName === undefined || userName === "" ? {} : named("users", "user", textOf(userName) ?? "");
  return {
    cluster: textOf(clusterName) ?? "",
    server,
    namespace: textOf(namespace) ?? "default",
    authorities: () => authorities?.(),
    serverName: textOf(cluster["tls-server-name"]),
    unchecked: cluster["insecure-skip-tls-verify"] === true,
    credentials: credentialsOf(user, { pem, folder, wrong, environment, wallMs }),
  };
};

interface UserTools {
  readonly pem: (entry: Entry, field: string) => (() => string) | undefined;
  readonly folder: string;
  readonly wrong: (problem: string) => WeftError;
  readonly environment: Environment;
  readonly wallMs: () => number;
}

const credentialsOf = (user: Entry, tools: UserTools): KubernetesAccess["credentials"] => {
  const { pem, folder, wrong } = tools;
  if (user.username !== undefined) throw wrong("has a user with a password, which no API server takes any more");
  if (user["auth-provider"] !== undefined) throw wrong("has a user with an auth-provider: use an exec program");
  const [certificate, key] = [pem(user, "client-certificate"), pem(user, "client-key")];
  if ((certificate === undefined) !== (key === undefined)) throw wrong("has a client certificate or its key only");
  const tokenFile = textOf(user.tokenFile);
  const token = textOf(user.token);
  if (user.exec !== undefined) return execOf(entryOf(user.exec), tools);
  certificate?.();
  key?.();
  return async () => ({
    ...(certificate && key ? { certificate: certificate(), key: key() } : {}),
    // The file is the newer of the two where both are there.
    ...(tokenFile === undefined
      ? token === undefined
        ? {}
        : { token }
      : { token: tokenIn(isAbsolute(tokenFile) ? tokenFile : join(folder, tokenFile)) }),
  });
};

const execOf = (exec: Entry, { folder, wrong, environment, wallMs }: UserTools): KubernetesAccess["credentials"] => {
  const command = textOf(exec.command);
  if (!command) throw wrong("has a credential program without a command");
  const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
  const plugin = {
    command,
    args: list(exec.args).map(String),
    env: list(exec.env).map((one) => {
      const { name, value } = entryOf(one);
      return [String(name), String(value ?? "")] as const;
    }),
    apiVersion: textOf(exec.apiVersion) ?? "client.authentication.k8s.io/v1",
    folder,
  };
  return commandCredentials(plugin, environment, wallMs);
};

const readText = (path: string, wrong: (problem: string) => WeftError): string => {
  let text: string | undefined;
  try {
    text = readIfThere(path);
  } catch (error) {
    throw wrong(`cannot be read: ${(error as Error).message}`);
  }
  if (text === undefined) throw wrong("is not there");
  return text;
};

const entryOf = (value: unknown): Entry =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Entry) : {};
const textOf = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);
