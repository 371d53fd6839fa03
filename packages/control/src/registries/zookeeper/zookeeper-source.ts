/** A ZooKeeper as a source of instances: its session and the mirror of its tree, with a clock and a connection. */
import { formatAddress } from "@weft/core/address";
import type { Dial, Dialed } from "@weft/net/tcp/dial";
import type { OpenSource, SourceTools } from "../outside/source-events.ts";
import type { Job } from "./jobs.ts";
import type { Layout } from "./layout.ts";
import type { ZookeeperLimits } from "./limits.ts";
import { createMirror, type Mirror, type Reading } from "./mirror.ts";
import { createSession, type Session, type SessionInput, type SessionOutput, type SessionSettings } from "./session.ts";

export interface ZookeeperSettings extends SessionSettings {
  readonly base: string;
  readonly namespace: string;
  readonly layout: Layout;
  readonly limits: ZookeeperLimits;
}

interface Running {
  readonly tools: SourceTools;
  readonly dial: Dial;
  readonly session: Session;
  readonly mirror: Mirror;
  readonly asked: Map<number, Job<Reading>>;
  connection: Dialed | undefined;
  standing: boolean;
  /** A failure was told, and nothing stood since. */
  toldLost: boolean;
  timer: Disposable | undefined;
  disposed: boolean;
}

/** Follows the tree until disposed. */
export const openZookeeperSource =
  (settings: ZookeeperSettings, dial: Dial): OpenSource =>
  (tools) => {
    const running: Running = {
      ...{ tools, dial, session: createSession(settings, tools.random, tools.clock.nowMs()) },
      ...{ mirror: createMirror({ ...settings, emit: tools.emit }), asked: new Map(), connection: undefined },
      ...{ standing: false, toldLost: false, timer: undefined, disposed: false },
    };
    feed(running, { kind: "tick" });
    return {
      [Symbol.dispose]() {
        running.disposed = true;
        running.timer?.[Symbol.dispose]();
        const farewell = running.session.farewell();
        if (farewell) running.connection?.write(farewell);
        running.connection?.finish();
      },
    };
  };

const feed = (running: Running, input: SessionInput): void => {
  if (running.disposed) return;
  const { session, tools } = running;
  obey(running, session.handle(input, tools.clock.nowMs()));
  ask(running);
  arm(running);
};

const obey = (running: Running, outputs: readonly SessionOutput[]): void => {
  for (const output of outputs) perform(running, output);
};

const perform = (running: Running, output: SessionOutput): void => {
  const { tools, mirror, asked } = running;
  switch (output.kind) {
    case "dial":
      connect(running, output.server);
      return;
    case "write":
      running.connection?.write(output.bytes);
      return;
    case "hang-up":
      running.connection?.close();
      running.connection = undefined;
      return;
    case "established": {
      const { server, resumed, readOnly } = output;
      tools.log.info("connected to ZooKeeper", { server: formatAddress(server), resumed, readOnly });
      running.standing = true;
      running.toldLost = false;
      tools.emit({ kind: "connected" });
      mirror.begin();
      return;
    }
    case "failed":
      asked.clear();
      tools.log.debug("no connection to ZooKeeper", { reason: output.reason });
      if (!running.toldLost) tools.emit({ kind: "lost", reason: output.reason });
      running.toldLost = true;
      running.standing = false;
      return;
    case "reply": {
      const job = asked.get(output.xid);
      asked.delete(output.xid);
      const problem = job && running.standing ? mirror.answer(job, output.error, output.body) : undefined;
      if (problem !== undefined) obey(running, running.session.fail(problem, tools.clock.nowMs()));
      return;
    }
    case "event":
      if (running.standing) mirror.changed(output.event);
  }
};

const connect = (running: Running, server: Parameters<Dial>[0]): void => {
  const only = (then: () => void): void => {
    if (running.connection === connection) then();
  };
  const connection: Dialed = running.dial(server, {
    onConnected: () => only(() => feed(running, { kind: "opened" })),
    onRead: (bytes) => only(() => feed(running, { kind: "bytes", bytes })),
    onClose: (reason) =>
      only(() => {
        running.connection = undefined;
        feed(running, { kind: "closed", reason });
      }),
  });
  running.connection = connection;
};

/** Sends what the window has room for. */
const ask = (running: Running): void => {
  const { mirror, session, asked, tools } = running;
  while (running.standing) {
    const next = mirror.take();
    if (!next) return;
    const { xid, bytes } = session.request(next.request, tools.clock.nowMs());
    asked.set(xid, next.job);
    running.connection?.write(bytes);
  }
};

const arm = (running: Running): void => {
  const { tools, session } = running;
  running.timer?.[Symbol.dispose]();
  const delayMs = Math.max(0, session.deadlineMs() - tools.clock.nowMs());
  running.timer = tools.setTimer(() => feed(running, { kind: "tick" }), delayMs);
};
