/**
 * Follows the tree of one registry, without input or output. It watches the whole tree with one watch where the server
 * can (3.6), else each node it reads; lists everything after each connect; and then reads only what is said to have
 * changed. A watch is set before the node is read, so nothing falls between, and what changes while it is being read is
 * read once more.
 */
import { createHash } from "node:crypto";
import { errorInWords, zookeeperError } from "@weft/protocols/zookeeper/error-codes";
import type { WatchEvent, ZookeeperRequest } from "@weft/protocols/zookeeper/messages";
import type { SourceEvent, SourceInstance } from "../outside/source-events.ts";
import { createJobs, type Job, type Jobs } from "./jobs.ts";
import { childPath, type Layout, placeOf } from "./layout.ts";
import { createLeftOut, type LeftOutCounts } from "./left-out.ts";
import { keyCharsMax, type ZookeeperLimits } from "./limits.ts";
import { createServices, type Service, type Services } from "./services.ts";
import type { SessionBody } from "./session.ts";

export interface MirrorOptions {
  /** With its first slash and without a last one. */
  readonly base: string;
  readonly namespace: string;
  readonly layout: Layout;
  readonly limits: ZookeeperLimits;
  /** Longer answers come without their content. */
  readonly frameBytesMax: number;
  readonly emit: (event: SourceEvent) => void;
}

export type Reading =
  | { readonly kind: "watch" | "root" }
  | { readonly kind: "await"; readonly path: string }
  | { readonly kind: "service"; readonly service: string }
  | { readonly kind: "instance"; readonly service: string; readonly name: string };

export interface Mirror {
  /** A connection stands: everything is read anew. What was sent on an earlier one is forgotten. */
  begin(): void;
  /** What to ask next, while the window has room. */
  take(): { readonly job: Job<Reading>; readonly request: ZookeeperRequest } | undefined;
  /** Returns why the connection is of no use, where it is not. */
  answer(job: Job<Reading>, error: number, body: SessionBody): string | undefined;
  changed(event: WatchEvent): void;
}

interface Held {
  readonly options: MirrorOptions;
  readonly jobs: Jobs<Reading>;
  readonly services: Services;
  /** Good records from before this list, by key, for services that cannot be listed any more. */
  readonly earlier: Map<string, SourceInstance>;
  /** Keys of nodes that go with no session, as they were read. */
  readonly lasting: Set<string>;
  readonly leftOut: LeftOutCounts;
  /** Services whose lists cannot be taken, with how long those would be by now, in bytes. */
  readonly refused: Map<string, number>;
  listing: boolean;
  /** One watch tells of the whole tree. */
  recursive: boolean;
}

export const createMirror = (options: MirrorOptions): Mirror => {
  const { limits, base, layout, emit } = options;
  const keyOfList = (service: string): string => keyOf(listPathIn(base, layout, service));
  const held: Held = {
    ...{ options, jobs: createJobs(limits.windowMax), services: createServices(limits), earlier: new Map() },
    ...{ lasting: new Set(), refused: new Map(), listing: false, recursive: false },
    leftOut: createLeftOut({ base, limits, emit, keyOf: keyOfList }),
  };
  return {
    begin: () => begin(held),
    take() {
      const job = held.jobs.take();
      return job && { job, request: requestFor(held, job.what) };
    },
    answer(job, error, body) {
      held.jobs.done(job);
      const reason = job.stale ? undefined : answer(held, job, error, body);
      if (reason === undefined && held.listing && held.jobs.listingLeft === 0) endListing(held);
      return reason;
    },
    changed: (event) => changed(held, event),
  };
};

const begin = (held: Held): void => {
  for (const { instances } of held.services.all()) {
    for (const instance of instances.values()) if (instance) held.earlier.set(instance.key, instance);
  }
  held.services.clear();
  held.leftOut.clear();
  held.refused.clear();
  held.lasting.clear();
  held.listing = true;
  held.jobs.clear();
  held.jobs.add("watch", { kind: "watch" }, true);
};

const endListing = (held: Held): void => {
  held.listing = false;
  held.earlier.clear();
  const instances = held.services.all().flatMap((service) => [...service.instances.values()].filter((one) => !!one));
  held.options.emit({ kind: "listed", instances });
};

