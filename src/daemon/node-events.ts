import type { NodeEvent } from "../../rules/index.ts";
import type { Running } from "../base/running.ts";
import { createEventRecorder } from "../client/events.ts";
import type { Transport } from "../client/transport.ts";
import type { Log } from "../observe/log.ts";
import type { Problem } from "../snapshot/problem.ts";
import type { SnapshotStore } from "../snapshot/snapshot-store.ts";
import { recordProblems, referenceTo } from "./problem-events.ts";

export interface NodeEventsConfig {
  readonly transport: Transport;
  readonly store: SnapshotStore;
  readonly nodeName: string;
  /** What this node alone has seen: refusals of its kernel, ports and tables of its machine. */
  readonly problems: () => readonly Problem[];
}

export interface NodeEvents extends Running {
  /** Writes an Event on this node's Node. */
  record(event: NodeEvent): void;
  /** The problems may have changed. */
  look(): void;
}

/** Problems that nobody says have changed are looked for this often. Milliseconds. */
const lookInterval = 5000;

/** What happens on this node only, as Events that it writes itself: its Node's, and of objects that its kernel refuses. */
export function startNodeEvents({ transport, store, nodeName, problems }: NodeEventsConfig, log: Log): NodeEvents {
  const events = createEventRecorder(transport, {
    component: "fairway",
    host: nodeName,
    onFailure: (e) => log("debug", "an event could not be written", { error: String(e) }),
  });
  const reported = new Set<string>();
  const look = (): void => recordProblems(problems(), { store, record: events.record, reported });
  const timer = setInterval(look, lookInterval);
  return {
    ready: Promise.resolve(),
    record: (event) => events.record({ regarding: referenceTo({ kind: "Node", name: nodeName }, store), ...event }),
    look,
    close: async () => {
      clearInterval(timer);
      await events.close();
    },
  };
}
