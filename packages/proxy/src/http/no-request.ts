import type { RequestHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import type { DownstreamInfo } from "./exchange.ts";

/** What an exchange holds while it serves nobody. */
export const noRequest: RequestHead = {
  method: "",
  scheme: "",
  authority: "",
  path: "",
  protocol: "",
  headers: new HeaderList(),
};
export const noDownstream = {} as DownstreamInfo;
