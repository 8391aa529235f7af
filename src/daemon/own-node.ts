import type { Snapshot } from "../snapshot/cluster-snapshot.ts";

/** What to tell who started a daemon for a Node that is not there, which a wrong name looks like; undefined: it is there. */
export function withoutNode({ tables }: Snapshot, nodeName: string): string | undefined {
  if (tables.Node.has(nodeName)) return undefined;
  const others = [...tables.Node.keys()].slice(0, 3);
  const known = others.length === 0 ? "none is there" : `there is ${others.join(", ")}${tables.Node.size > others.length ? ", …" : ""}`;
  return `the API has no Node ${nodeName} (${known}): no endpoint counts as this node's own, and load balancers are told to send it nothing; --node-name or NODE_NAME says which it is`;
}