const listPathIn = (base: string, layout: Layout, service: string): string =>
  `${childPath(base, service)}${layout.listAt}`;
const listPath = ({ options }: Held, service: string): string => listPathIn(options.base, options.layout, service);

const requestFor = (held: Held, what: Reading): ZookeeperRequest => {
  const { base } = held.options;
  const watch = !held.recursive;
  switch (what.kind) {
    case "watch":
      return { kind: "add-watch", path: base, recursive: true };
    case "root":
      return { kind: "children", path: base, watch };
    case "await":
      return { kind: "exists", path: what.path, watch };
    case "service":
      return { kind: "children", path: listPath(held, what.service), watch };
    case "instance":
      return { kind: "data", path: childPath(listPath(held, what.service), what.name), watch };
  }
};

const readRoot = (held: Held, listed = false): void => held.jobs.add("root", { kind: "root" }, listed);
const serviceJob = (service: string): string => `service ${service}`;
const readService = (held: Held, service: string, listed = false): void =>
  held.jobs.add(serviceJob(service), { kind: "service", service }, listed);
const instanceJob = (service: string, name: string): string => `instance ${service}/${name}`;
const readInstance = (held: Held, service: string, name: string, listed = false): void =>
  held.jobs.add(instanceJob(service, name), { kind: "instance", service, name }, listed);
/** Asks to be told when the node comes into being; one watch of the whole tree does so by itself. */
const awaitNode = (held: Held, path: string): void => {
  if (!held.recursive) held.jobs.add(`await ${path}`, { kind: "await", path }, false);
};

const answer = (held: Held, job: Job<Reading>, error: number, body: SessionBody): string | undefined => {
  const { what, listed, again } = job;
  // The session is of no use, whatever was asked.
  if (error === zookeeperError.sessionExpired || error === zookeeperError.sessionMoved) return errorInWords(error);
  switch (what.kind) {
    case "watch":
      if (error !== 0 && error !== zookeeperError.unimplemented)
        return `watching ${held.options.base}: ${errorInWords(error)}`;
      held.recursive = error === 0;
      readRoot(held, true);
      return undefined;
    case "root":
      if (error === zookeeperError.noNode) awaitNode(held, held.options.base);
      else if (error !== 0) return `listing ${held.options.base}: ${errorInWords(error)}`;
      // Nobody knows what there is then: as good as an outage, in which everything stays.
      else if (body.kind === "too-long") return `listing ${held.options.base}: ${tooLong(held, body.bytes)}`;
      setServices(held, body.kind === "children" ? body.children : [], { listed, outdated: again });
      return undefined;
    case "await":
      // It came into being meanwhile.
      if (error === 0) noteNode(held, what.path);
      return undefined;
    case "service":
      serviceRead(held, what.service, { error, body, listed, outdated: again });
      return undefined;
    case "instance":
      instanceRead(held, what, error, body);
      return undefined;
  }
};

const tooLong = ({ options }: Held, bytes: number): string =>
  `the answer has ${bytes} bytes, over the ${options.frameBytesMax} that are taken (frame-bytes-max)`;

const noteNode = (held: Held, path: string): void => {
  const place = placeOf(held.options.base, held.options.layout, path);
  if (place?.kind === "root") readRoot(held);
  else if (place?.kind === "service" || place?.kind === "list") readService(held, place.service);
};

/** How an answer is to be taken; one that is outdated already is no proof that something is gone. */
interface HowTaken {
  readonly listed: boolean;
  readonly outdated: boolean;
}

const setServices = (held: Held, children: readonly string[], { listed, outdated }: HowTaken): void => {
  const now = new Set(children);
  for (const service of held.services.all()) if (!now.has(service.name) && !outdated) dropService(held, service);
  held.leftOut.setServices([...now].sort().filter((name) => !noteService(held, name, listed)).length);
};

const noteService = (held: Held, name: string, listed: boolean): Service | undefined => {
  const known = held.services.get(name);
  const service = known ?? held.services.ensure(name);
  if (service && !known) readService(held, name, listed);
  return service;
};

interface ServiceReply extends HowTaken {
  readonly error: number;
  readonly body: SessionBody;
}

