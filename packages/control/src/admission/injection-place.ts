/** Where a pod runs, as the path of the injection webhook says: `/inject/cluster/NAME/net/NAME`. */
import { HttpRefusal } from "@weft/net/http/server";

export interface InjectionPlace {
  readonly cluster?: string;
  readonly network?: string;
}

const fieldOf: ReadonlyMap<string, keyof InjectionPlace> = new Map([
  ["cluster", "cluster"],
  ["net", "network"],
]);
const namePattern = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?$/;

/** Throws WF2187 for other names, a name that stands twice, and values that are no names. */
export const placeInPath = (params: ReadonlyMap<string, string>): InjectionPlace => {
  const place: { cluster?: string; network?: string } = {};
  for (const index of [1, 2]) {
    const name = params.get(`name${index}`);
    const value = params.get(`value${index}`) ?? "";
    if (name === undefined) continue;
    const field = fieldOf.get(name);
    if (!field || place[field] !== undefined || !namePattern.test(value)) {
      throw new HttpRefusal(404, "WF2187", `the path says nothing known by ${name}/${value}`, {
        next: "use /inject, or /inject/cluster/NAME/net/NAME",
      });
    }
    place[field] = value;
  }
  return place;
};
