import type { Endpoint } from "./endpoint.ts";

/** Who this node is, as far as the choice of endpoints asks. */
export interface Place {
  readonly nodeName: string;
  /** Empty when the Node has no zone label. */
  readonly zone: string;
}

/** Which endpoints new connections may use, for each of the two policies separately. */
export interface Categories {
  /** For policy Cluster: ready ones that the topology hints allow; if there are none, serving ones that are terminating. */
  readonly cluster: readonly Endpoint[];
  /** For policy Local: the same on this node, without hints. */
  readonly local: readonly Endpoint[];
  /** Whether any node has a usable endpoint: decides between reject (no) and drop (only elsewhere). */
  readonly any: boolean;
}

const none: readonly Endpoint[] = [];

/** Pure; keeps the order of `endpoints`. */
export function categorizeEndpoints(endpoints: readonly Endpoint[], place: Place): Categories {
  // all ready is the rule: then nothing is copied
  const ready = endpoints.every((e) => e.ready) ? endpoints : endpoints.filter((e) => e.ready);
  const draining = ready === endpoints ? none : endpoints.filter((e) => !e.ready && e.serving && e.terminating);
  const near = byTopology(ready, place);
  const localReady = ready.some((e) => e.local) ? ready.filter((e) => e.local) : none;
  return {
    cluster: near.length > 0 ? near : draining,
    local: localReady.length > 0 ? localReady : draining.filter((e) => e.local),
    any: ready.length > 0 || draining.length > 0,
  };
}

/** Hints are followed only when every ready endpoint has one and one of them names this place; node hints before zone hints. */
function byTopology(ready: readonly Endpoint[], place: Place): readonly Endpoint[] {
  const forNode = hinted(ready, place.nodeName, (e) => e.nodeHints);
  if (forNode !== undefined) return forNode;
  return (place.zone === "" ? undefined : hinted(ready, place.zone, (e) => e.zoneHints)) ?? ready;
}

function hinted(ready: readonly Endpoint[], name: string, hints: (e: Endpoint) => readonly string[]): readonly Endpoint[] | undefined {
  if (!ready.every((e) => hints(e).length > 0)) return undefined;
  const chosen = ready.filter((e) => hints(e).includes(name));
  return chosen.length > 0 ? chosen : undefined;
}
