/** A name server that lies, by the name that it is asked for. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

export interface HostileDns extends AsyncDisposable {
  /** Questions so far for names that begin so. */
  readonly asked: (name: string) => number;
  /** From now on names that begin with `gone` are not known. */
  readonly forget: () => void;
}

const typeA = 1;
const typeCname = 5;
const truncated = 0x0200;
const notFound = 3;
const manyAddresses = 3000;

const encodeName = (name: string): Buffer =>
  Buffer.concat([
    ...name.split(".").map((part) => Buffer.from(`${String.fromCharCode(part.length)}${part}`, "latin1")),
    Buffer.of(0),
  ]);

const record = (name: string, type: number, ttl: number, data: Buffer): Buffer => {
  const head = Buffer.alloc(10);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(1, 2);
  head.writeUInt32BE(ttl, 4);
  head.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(name), head, data]);
};

interface Question {
  readonly id: number;
  readonly name: string;
  readonly type: number;
  /** As it came, to be sent back. */
  readonly bytes: Buffer;
}

const readQuestion = (message: Buffer): Question => {
  let at = 12;
  const parts: string[] = [];
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    parts.push(message.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return {
    id: message.readUInt16BE(0),
    name: parts.join("."),
    type: message.readUInt16BE(at + 1),
    bytes: message.subarray(12, at + 5),
  };
};

const reply = ({ id, bytes }: Question, records: readonly Buffer[], flags = 0): Buffer => {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(0x8180 | flags, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  return Buffer.concat([head, bytes, ...records]);
};

/** What is answered, and by which way; nothing for names that are never answered. */
const answer = (
  question: Question,
  facts: { readonly good: Buffer; readonly count: number; readonly forgets: boolean; readonly tcp: boolean },
): readonly Buffer[] => {
  const { name, type } = question;
  const { good, count, forgets, tcp } = facts;
  const found = (ttl = 1, as = name): Buffer => reply(question, type === typeA ? [record(as, typeA, ttl, good)] : []);
  switch (/^(?:loop|slow|[a-z]+)/.exec(name.toLowerCase())?.[0]) {
    case "flap":
      return [count % 3 === 0 ? reply(question, [], notFound) : found()];
    case "gone":
      return [forgets ? reply(question, [], notFound) : found()];
    case "loop": {
      const other = name.startsWith("loopa") ? "loopb.test" : "loopa.test";
      return [
        reply(question, [record(name, typeCname, 1, encodeName(other)), record(other, typeCname, 1, encodeName(name))]),
      ];
    }
    case "huge":
      return [
        tcp
          ? reply(
              question,
              Array.from({ length: manyAddresses }, (_, i) =>
                record("h", typeA, 1, Buffer.of(127, 9, i >> 8, i & 255)),
              ),
            )
          : reply(question, [], truncated),
      ];
    case "cut":
      return [reply(question, [], truncated)];
    case "other":
      return [reply({ ...question, id: question.id ^ 1 }, [record(name, typeA, 1, Buffer.of(6, 6, 6, 6))])];
    case "noise":
      return [
        Buffer.concat([reply(question, []).subarray(0, 12), Buffer.alloc(400, 0xc0)]),
        Buffer.of(1),
        Buffer.alloc(0),
      ];
    case "slow":
      return [];
    case "zero":
      return [found(0)];
    case "case":
      return [found(1, name.toUpperCase())];
    default:
      return [found()];
  }
};

/** Listens for both kinds of questions on port 53 of that address, which good answers tell too. */
export const startHostileDns = async (address: string): Promise<HostileDns> => {
  const counts = new Map<string, number>();
  const good = Buffer.from(address.split(".").map(Number));
  let forgets = false;
  const answers = (message: Buffer, tcp: boolean): readonly Buffer[] => {
    const question = readQuestion(message);
    const count = (counts.get(question.name) ?? 0) + 1;
    counts.set(question.name, count);
    return answer(question, { good, count, forgets, tcp });
  };
  const udp = createSocket("udp4", (message, { port, address: from }) => {
    for (const each of answers(message, false)) udp.send(each, port, from);
  });
  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      for (const each of answers(bytes.subarray(2), true)) {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(Math.min(each.length, 65_535));
        socket.write(Buffer.concat([length, each.subarray(0, 65_535)]));
      }
    });
  });
  udp.bind(53, address);
  tcp.listen(53, address);
  await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
  return {
    asked: (name) => [...counts].reduce((sum, [each, count]) => (each.startsWith(name) ? sum + count : sum), 0),
    forget: () => {
      forgets = true;
    },
    [Symbol.asyncDispose]: async () => {
      udp.close();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => tcp.close(resolve));
    },
  };
};
