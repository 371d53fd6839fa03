/** Clients of every protocol. Each call resolves with what went wrong, or nothing. */
import { Agent, request } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";

export type Fault = "" | "reset" | "503" | "slow";

/** `undefined`: as it should be. `gone`: the proxy takes no more connections, or said GOAWAY before it saw the request. */
export type Outcome = string | undefined;
export const gone = "gone";

const statusOf = (fault: Fault): number => (fault === "reset" || fault === "503" ? 503 : 200);
const isRefused = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ECONNREFUSED";

const judge = (fault: Fault, status: number, body: string, expected: string): Outcome => {
  if (status !== statusOf(fault)) return `${status} where ${statusOf(fault)} was due: ${body.slice(0, 100)}`;
  return status !== 200 || body === expected ? undefined : `body "${body.slice(0, 100)}"`;
};

export const createHttp1Client = (port: number) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let count = 0;
  const call = (fault: Fault = ""): Promise<Outcome> =>
    new Promise((resolve) => {
      const path = `/${++count}`;
      const body = "x".repeat(count % 3 === 0 ? 2000 : 0);
      const method = body === "" ? "GET" : "POST";
      const asked = request(
        { port, host: "127.0.0.1", path, method, agent, headers: { "x-fault": fault } },
        (response) => {
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => {
            text += chunk;
          });
          response.on("error", (error) => resolve(`cut short: ${error.message}`));
          response.on("end", () => resolve(judge(fault, response.statusCode ?? 0, text, `one ${path}`)));
        },
      );
      asked.on("error", (error) => resolve(isRefused(error) ? gone : `no answer: ${error.message}`));
      asked.end(body);
    });
  return { call, close: () => agent.destroy() };
};

const openSession = (port: number): { readonly session: ClientHttp2Session; left: boolean } => {
  const opened = { session: connectHttp2(`http://127.0.0.1:${port}`), left: false };
  opened.session.on("error", (error) => {
    if (isRefused(error)) opened.left = true;
  });
  opened.session.on("goaway", () => {
    opened.left = true;
  });
  opened.session.on("close", () => {
    opened.left = true;
  });
  return opened;
};

export const createHttp2Client = (port: number) => {
  let current = openSession(port);
  let count = 0;
  const call = (fault: Fault = ""): Promise<Outcome> =>
    new Promise((resolve) => {
      if (current.left) return resolve(gone);
      const { session } = current;
      const path = `/${++count}`;
      const stream = session.request({ ":path": path, "x-fault": fault });
      let status = 0;
      let text = "";
      stream.on("response", (headers) => {
        status = Number(headers[":status"]);
      });
      stream.setEncoding("utf8");
      stream.on("data", (chunk: string) => {
        text += chunk;
      });
      stream.on("error", () => {});
      stream.on("close", () => {
        if (status !== 0 && stream.rstCode === 0) return resolve(judge(fault, status, text, `two ${path}`));
        // 7: refused before it was seen, as after a GOAWAY.
        resolve(
          current.left && (stream.rstCode === 7 || status === 0) ? gone : `reset ${stream.rstCode}, status ${status}`,
        );
      });
    });
  const reopen = (): void => {
    current.session.destroy();
    current = openSession(port);
  };
  return { call, reopen, close: () => current.session.destroy() };
};

/** A gRPC stream that stays open: each message comes back. */
export const openGrpcStream = (port: number) => {
  const { session } = openSession(port);
  const stream = session.request({
    ":method": "POST",
    ":path": "/echo.Echo/Chat",
    "content-type": "application/grpc",
    te: "trailers",
  });
  let received = 0;
  let waiter: (() => void) | undefined;
  let failed: string | undefined;
  let status: string | undefined;
  stream.on("data", (chunk: Buffer) => {
    received += chunk.length;
    waiter?.();
  });
  stream.on("trailers", (trailers) => {
    status = String(trailers["grpc-status"]);
  });
  stream.on("error", (error) => {
    failed = error.message;
  });
  stream.on("close", () => {
    failed ??= status === "0" ? undefined : `grpc-status ${status}`;
    waiter?.();
  });
  let sent = 0;
  return {
    say: async (): Promise<Outcome> => {
      const message = Buffer.alloc(105);
      message.writeUInt32BE(100, 1);
      sent += message.length;
      stream.write(message);
      while (received < sent && failed === undefined && !stream.closed) {
        await new Promise<void>((resolve) => {
          waiter = resolve;
        });
      }
      return failed ?? (received === sent ? undefined : `${received} of ${sent} bytes came back`);
    },
    finish: async (): Promise<Outcome> => {
      const closed = new Promise<void>((resolve) => stream.once("close", () => resolve()));
      stream.end();
      await closed;
      session.close();
      return failed;
    },
    destroy: () => session.destroy(),
  };
};

const upgrade =
  "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/** Bytes that come back over a TCP connection, or over an upgraded one. */
export const openEcho = async (port: number, websocket: boolean) => {
  const socket: Socket = connect(port, "127.0.0.1");
  let text = "";
  let waiter: (() => void) | undefined;
  let failed: string | undefined;
  let ended = false;
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    text += chunk;
    waiter?.();
  });
  socket.on("error", (error) => {
    failed = isRefused(error) ? gone : error.message;
  });
  socket.on("close", () => {
    ended = true;
    waiter?.();
  });
  const until = async (done: () => boolean): Promise<Outcome> => {
    while (!done()) {
      if (ended) return failed ?? `closed after "${text.slice(0, 60)}"`;
      await new Promise<void>((resolve) => {
        waiter = resolve;
      });
    }
    return undefined;
  };
  let opening: Outcome;
  if (websocket) {
    socket.write(upgrade);
    opening = await until(() => text.includes("\r\n\r\n"));
    if (opening === undefined && !text.startsWith("HTTP/1.1 101")) opening = text.slice(0, 60);
    text = text.slice(text.indexOf("\r\n\r\n") + 4);
  }
  return {
    opening,
    say: (): Promise<Outcome> => {
      text = "";
      socket.write("hello there");
      return until(() => text === "hello there");
    },
    close: (): Promise<void> =>
      new Promise((resolve) => {
        if (ended) return resolve();
        socket.once("close", () => resolve());
        socket.end();
      }),
  };
};
