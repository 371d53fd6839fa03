import type { Random } from "@weft/core/world";
import type { RuntimeFractionalPercentJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import { member, refuseOthers, share } from "../compile/fields.ts";

/** The share from 0 to 1 of a RuntimeFractionalPercent; its default value, as there is no runtime layer. */
export const runtimeShare = (json: RuntimeFractionalPercentJson, at: string): number => {
  refuseOthers(json, "RuntimeFractionalPercent", at, ["defaultValue"]);
  return share(json.defaultValue, member(at, "defaultValue"));
};

/** Draws: true for that share of the calls. Nothing is drawn for none and all. */
export const drawShare = (part: number, random: Random): (() => boolean) => {
  if (part <= 0) return () => false;
  if (part >= 1) return () => true;
  return () => random() < part;
};
