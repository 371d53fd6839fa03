/** An application that does wrong where its path asks for it, and clients that do wrong themselves. */
import { createServer, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { type AddressInfo, connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export interface RudeApp extends AsyncDisposable {
  readonly port: number;
}

/** `/wrong/reset`, `/wrong/503`, `/rude/short`; `/late` and `/rude/hang` are never answered. */
export const startRudeApp = async (): Promise<RudeApp> => {
  const server = createServer({ keepAliveTimeout: 60_000 }, (asked, answer) => {
    asked.resume();
    asked.on("error", () => {});
    const what = asked.url ?? "";
    if (what.startsWith("/wrong/reset")) asked.socket.resetAndDestroy();
    else if (what.startsWith("/wrong/503")) answer.writeHead(503).end("no");
    else if (what.startsWith("/rude/short")) {
      answer.writeHead(200, { "content-length": 1000 });
      answer.write("only this", () => asked.socket.destroy());
    }
  });
  server.on("connection", (socket: Socket) => void socket.on("error", () => {}));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

export interface ChaosPorts {
  readonly plain: number;
  readonly tls: number;
  readonly tcp: number;
}

/** Writes bytes on a connection of its own, then does `then` once they are out; resolves when it is closed. */
const say = (port: number, text: string, then: (socket: Socket) => void): Promise<void> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text, () => then(socket)));
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
  });

const ask = (port: number, path: string): Promise<void> =>
  new Promise((resolve) => {
    const asked = request({ port, host: "127.0.0.1", path, agent: false }, (answer) => {
      answer.on("error", () => {});
      answer.on("close", () => resolve());
      answer.resume();
    });
    asked.on("error", () => resolve());
    asked.end();
  });

const reset = (socket: Socket): void => void socket.resetAndDestroy();
const untilAnswered = (socket: Socket): void => void socket.once("data", () => socket.destroy());
const streamsEach = 20;

/** Streams on one HTTP/2 connection, every second one reset, some with requests under way when the connection goes. */
const streams = (port: number): Promise<void> =>
  new Promise((resolve) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    let left = streamsEach;
    const over = (): void => {
      if (--left === 0) session.destroy();
    };
    session.on("error", () => {});
    session.on("close", () => resolve());
    const paths = ["/h2", "/wrong/503", "/late", "/rude/hang", "/rude/short"];
    for (let i = 0; i < streamsEach; i++) {
      const stream = session.request({ ":path": paths[i % paths.length] });
      stream.on("error", () => {});
      stream.on("close", over);
      stream.resume();
      if (i % 2 === 1) setImmediate(() => stream.close(8));
      else if (paths[i % paths.length] === "/rude/hang") setImmediate(over);
    }
  });

const brokenTls = (port: number): Promise<void> =>
  new Promise((resolve) => {
    const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }, () =>
      socket.write("GET /rude/hang HTTP/1.1\r\nhost: a\r\n\r\n", () => socket.destroy()),
    );
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`;
/** Half of a ClientHello: its record says there is more. */
const halfHello = "\x16\x03\x01\x02\x00\x01";

interface Deed {
  readonly requests: number;
  readonly run: (ports: ChaosPorts) => Promise<void>;
}
const one = (run: Deed["run"]): Deed => ({ requests: 1, run });

const deeds: readonly Deed[] = [
  one(({ plain }) => say(plain, "POST /rude/hang HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\nhalf", reset)),
  one(({ plain }) => say(plain, get("/rude/hang"), reset)),
  one(({ plain }) => say(plain, get("/rude/hang"), (socket) => socket.destroy())),
  one(({ plain }) => say(plain, get("/"), (socket) => socket.end())),
  one(({ plain }) => say(plain, get("/"), untilAnswered)),
  one(({ plain }) => say(plain, "no request\r\n\r\n", () => {})),
  one(({ plain }) => say(plain, "GET / HTTP/1.1\r\nhost: a\r\nx: unfinished", reset)),
  one(({ plain }) => say(plain, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", reset)),
  one(({ plain }) => ask(plain, "/wrong/reset")),
  one(({ plain }) => ask(plain, "/wrong/503")),
  one(({ plain }) => ask(plain, "/rude/short")),
  one(({ plain }) => ask(plain, "/late")),
  one(({ tcp }) => say(tcp, get("/"), untilAnswered)),
  one(({ tcp }) => say(tcp, get("/"), reset)),
  one(({ tcp }) => say(tcp, "GET / HTT", (socket) => socket.end())),
  one(({ tls }) => brokenTls(tls)),
  one(({ tls }) => say(tls, halfHello, reset)),
  { requests: streamsEach, run: ({ plain }) => streams(plain) },
];

/** Does wrong until at least that many requests were made, several at a time; returns how many there were. */
export const misbehave = async (ports: ChaosPorts, requests: number, atOnce = 16): Promise<number> => {
  let made = 0;
  let next = 0;
  const work = async (): Promise<void> => {
    while (made < requests) {
      const deed = deeds[next++ % deeds.length] as Deed;
      made += deed.requests;
      await deed.run(ports);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return made;
};