const serviceRead = (held: Held, name: string, { error, body, listed, outdated }: ServiceReply): void => {
  const service = held.services.get(name);
  if (!service) return;
  if (error === zookeeperError.noNode) awaitNode(held, listPath(held, name));
  else if (error !== 0) {
    serviceUnreadable(held, service, errorInWords(error), Number.POSITIVE_INFINITY);
    return;
  } else if (body.kind === "too-long") {
    serviceUnreadable(held, service, tooLong(held, body.bytes), body.bytes);
    return;
  }
  const now = new Set(body.kind === "children" ? body.children : []);
  for (const one of [...service.instances.keys()]) if (!now.has(one) && !outdated) dropInstance(held, service, one);
  if (held.refused.delete(name)) {
    const list = listPath(held, name);
    held.options.emit({ kind: "readable", key: keyOf(list), keys: [...now].map((one) => keyOf(childPath(list, one))) });
  }
  const bounds = [...now]
    .sort()
    .filter((one) => !service.instances.has(one))
    .flatMap((one) => noteInstance(held, service, one, listed) ?? []);
  held.leftOut.setInstances(name, bounds.length, bounds.at(-1));
};

/** Its list says nothing: what it had stays. */
const serviceUnreadable = (held: Held, service: Service, problem: string, bytes: number): void => {
  held.refused.set(service.name, bytes);
  held.options.emit({ kind: "unreadable", key: keyOf(listPath(held, service.name)), problem, whole: true });
  for (const instance of held.earlier.values()) {
    if (instance.service !== service.name) continue;
    // The key is the path or begins as it does; only its last part matters to tell it from others.
    const name = instance.key.slice(listPath(held, service.name).length + 1);
    if (held.services.ensureInstance(service, name) === undefined) service.instances.set(name, instance);
  }
};

/** A list that was too long is asked for again when so much went that it no longer is. */
const refusedGrows = (held: Held, service: string, bytes: number): void => {
  const before = held.refused.get(service);
  if (before === undefined) return;
  held.refused.set(service, before + bytes);
  if (before + bytes <= held.options.frameBytesMax) readService(held, service);
};

/** A name in a list has its length before it. */
const listedBytes = (name: string): number => 4 + Buffer.byteLength(name);

/** Gives the bound that leaves it out, where one does. */
const noteInstance = (held: Held, service: Service, name: string, listed: boolean): number | undefined => {
  const max = held.services.ensureInstance(service, name);
  if (max !== undefined) return max;
  if (held.options.layout.readsData) readInstance(held, service.name, name, listed);
  else setInstance(held, service, name, noData);
  return undefined;
};

const instanceRead = (
  held: Held,
  { service: serviceName, name }: { readonly service: string; readonly name: string },
  error: number,
  body: SessionBody,
): void => {
  const service = held.services.get(serviceName);
  if (!service?.instances.has(name)) return;
  if (error === zookeeperError.noNode) dropInstance(held, service, name);
  else if (body.kind === "data") {
    const key = keyOf(childPath(listPath(held, serviceName), name));
    if (body.stat.ephemeralOwner === 0n) held.lasting.add(key);
    else held.lasting.delete(key);
    setInstance(held, service, name, body.data);
  } else notReadable(held, service, name, body.kind === "too-long" ? tooLong(held, body.bytes) : errorInWords(error));
};

const setInstance = (held: Held, service: Service, name: string, data: Buffer): void => {
  const { layout, limits, namespace, emit } = held.options;
  if (data.length > limits.recordBytesMax || name.length > limits.recordBytesMax) {
    notReadable(held, service, name, `the record is over ${limits.recordBytesMax} bytes`);
    return;
  }
  const key = keyOf(childPath(listPath(held, service.name), name));
  const record = layout.read({ key, namespace, service: service.name, name, data });
  if (record.kind === "unreadable") notReadable(held, service, name, record.problem);
  if (record.kind !== "instance") return;
  service.instances.set(name, record.instance);
  if (!held.listing) emit({ kind: "put", instance: record.instance });
};

const notReadable = (held: Held, service: Service, name: string, problem: string): void => {
  held.options.emit({ kind: "unreadable", key: keyOf(childPath(listPath(held, service.name), name)), problem });
};

/**
 * A node that goes with no session was deleted. Others live as long as their session: whether somebody ended it or it
 * timed out is not told, so that many at once may be one cut of the network.
 */
