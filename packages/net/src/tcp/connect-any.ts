import { connect, Socket } from "node:net";
import { AddressRace, attemptDelayMs, type RaceStep } from "./address-race.ts";
import { type ConnectOptions, type ConnectTarget, socketSettings } from "./connect.ts";
import { Connection } from "./connection.ts";
import type { SocketLoop } from "./socket-loop.ts";

/** One address of a host, and our own to connect from. */
export interface AddressChoice {
  readonly target: ConnectTarget;
  readonly sourceAddress: string | undefined;
}

export interface ConnectAnyOptions extends Pick<ConnectOptions, "keepAlive"> {
  readonly after: (delayMs: number, run: () => void) => Disposable;
}

/** Opens a plaintext connection to whichever address takes it first, in that order. Otherwise as `connectTcp`. */
export const connectAny = (
  loop: SocketLoop,
  choices: readonly AddressChoice[],
  options: ConnectAnyOptions,
  onConnected: () => void,
): Connection => {
  // Stands for the one that wins: what is written waits as it does for any socket that connects.
  const waiting = new Socket({ allowHalfOpen: true });
  (waiting as { connecting: boolean }).connecting = true;
  const connection = new Connection(loop, waiting);
  const race = new AddressRace(choices.length);
  const attempts = new Set<Socket>();
  let timer: Disposable | undefined;
  let over = false;

  const end = (): void => {
    over = true;
    timer?.[Symbol.dispose]();
    for (const socket of attempts) socket.destroy();
    attempts.clear();
  };
  waiting.once("close", end);

  let won = false;
  const win = (socket: Socket): void => {
    won = true;
    attempts.delete(socket);
    end();
    connection.adoptSocket(socket);
    waiting.destroy();
    if (!connection.open) return;
    onConnected();
    connection.flush();
  };
  const attempt = ({ target, sourceAddress }: AddressChoice): void => {
    let error: NodeJS.ErrnoException | undefined;
    const socket = connect({
      ...(target.kind === "ip" ? { host: target.host, port: target.port } : { path: target.path }),
      ...socketSettings(loop, options, () => (won ? connection : undefined)),
      ...(sourceAddress === undefined ? {} : { localAddress: sourceAddress }),
    });
    attempts.add(socket);
    socket.once("error", (reason: NodeJS.ErrnoException) => {
      error = reason;
    });
    socket.once("connect", () => {
      if (!over) win(socket);
    });
    socket.once("close", () => {
      if (attempts.delete(socket) && !over) take(race.failed(), error);
    });
  };
  const take = (step: RaceStep, error?: NodeJS.ErrnoException): void => {
    timer?.[Symbol.dispose]();
    timer = step.wait ? options.after(attemptDelayMs, () => take(race.late())) : undefined;
    const choice = step.attempt === undefined ? undefined : choices[step.attempt];
    if (choice) attempt(choice);
    else if (step.over) connection.destroy(error);
  };
  take(race.start());
  return connection;
};
