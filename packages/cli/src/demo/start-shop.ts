import { joinPath } from "@weft/core/path";
import type { Child } from "@weft/net/process/child";
import { findFreePort } from "@weft/net/process/free-port";
import { untilPortOpens } from "@weft/net/process/port-open";
import { copyFolder, makePrivateFolder } from "@weft/net/process/private-folder";
import type { Context } from "../command.ts";
import { type ApiTarget, findApi } from "../mesh/api.ts";
import { keepRegistered } from "../workload/registration.ts";
import { type Inbound, type RunningSidecar, type SidecarSettings, spawnSidecar } from "../workload/spawn-sidecar.ts";
import { compileCache, startControlPlane, startProgram } from "./mesh-processes.ts";
import { baseFolder, ingressName, type ShopWorkload, shopWorkloads } from "./shop.ts";

/** A port chosen here that was not the wanted one, to be said. */
export interface MovedPort {
  readonly what: string;
  readonly wanted: number;
  readonly got: number;
}

export interface RunningWorkload {
  readonly name: string;
  readonly service: string;
  readonly version: string;
  readonly sidecar: RunningSidecar;
  readonly outbound: string;
  /** H:P at which the mesh reaches it. */
  readonly inbound: readonly string[];
  readonly appPorts: readonly number[];
}

export interface RunningShop {
  readonly api: ApiTarget;
  readonly addresses: {
    readonly http: string;
    readonly xds: string;
    readonly secure: string;
    readonly monitoring: string;
  };
  readonly controlPlanePid: number;
  readonly ingress: string;
  readonly ingressAdmin: string;
  readonly workloads: readonly RunningWorkload[];
  readonly moved: readonly MovedPort[];
}

export interface LoadReport {
  readonly answered: number;
  readonly failed: number;
  readonly p50: number;
  readonly p99: number;
  readonly statuses: Readonly<Record<string, number>>;
}

interface ShopOptions {
  readonly context: Context;
  readonly cleanup: AsyncDisposableStack;
  readonly rate: number;
  /** A step that is done, with the seconds since the start. */
  readonly onStep: (step: string) => void;
  readonly onLog: (source: string, line: string) => void;
  readonly onLoad: (report: LoadReport) => void;
}

const readyTimeoutMs = 30_000;
/** Ports that Istio's and our own real sidecars use on a machine; the demo's stay clear of them. */
const isReserved = (port: number): boolean => port >= 15_000 && port <= 15_100;

/**
 * Starts the whole shop in the order that lets each part find the one before it. The programs need nobody and start
 * first, on the core the control plane leaves idle. All of it ends with `cleanup`.
 */
export const startShop = async (options: ShopOptions): Promise<RunningShop> => {
  const { context, cleanup, onStep, onLog } = options;
  const folder = cleanup.use(makePrivateFolder("weft-demo-")).path;
  const moved: MovedPort[] = [];
  const taken = new Set<number>();
  const port = async (what: string, wanted: number): Promise<number> => {
    const got = await findFreePort(
      "127.0.0.1",
      taken.has(wanted) ? 0 : wanted,
      (candidate) => isReserved(candidate) || taken.has(candidate),
    );
    taken.add(got);
    if (wanted !== 0 && got !== wanted) moved.push({ what, wanted, got });
    return got;
  };
  // A copy, because what is applied later is kept beside it.
  copyFolder(joinPath(context.root, baseFolder), joinPath(folder, "config"));
  const entry = joinPath(context.root, "packages/cli/src/bin/weft.ts");
  const ports = {
    xds: await port("xDS", 15_010),
    secure: await port("xDS over TLS", 15_012),
    http: await port("HTTP API", 8080),
    monitoring: await port("metrics", 15_014),
  };
  const ingressPort = await port("ingress", 8000);
  const plans = await Promise.all(shopWorkloads.map((workload) => planWorkload(workload, port)));
  const programs = plans.map((plan) => startWorkloadProgram(plan, options));
  cleanup.defer(async () => void (await Promise.all(programs.map((program) => program.stop(2000)))));
  const controlPlane = await startControlPlane({
    context,
    entry,
    configFolder: joinPath(folder, "config"),
    dataFolder: joinPath(folder, "cp"),
    ports,
    onLog: (line) => onLog("control plane", line),
  });
  cleanup.defer(async () => void (await controlPlane.child.stop(5000)));
  const { addresses } = controlPlane;
  const tokenFile = joinPath(folder, "cp", "admin-token");
  const api = findApi({ cp: addresses.http, tokenFile }, {});
  onStep(`control plane  http ${addresses.http}, xDS ${addresses.xds}, TLS ${addresses.secure}`);

  const sidecarBase = {
    entry,
    namespace: "default",
    cp: addresses.secure,
    rootCertFile: joinPath(folder, "cp", "root-cert.pem"),
    tokenFile: joinPath(folder, "cp", "join-token"),
    adminPort: 0,
    logLevel: "warn",
    env: { ...context.env, ...compileCache(context.root) },
  };
  const ingressSettings: SidecarSettings = {
    ...sidecarBase,
    workload: ingressName,
    serviceAccount: ingressName,
    labels: { app: ingressName, istio: "ingressgateway" },
    gateway: true,
    outbound: "",
    inbound: [{ name: "http", protocol: "http", address: "127.0.0.1", port: ingressPort, appPort: 80 }],
    dataFolder: joinPath(folder, ingressName),
    onLog: (line) => onLog(ingressName, line),
  };
  // Workloads stop side by side, each in its own order; one after another would take a Ctrl-C seconds.
  const stacks = plans.map(() => new AsyncDisposableStack());
  cleanup.defer(async () => void (await Promise.all(stacks.map((stack) => stack.disposeAsync()))));
  const [ingress, ...workloads] = await Promise.all([
    spawnSidecar(ingressSettings, readyTimeoutMs).then((sidecar) => {
      cleanup.defer(async () => void (await sidecar.child.stop(8000)));
      return sidecar;
    }),
    ...plans.map((plan, index) => {
      const own = stacks[index] as AsyncDisposableStack;
      return startWorkload(plan, { ...options, cleanup: own, api, sidecarBase, folder });
    }),
  ]);
  onStep(
    `sidecars       ${workloads.length + 1} connected, mTLS STRICT: ${workloads.map(({ name }) => name).join(" ")} ingress`,
  );
  onStep(`ingress        http://127.0.0.1:${ingressPort}/`);

  const load = startProgram({
    context,
    module: joinPath(context.root, "examples/shop/services/load.ts"),
    env: { TARGET: `http://127.0.0.1:${ingressPort}/`, RATE: String(options.rate) },
    onLog: (line) => onLog("load", line),
    onMessage: (message) => options.onLoad(message as LoadReport),
  });
  cleanup.defer(async () => void (await load.stop(1000)));
  return {
    api,
    addresses,
    controlPlanePid: controlPlane.child.pid,
    ingress: `127.0.0.1:${ingressPort}`,
    ingressAdmin: ingress.admin,
    workloads,
    moved,
  };
};

