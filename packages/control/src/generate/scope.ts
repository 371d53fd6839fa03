/** What generation of one audience reads. */
import type { MeshModel } from "../model/mesh-model.ts";
import type { Memo } from "./memo.ts";
import type { ProxyFacts } from "./proxy-facts.ts";

export interface Scope {
  readonly model: MeshModel;
  readonly memo: Memo;
  readonly proxy: ProxyFacts;
}
