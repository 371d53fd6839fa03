/** A Consul in memory: an HTTP client that answers as one, with indexes and queries that wait. */
import type { HttpAnswer, HttpClient } from "@weft/net/http/client";

export interface FakeEntry {
  readonly Node: { readonly Node: string; readonly Address: string; readonly Meta?: Readonly<Record<string, string>> };
  readonly Service: Readonly<Record<string, unknown>> & { readonly ID: string };
  readonly Checks: readonly Readonly<Record<string, unknown>>[];
}

export interface FakeConsul {
  /** What was asked, in order, without `wait`. */
  readonly calls: string[];
  dial(): HttpClient;
  /** On the node `n1`; says healthy unless told otherwise. */
  register(service: string, id: string, more?: FakeRegistration): void;
  deregister(service: string, id: string): void;
  /** A status for a check of the instance; of its node where `check` is `serfHealth`. */
  check(service: string, id: string, status: string, check?: string): void;
  /** All queries fail with it until `up`. */
  down(reason: string): void;
  up(): void;
  /** Gone with all its data, and its index. */
  empty(): void;
  /** Answers as given, for paths that contain it; `undefined`: as ever. */
  lie(path: string, answer: Partial<HttpAnswer> | undefined): void;
  /** The token may not read these any more. */
  hide(services: readonly string[]): void;
  index: number;
  /** Services whose answers are larger than is taken. */
  readonly huge: Set<string>;
  /** Without one it still answers, with what it had. */
  hasLeader: boolean;
  /** Queries that wait. */
  waiting(): readonly string[];
}

export interface FakeRegistration {
  readonly port?: number;
  readonly node?: string;
  readonly tags?: readonly string[];
  readonly meta?: Readonly<Record<string, string>>;
}

interface Waiter {
  readonly path: string;
  readonly answer: () => void;
  readonly fail: (error: Error) => void;
}

export const createFakeConsul = (): FakeConsul => {
  let services = new Map<string, Map<string, FakeEntry>>();
  const changedAt = new Map<string, number>();
  const lies = new Map<string, Partial<HttpAnswer>>();
  let hidden = new Set<string>();
  let reason: string | undefined;
  const waiters = new Set<Waiter>();
  const consul: FakeConsul = {
    calls: [],
    index: 10,
    huge: new Set(),
    hasLeader: true,
    dial: () => ({ call, [Symbol.dispose]: () => {} }),
    register(service, id, { port = 80, node = "n1", tags = [], meta = {} } = {}) {
      const members = services.get(service) ?? new Map<string, FakeEntry>();
      const Service = { ID: id, Service: service, Address: "", Port: port, Tags: tags, Meta: meta };
      const Node = { Node: node, Address: "10.0.0.1" };
      members.set(id, { Node, Service, Checks: [{ Node: node, CheckID: "serfHealth", Status: "passing" }] });
      services.set(service, members);
      changed("catalogue", service);
    },
    deregister(service, id) {
      const members = services.get(service);
      members?.delete(id);
      if (members?.size === 0) services.delete(service);
      changed("catalogue", service);
    },
    check(service, id, status, check = `service:${id}`) {
      const entry = services.get(service)?.get(id);
      if (!entry) throw new Error(`there is no ${service} ${id}`);
      const others = entry.Checks.filter(({ CheckID }) => CheckID !== check);
      const own = { Node: entry.Node.Node, CheckID: check, Status: status };
      services.get(service)?.set(id, { ...entry, Checks: [...others, own] });
      changed("checks", service);
    },
    down(why) {
      reason = why;
      for (const waiter of [...waiters]) {
        waiters.delete(waiter);
        waiter.fail(new Error(why));
      }
    },
    up() {
      reason = undefined;
    },
    empty() {
      services = new Map();
      changedAt.clear();
      consul.index = 3;
    },
    lie(path, answer) {
      if (answer) lies.set(path, answer);
      else lies.delete(path);
    },
    hide(names) {
      hidden = new Set(names);
      changed("catalogue", ...names);
    },
    waiting: () => [...waiters].map(({ path }) => path),
  };
  const changed = (...what: readonly string[]): void => {
    consul.index++;
    for (const one of what) changedAt.set(one, consul.index);
    for (const waiter of [...waiters]) waiter.answer();
  };
  const indexOf = (path: string): number => {
    if (path.startsWith("/v1/catalog/services")) return changedAt.get("catalogue") ?? consul.index;
    if (path.startsWith("/v1/health/state")) return changedAt.get("checks") ?? consul.index;
    return changedAt.get(nameIn(path)) ?? changedAt.get("catalogue") ?? consul.index;
  };
  const bodyOf = (path: string): unknown => {
    if (path.startsWith("/v1/catalog/services"))
      return Object.fromEntries(
        [...services].filter(([name]) => !hidden.has(name)).map(([name, all]) => [name, tagsOf(all)]),
      );
    if (!path.startsWith("/v1/health/state"))
      return hidden.has(nameIn(path)) ? [] : [...(services.get(nameIn(path))?.values() ?? [])];
    const state = path.split("/").at(-1);
    return [...services].flatMap(([ServiceName, all]) =>
      [...all.values()].flatMap(({ Checks }) =>
        Checks.filter(({ Status }) => Status === state).map((check) => ({
          ...check,
          ServiceName: check.CheckID === "serfHealth" ? "" : ServiceName,
        })),
      ),
    );
  };
  const isHiding = (path: string): boolean =>
    path.startsWith("/v1/catalog/services") ? hidden.size > 0 : hidden.has(nameIn(path));
  const call: HttpClient["call"] = ({ path: asked, signal }) =>
    new Promise((resolve, reject) => {
      const url = new URL(asked, "http://fake");
      const path = url.pathname;
      const after = Number(url.searchParams.get("index") ?? 0);
      consul.calls.push(`${path}${after > 0 ? ` ${after}` : ""}`);
      if (reason !== undefined) {
        reject(new Error(reason));
        return;
      }
      const lie = [...lies].find(([part]) => path.includes(part))?.[1];
      if (consul.huge.has(nameIn(path))) {
        reject(new Error("the answer has more than 33554432 bytes"));
        return;
      }
      const isStreamed = after > 0 && path.startsWith("/v1/health/service/");
      const reply = (): void => {
        const headers = {
          "x-consul-index": String(indexOf(path)),
          // Of queries that it answers from a stream Consul says so, whatever it knows.
          "x-consul-knownleader": String(consul.hasLeader && !isStreamed),
          "x-consul-query-backend": isStreamed ? "streaming" : "blocking-query",
          ...(isHiding(path) ? { "x-consul-results-filtered-by-acls": "true" } : {}),
        };
        resolve({ status: 200, headers, body: Buffer.from(JSON.stringify(bodyOf(path))), ...lie });
      };
      if (lie || after === 0 || indexOf(path) !== after) {
        reply();
        return;
      }
      const waiter: Waiter = {
        path,
        answer: () => {
          if (indexOf(path) === after) return;
          waiters.delete(waiter);
          reply();
        },
        fail: reject,
      };
      waiters.add(waiter);
      signal?.addEventListener("abort", () => {
        waiters.delete(waiter);
        reject(new Error("aborted"));
      });
    });
  return consul;
};

const nameIn = (path: string): string => decodeURIComponent(path.split("/").at(-1) ?? "");
const tagsOf = (all: ReadonlyMap<string, FakeEntry>): readonly unknown[] => [
  ...new Set([...all.values()].flatMap(({ Service }) => Service.Tags as readonly string[])),
];
