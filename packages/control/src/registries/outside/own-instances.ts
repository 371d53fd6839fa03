/** Takes out of what a registry tells what this mesh wrote into it: it is known already, and would come back for ever. */
import type { SourceEvent, SourceInstance } from "./source-events.ts";
import { writtenByLabel } from "./write-session.ts";

/** The event without instances of the mesh; an instance that was a stranger's and is the mesh's now is taken out. */
export const withoutOwn = (event: SourceEvent, mesh: string): readonly SourceEvent[] => {
  const isOwn = ({ labels }: SourceInstance): boolean => labels[writtenByLabel] === mesh;
  if (event.kind === "put") return isOwn(event.instance) ? [removed(event.instance)] : [event];
  if (event.kind !== "listed" || !event.instances.some(isOwn)) return [event];
  return [
    ...event.instances.filter(isOwn).map(removed),
    { ...event, instances: event.instances.filter((one) => !isOwn(one)) },
  ];
};

const removed = ({ key }: SourceInstance): SourceEvent => ({ kind: "removed", key, because: "deleted" });
