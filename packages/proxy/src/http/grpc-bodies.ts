import { GrpcMessageCounter } from "@weft/protocols/grpc/message-counter";
import type { RequestHead } from "@weft/protocols/http/head";
import type { HeaderList } from "@weft/protocols/http/headers";
import { isGrpcRequest } from "../matching/grpc.ts";
import type { BodyTranslation } from "./exchange.ts";

/** The bodies of a gRPC exchange on their way through: counted by message, and translated where a filter asked for it. */
export class GrpcBodies {
  /** The exchange is a gRPC call; nothing else here is to be used otherwise. */
  active = false;
  private translation: BodyTranslation | undefined = undefined;
  private readonly requests = new GrpcMessageCounter();
  private readonly responses = new GrpcMessageCounter();

  get requestMessages(): number {
    return this.requests.count;
  }
  get responseMessages(): number {
    return this.responses.count;
  }

  begin(head: RequestHead): void {
    this.active = isGrpcRequest(head);
  }
  translate(translation: BodyTranslation): void {
    this.active = true;
    this.translation = translation;
  }

  /** What goes upstream for these bytes of the client; `undefined` when they cannot be read. */
  request(bytes: Buffer): Buffer | undefined {
    const plain = this.translation === undefined ? bytes : this.translation.request(bytes);
    if (plain !== undefined) this.requests.receive(plain);
    return plain;
  }
  requestEnd(): boolean {
    return this.translation?.requestEnd() ?? true;
  }
  /** What goes to the client for these bytes of the upstream. */
  response(bytes: Buffer): Buffer {
    this.responses.receive(bytes);
    return this.translation === undefined ? bytes : this.translation.response(bytes);
  }
  /** What ends the body in place of trailers; `undefined` where they stay trailers. */
  trailers(trailers: HeaderList): Buffer | undefined {
    return this.translation?.trailers(trailers);
  }

  reset(): void {
    this.active = false;
    this.translation = undefined;
    this.requests.reset();
    this.responses.reset();
  }
}