interface WorkloadPlan {
  readonly workload: ShopWorkload;
  readonly inbound: readonly Inbound[];
  readonly outbound: string;
}

const planWorkload = async (
  workload: ShopWorkload,
  port: (what: string, wanted: number) => Promise<number>,
): Promise<WorkloadPlan> => {
  const inbound: Inbound[] = [];
  for (let i = 0; i < workload.endpoints; i++) {
    const name = i === 0 ? "http" : `http-${i + 1}`;
    inbound.push({
      name,
      protocol: "http",
      address: "127.0.0.1",
      port: await port(workload.name, 0),
      appPort: await port(workload.name, 0),
    });
  }
  return { workload, inbound, outbound: `127.0.0.1:${await port(workload.name, 0)}` };
};

const startWorkloadProgram = ({ workload, inbound, outbound }: WorkloadPlan, { context, onLog }: ShopOptions): Child =>
  startProgram({
    context,
    module: joinPath(context.root, "examples/shop/services", workload.program),
    env: {
      WEFT_OUTBOUND: outbound,
      PORT: inbound.map(({ appPort }) => appPort).join(","),
      VERSION: workload.version,
    },
    onLog: (line) => onLog(workload.name, line),
  });

const startWorkload = async (
  { workload, inbound, outbound }: WorkloadPlan,
  options: ShopOptions & { readonly api: ApiTarget; readonly sidecarBase: SidecarBase; readonly folder: string },
): Promise<RunningWorkload> => {
  const { context, cleanup, onLog, api, sidecarBase, folder } = options;
  const labels = { app: workload.service, version: workload.version };
  const sidecar = await spawnSidecar(
    {
      ...sidecarBase,
      workload: workload.name,
      serviceAccount: workload.service,
      labels,
      gateway: false,
      outbound,
      inbound,
      dataFolder: joinPath(folder, workload.name),
      onLog: (line) => onLog(workload.name, line),
    },
    readyTimeoutMs,
  );
  cleanup.defer(async () => void (await sidecar.child.stop(8000)));
  const appPorts = inbound.map(({ appPort }) => appPort);
  for (const appPort of appPorts) await untilPortOpens("127.0.0.1", appPort, context.signal);
  for (const [index, entry] of inbound.entries()) {
    const registration = {
      service: workload.service,
      namespace: "default",
      instance: `${workload.name}-${index}`,
      serviceAccount: workload.service,
      labels,
      metadata: { workload: workload.name },
      servicePort: 80,
      inbound: { ...entry, name: "http" },
    };
    cleanup.use(await keepRegistered(api, registration, { onTrouble: (error) => onLog(workload.name, String(error)) }));
  }
  const { name, service, version } = workload;
  const listens = inbound.map(({ address, port }) => `${address}:${port}`);
  return { name, service, version, sidecar, outbound, inbound: listens, appPorts };
};

type SidecarBase = Pick<
  SidecarSettings,
  "entry" | "namespace" | "cp" | "rootCertFile" | "tokenFile" | "adminPort" | "logLevel" | "env"
>;
