/** The ways a WorkloadGroup asks a program whether it is well: HTTP, TCP, gRPC, a command. */
import type { ReadinessProbe } from "@weft/config/kinds/workload-group";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { probeHttp } from "@weft/net/http/probe-http";
import { startChild } from "@weft/net/process/child";
import { isPortOpen } from "@weft/net/process/port-open";
import type { ProbeTimes } from "./probe-loop.ts";

const seconds = (value: number | undefined, fallback: number): number => (value || fallback) * 1000;

/** Kubernetes' defaults; 0 is as good as nothing. */
export const probeTimes = (probe: ReadinessProbe): ProbeTimes & { readonly timeoutMs: number } => ({
  initialDelayMs: (probe.initialDelaySeconds ?? 0) * 1000,
  periodMs: seconds(probe.periodSeconds, 10),
  timeoutMs: seconds(probe.timeoutSeconds, 1),
  successThreshold: probe.successThreshold || 1,
  failureThreshold: probe.failureThreshold || 3,
});

/** Where a program may be that is not on loopback, and where a connection there comes from. */
export interface OtherPlace {
  readonly host: string;
  readonly localAddress: string;
}

const localhost = "127.0.0.1";

type Problem = string | undefined;

/** Asks once. `undefined`: well. HTTP and TCP that nobody takes on loopback are tried at the other place. */
export const askProgram = async (
  probe: ReadinessProbe,
  env: Readonly<Record<string, string | undefined>>,
  other?: OtherPlace,
): Promise<Problem> => {
  const { timeoutMs } = probeTimes(probe);
  try {
    if (probe.httpGet) return await askHttp(probe.httpGet, timeoutMs, other);
    if (probe.tcpSocket) return await askTcp(probe.tcpSocket, timeoutMs, other);
    if (probe.grpc) return await askGrpc(probe.grpc, timeoutMs);
    return probe.exec ? await askCommand(probe.exec.command, env, timeoutMs) : undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};

const askHttp = async (
  get: NonNullable<ReadinessProbe["httpGet"]>,
  timeoutMs: number,
  other: OtherPlace | undefined,
): Promise<Problem> => {
  const headers = Object.fromEntries((get.httpHeaders ?? []).map(({ name, value }) => [name, value ?? ""]));
  const ask = (place: { readonly host: string; readonly localAddress?: string }) =>
    probeHttp(
      {
        ...place,
        secure: get.scheme?.toLowerCase() === "https",
        port: get.port,
        path: get.path || "/",
        headers: { "user-agent": "weft-probe", ...(get.host ? { host: get.host } : {}), ...headers },
      },
      timeoutMs,
    );
  let outcome = await ask({ host: get.host || localhost });
  if (other && !get.host && (outcome as NodeJS.ErrnoException).code === "ECONNREFUSED") outcome = await ask(other);
  if (outcome instanceof Error) return outcome.message;
  return outcome >= 200 && outcome < 400 ? undefined : `it answered ${outcome}`;
};

const askTcp = async (
  socket: NonNullable<ReadinessProbe["tcpSocket"]>,
  timeoutMs: number,
  other: OtherPlace | undefined,
): Promise<Problem> => {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), timeoutMs);
  const isOpen = async (): Promise<boolean> => {
    if (await isPortOpen(socket.host || localhost, socket.port)) return true;
    return other !== undefined && !socket.host && (await isPortOpen(other.host, socket.port, other.localAddress));
  };
  const open = await Promise.race([isOpen(), late]);
  clearTimeout(timer);
  return open ? undefined : `port ${socket.port} does not open`;
};

/** `HealthCheckRequest{service = 1}` and the first field of its answer; the messages are too small for a schema. */
const healthRequest = (service: string): Uint8Array => {
  const name = Buffer.from(service);
  return name.length === 0 ? new Uint8Array() : Uint8Array.of(0x0a, name.length, ...name);
};
const serving = 1;
const serviceNameMax = 127;

const askGrpc = async (grpc: NonNullable<ReadinessProbe["grpc"]>, timeoutMs: number): Promise<Problem> => {
  const service = grpc.service ?? "";
  if (Buffer.byteLength(service) > serviceNameMax) return `the service's name is longer than ${serviceNameMax} bytes`;
  const target = { kind: "tcp", host: localhost, port: grpc.port ?? 0 } as const;
  using channel = createGrpcChannel({ target, connectTimeoutMs: timeoutMs });
  const call = { path: "/grpc.health.v1.Health/Check", deadlineMs: timeoutMs };
  const answer = await channel.unary(call, healthRequest(service));
  return answer[0] === 0x08 && answer[1] === serving ? undefined : "it says that it is not serving";
};

const askCommand = async (
  [command = "", ...args]: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  timeoutMs: number,
): Promise<Problem> => {
  const child = startChild({ command, args, env });
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const { code, signal, error } = await child.exited;
  clearTimeout(timer);
  if (error) return error.message;
  if (signal) return `it did not end within ${timeoutMs} ms`;
  return code === 0 ? undefined : `it ended with ${code}`;
};
