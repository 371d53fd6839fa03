/** Both ends of a takeover, for the sidecar's process. */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import type { SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import type { Logger } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import { makeFolder } from "@weft/net/files/files";
import type { HttpServer, HttpServerOptions } from "@weft/net/http/server";
import { offerSockets } from "@weft/net/tcp/offer-sockets";
import type { PassedSocket } from "@weft/net/tcp/pass-sockets";
import { type TakenSockets, takeSockets } from "@weft/net/tcp/take-sockets";
import { createInherited, type Inherited } from "../takeover/inherited.ts";
import { passedSocket } from "../takeover/open-sockets.ts";
import type { SocketClaim } from "../takeover/socket-name.ts";
import type { ProcessFlags } from "./sidecar-flags.ts";

/** A process that has taken the sockets must be ready within this time; the one before goes on serving otherwise. */
export const takeoverReadyMs = 60_000;

export interface Takeover extends Disposable {
  readonly inherited: Inherited;
  /** Resolves when the time to become ready is over. */
  readonly late: Promise<"not ready in time">;
  /** This process is ready: has the one before stop, and accepts. Rejects with WF5008 where that one goes on serving. */
  readonly confirm: () => Promise<void>;
}

type TakeoverFlags = Pick<ProcessFlags, "takeover" | "takeoverSocket">;

/** `undefined` where none was asked for, or nobody runs that could be taken over from. */
export const beginTakeover = async (
  { takeover, takeoverSocket: path }: TakeoverFlags,
  log: Logger,
): Promise<Takeover | undefined> => {
  if (!takeover || path === undefined) return undefined;
  let taken: TakenSockets;
  try {
    taken = await takeSockets(path);
  } catch (error) {
    if (!(error instanceof WeftError) || error.code !== "WF5007") throw error;
    log.warn("nothing to take over from: starting as usual", { code: "WF5007", path });
    return undefined;
  }
  log.info("taking over", { sockets: taken.names().length, path });
  const accepting = Promise.withResolvers<void>();
  const late = Promise.withResolvers<"not ready in time">();
  const timer = setRealTimer(() => late.resolve("not ready in time"), takeoverReadyMs);
  return {
    inherited: createInherited(taken, accepting.promise),
    late: late.promise,
    confirm: async () => {
      timer[Symbol.dispose]();
      const answer = await taken.confirm();
      if (answer === "goes on") throw notReady();
      if (answer === "ended") log.warn("the process to take over from had ended", { code: "WF5007", path });
      accepting.resolve();
      // What nobody claimed is at addresses this process does not serve.
      taken[Symbol.dispose]();
    },
    [Symbol.dispose]: () => {
      timer[Symbol.dispose]();
      taken[Symbol.dispose]();
    },
  };
};

/** The process that runs was not to be kept waiting any longer. */
export const notReady = (): WeftError =>
  new WeftError("WF5008", `not ready within ${takeoverReadyMs / 1000} s: the process that runs goes on serving`, {
    next: "see in the log what it waits for, and start it again",
  });

const adminClaim = (address: SocketAddress): SocketClaim => ({ listener: "(admin)", address, ipv6Only: false });

/** The admin interface's socket of the process before, where it had the same address. */
export const inheritAdmin = (
  takeover: Takeover | undefined,
  asked: SocketAddress,
): { readonly address: SocketAddress; readonly inherited: HttpServerOptions["inherited"] } => {
  const sockets = takeover?.inherited.take(adminClaim(asked));
  const descriptor = sockets?.descriptors[0];
  if (takeover === undefined || sockets === undefined || descriptor === undefined)
    return { address: asked, inherited: undefined };
  return { address: sockets.address, inherited: { descriptor, accepting: takeover.inherited.accepting } };
};

export interface Offering {
  readonly path: string | undefined;
  readonly sockets: () => Promise<readonly PassedSocket[]>;
  readonly admin: { readonly asked: SocketAddress; readonly server: HttpServer } | undefined;
  readonly log: Logger;
  readonly onTaken: () => void;
}

/** From now on another process may take over. Where that cannot be, it is said and nothing else changes. */
export const offerTakeover = async ({ path, sockets, admin, log, onTaken }: Offering): Promise<Disposable> => {
  const nothing: Disposable = { [Symbol.dispose]: () => undefined };
  if (path === undefined) return nothing;
  const adminSockets = (): readonly PassedSocket[] => {
    const descriptor = admin?.server.descriptor;
    if (admin === undefined || descriptor === undefined) return [];
    return passedSocket(adminClaim(admin.asked), admin.server.address.port, descriptor);
  };
  try {
    makeFolder(dirname(path));
    if (statSync(dirname(path)).mode & 0o022) throw new Error("others may write in its folder");
    return await offerSockets(path, {
      sockets: async () => [...adminSockets(), ...(await sockets())],
      onTaken: () => {
        void admin?.server.close();
        onTaken();
      },
      onRefused: (reason) => log.warn("a takeover did not come about: serving on", { code: "WF5009", reason }),
      readyMs: takeoverReadyMs,
      nowMs: realClock.nowMs,
      setTimer: setRealTimer,
    });
  } catch (error) {
    log.warn("no other process can take over from this one", { code: "WF5006", path, reason: String(error) });
    return nothing;
  }
};
