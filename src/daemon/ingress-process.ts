import { AccessLog, startIngressServer } from "../../ingress/index.ts";
import { systemClock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import type { Log } from "../observe/log.ts";
import { agentSocket } from "./agent-socket.ts";
import { inheritedSockets } from "./child.ts";
import type { DaemonConfig } from "./daemon-config.ts";
import { ingressDelta } from "./ingress-table.ts";
import { startStateSubscriber } from "./state-stream.ts";

/** A process that serves HTTP routes: its listening sockets come from the supervisor, its routes from the agent. */
export async function startIngressProcess(config: DaemonConfig, log: Log): Promise<Running> {
  const sockets = inheritedSockets();
  const accessLog = config.ingressAccessLog === undefined ? undefined : new AccessLog(config.ingressAccessLog, toStandardOutput);
  const server = startIngressServer(
    {
      ...(accessLog === undefined ? {} : { accessLog: (entry) => accessLog.add(entry) }),
      http: sockets.filter((s) => s.name === "http").map(({ fd }) => ({ fd })),
      https: sockets.filter((s) => s.name === "https").map(({ fd }) => ({ fd })),
      ...(config.ingressTransport === undefined ? {} : { transport: config.ingressTransport }),
    },
    { clock: systemClock, log: (message) => log("warn", message), random: Math.random },
  );
  await server.ready;
  const state = startStateSubscriber(agentSocket(config), "ingress", {
    log,
    apply: (delta) => server.apply(ingressDelta(delta)),
    synced: () => undefined,
    metrics: () => server.metrics(),
  });
  return {
    ready: state.ready,
    close: async () => {
      await server.drain();
      await state.close();
      await server.close();
      accessLog?.flush();
    },
  };
}

function toStandardOutput(text: string): Promise<void> | undefined {
  if (process.stdout.write(text)) return undefined;
  return new Promise((resolve) => process.stdout.once("drain", () => resolve()));
}