const tellGone = ({ lasting, options }: Held, key: string): void =>
  options.emit({ kind: "removed", key, because: lasting.delete(key) ? "deleted" : "expired" });

const dropInstance = (held: Held, service: Service, name: string): void => {
  const { jobs, services, leftOut } = held;
  jobs.spoil(instanceJob(service.name, name));
  services.dropInstance(service, name);
  const key = keyOf(childPath(listPath(held, service.name), name));
  held.earlier.delete(key);
  tellGone(held, key);
  // There is room for one that was left out.
  const waiting = leftOut.instances(service.name) > 0 ? service.name : leftOut.first();
  if (waiting !== undefined) readService(held, waiting);
};

const dropInstances = (held: Held, service: Service): void => {
  for (const name of [...service.instances.keys()]) dropInstance(held, service, name);
};

const dropService = (held: Held, service: Service): void => {
  dropInstances(held, service);
  held.leftOut.setInstances(service.name, 0);
  if (held.refused.delete(service.name))
    held.options.emit({ kind: "readable", key: keyOf(listPath(held, service.name)), keys: [] });
  held.services.drop(service);
  if (held.leftOut.services() > 0) readRoot(held);
};

const changed = (held: Held, { change, path }: WatchEvent): void => {
  const { base, layout } = held.options;
  const place = placeOf(base, layout, path);
  if (!place || change === "other") return;
  if (place.kind === "instance") instanceChanged(held, change, place);
  else if (place.kind !== "root") serviceChanged(held, change, place);
  else {
    if (change === "deleted") for (const service of held.services.all()) dropService(held, service);
    if (change !== "data") readRoot(held);
  }
};

/** One that is not known came, for which there is no room, or went. */
const leftServiceChanged = (held: Held, name: string, gone: boolean): void => {
  const left = held.leftOut.services();
  if (gone) held.leftOut.setServices(Math.max(0, left - 1));
  else if (!noteService(held, name, false)) held.leftOut.setServices(left + 1);
};

type Change = Exclude<WatchEvent["change"], "other">;

const serviceChanged = (
  held: Held,
  change: Change,
  place: { readonly kind: "service" | "list"; readonly service: string },
): void => {
  const known = held.services.get(place.service);
  const gone = change === "deleted";
  if (change !== "data") held.jobs.outdate("root");
  if (gone && known && place.kind === "service" && held.recursive) dropService(held, known);
  else if (gone && known) dropInstances(held, known);
  if (!known && place.kind === "service" && change !== "data") leftServiceChanged(held, place.service, gone);
  if (gone && held.recursive) return;
  if (known && change !== "data") readService(held, place.service);
  else if (change === "created") noteService(held, place.service, false);
};

const instanceChanged = (
  held: Held,
  change: Change,
  { service: serviceName, name }: { readonly service: string; readonly name: string },
): void => {
  const known = held.services.get(serviceName);
  if (change !== "data") held.jobs.outdate(serviceJob(serviceName));
  if (change === "deleted") {
    refusedGrows(held, serviceName, -listedBytes(name));
    if (known?.instances.has(name)) dropInstance(held, known, name);
    else if (held.listing || held.refused.has(serviceName)) {
      const key = keyOf(childPath(listPath(held, serviceName), name));
      held.earlier.delete(key);
      tellGone(held, key);
    } else if (known && held.leftOut.instances(serviceName) > 0) readService(held, serviceName);
  } else if (change === "created") {
    const service = known ?? noteService(held, serviceName, false);
    refusedGrows(held, serviceName, listedBytes(name));
    if (!service || service.instances.has(name)) return;
    const max = noteInstance(held, service, name, false);
    if (max !== undefined) held.leftOut.setInstances(serviceName, held.leftOut.instances(serviceName) + 1, max);
  } else if (change === "data" && known?.instances.has(name) && held.options.layout.readsData) {
    readInstance(held, serviceName, name);
  }
};

const noData = Buffer.alloc(0);

/** A path as it stands, or shortened in a way that keeps it apart from others. */
const keyOf = (path: string): string =>
  path.length <= keyCharsMax
    ? path
    : `${path.slice(0, keyCharsMax)}#${createHash("sha256").update(path).digest("hex").slice(0, 32)}`;
