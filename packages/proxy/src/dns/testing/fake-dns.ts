/** For tests: a name server on loopback, UDP and TCP at one port, that answers as it is told. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { decodeDns } from "@weft/protocols/dns/decode";
import { encodeDns } from "@weft/protocols/dns/encode";
import {
  createReply,
  type DnsMessage,
  type DnsQuestion,
  type DnsRecord,
  recordType,
} from "@weft/protocols/dns/message";

export interface AskedQuestion extends DnsQuestion {
  readonly tcp: boolean;
  readonly query: DnsMessage;
}

/** Parts of a reply, the bytes of one, or silence. */
export type FakeAnswer = (question: AskedQuestion) => Partial<DnsMessage> | Buffer | undefined;

export interface FakeDns extends AsyncDisposable {
  readonly port: number;
  readonly asked: AskedQuestion[];
  /** From now on. */
  answer: FakeAnswer;
}

export const addressRecord = (name: string, address: string, ttl = 5): DnsRecord => ({
  name,
  type: address.includes(":") ? recordType.aaaa : recordType.a,
  class: 1,
  ttl,
  data: { kind: "address", address },
});

/** Addresses by name; other names are not known. */
export const answering =
  (names: Readonly<Record<string, readonly string[]>>, ttl = 5): FakeAnswer =>
  ({ name, type }) => {
    const addresses = names[name.toLowerCase()];
    if (addresses === undefined) return { code: 3 };
    const records = addresses.map((address) => addressRecord(name, address, ttl));
    return { answers: records.filter((record) => record.type === type) };
  };

interface Place {
  readonly host: string;
  readonly port: number;
}

/** The port that TCP was given may be somebody else's for UDP: then another is tried. */
const listenBoth = async (tcp: Server, open: () => UdpSocket, at: Place): Promise<UdpSocket> => {
  for (;;) {
    await new Promise<void>((resolve) => tcp.listen(at.port, at.host, resolve));
    const address = tcp.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const udp = open();
    const bound = await new Promise<boolean>((resolve) => {
      udp.once("error", () => resolve(false));
      udp.bind(port, at.host, () => resolve(true));
    });
    if (bound) return udp;
    udp.close();
    await new Promise((resolve) => tcp.close(resolve));
  }
};

export const startFakeDns = async (
  answer: FakeAnswer,
  at: Place = { host: "127.0.0.1", port: 0 },
): Promise<FakeDns> => {
  const asked: AskedQuestion[] = [];
  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    let held = Buffer.alloc(0);
    socket.on("data", (bytes: Buffer) => {
      held = Buffer.concat([held, bytes]);
      while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
        const reply = replyTo(held.subarray(2, 2 + held.readUInt16BE(0)), true);
        held = held.subarray(2 + held.readUInt16BE(0));
        if (reply === undefined) continue;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([length, reply]));
      }
    });
  });
  const udp = await listenBoth(tcp, () => createSocket("udp4"), at);
  const { port } = udp.address();
  const server = {
    port,
    asked,
    answer,
    [Symbol.asyncDispose]: async () => {
      udp.close();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => tcp.close(resolve));
    },
  };
  const replyTo = (bytes: Buffer, overTcp: boolean): Buffer | undefined => {
    const query = decodeDns(bytes);
    const [question] = query.questions;
    if (question === undefined) return undefined;
    const full: AskedQuestion = { ...question, tcp: overTcp, query };
    asked.push(full);
    const given = server.answer(full);
    if (given === undefined || Buffer.isBuffer(given)) return given;
    return encodeDns(createReply(query, given), overTcp ? undefined : (query.edns?.udpBytes ?? 512));
  };
  udp.on("message", (bytes, { port: to, address }) => {
    const reply = replyTo(bytes, false);
    if (reply !== undefined) udp.send(reply, to, address);
  });
  return server;
};
