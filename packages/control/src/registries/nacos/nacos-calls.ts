/** What can be asked of a Nacos server, whichever way it is spoken to. */
import { grpcStatus } from "@weft/core/grpc-status";
import { GrpcError } from "@weft/net/grpc/status";
import type { NacosNames, ReadHost } from "@weft/protocols/nacos/answers";
import type { NacosService } from "./nacos-record.ts";

export const callDeadlineMs = 15_000;
/** Names in a page; the second and third HTTP interface allow no more. */
export const pageNames = 500;

/** Nacos answered, and refuses. */
export class NacosRefusal extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export const tooLargeCode = 413;

const overCodes: readonly number[] = [301, 401, 403];

/** The connection is gone, not known there any more, or whose it is: everything else would fail, too. */
export const isOver = (error: unknown): boolean => {
  if (error instanceof GrpcError)
    return error.status === grpcStatus.unavailable || error.status === grpcStatus.cancelled;
  return error instanceof NacosRefusal && overCodes.includes(error.code);
};

/** What `read` makes of an answer; one that cannot be read is a refusal of this one call. */
export const reading = <T>(read: () => T): T => {
  try {
    return read();
  } catch (error) {
    throw error instanceof NacosRefusal ? error : new NacosRefusal(500, error instanceof Error ? error.message : "");
  }
};

/** All reject with `NacosRefusal` where the server answers that it does not, and with another Error where it does not answer. */
export interface NacosCalls {
  /** Names of a group's services; pages begin with 1. */
  names(group: string, page: number, size: number): Promise<NacosNames>;
  /** All instances of a service; with pushes, what changes from now on is pushed. */
  follow(service: NacosService): Promise<readonly ReadHost[]>;
  /** All instances of a service as they are now. */
  query(service: NacosService): Promise<readonly ReadHost[]>;
  /** Ends what `follow` began. */
  leave(service: NacosService): Promise<void>;
  /** Whether the server may have started anew since this was asked before; absent: a connection ends with its server. */
  restarted?(): boolean;
}
