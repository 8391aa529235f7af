import { AccessLog, startIngressServer } from "../../ingress/index.ts";
import { systemClock } from "../base/clock.ts";
import { ipFamily } from "../base/ip.ts";
import type { Log } from "../observe/log.ts";
import { agentSocket } from "./agent-socket.ts";
import { inheritedSockets } from "./child.ts";
import { type DaemonConfig, defaultDrainSeconds } from "./daemon-config.ts";
import { servicePortSocket } from "./ingress-ports.ts";
import { ingressDelta } from "./ingress-table.ts";
import { createMemoryRelease } from "./release-memory.ts";
import { type Retiring, tellParent } from "./role.ts";
import { startStateSubscriber } from "./state-subscriber.ts";
import { isTicketKeys, type TicketKeysMessage } from "./ticket-keys.ts";

/** At the stop of the whole daemon, requests under way have so long; its supervisor waits a little longer. Milliseconds. */
const stopDrainMs = 3_500;

/**
 * A process that serves HTTP routes: its listening sockets come from the supervisor, its routes from the agent. It accepts
 * nothing before it has the routes: clients that come after its predecessor died wait in the sockets, and are not told 404.
 */
export async function startIngressProcess(config: DaemonConfig, log: Log): Promise<Retiring> {
  const sockets = inheritedSockets();
  const servicePorts = sockets.filter((s) => s.name === servicePortSocket);
  const accessLog = config.ingressAccessLog === undefined ? undefined : new AccessLog(config.ingressAccessLog, toStandardOutput);
  const routed = Promise.withResolvers<void>();
  const server = startIngressServer(
    {
      ...(accessLog === undefined ? {} : { accessLog: (entry) => accessLog.add(entry) }),
      http: sockets.filter((s) => s.name === "http").map(({ fd }) => ({ fd })),
      https: sockets.filter((s) => s.name === "https").map(({ fd }) => ({ fd })),
      tcp: servicePorts.filter((s) => s.type === "tcp").map(({ fd, port }) => ({ port, at: { fd } })),
      udp: servicePorts.filter((s) => s.type === "udp").map(({ fd, port, ip }) => ({ port, at: { fd, family: ipFamily(ip) } })),
      ...(config.ingressTransport === undefined ? {} : { transport: config.ingressTransport }),
    },
    { clock: systemClock, log: (message) => log("warn", message), random: Math.random, listenAfter: routed.promise },
  );
  const onMessage = (m: unknown): void => {
    if (isTicketKeys(m) && m.keys !== undefined) server.setTicketKeys(Buffer.from(m.keys, "base64"));
  };
  process.on("message", onMessage);
  tellParent({ type: "ticket-keys" } satisfies TicketKeysMessage);
  const memory = createMemoryRelease();
  let isOpen = false;
  const state = startStateSubscriber(agentSocket(config), "ingress", {
    log,
    take: (delta) => server.prepare(ingressDelta(delta)),
    synced: () => {
      // what the first list of routes needed; later a full collection would make requests wait
      if (!isOpen) memory.release();
      isOpen = true;
      routed.resolve();
    },
    metrics: () => server.metrics(),
  });
  const drainMs = 1000 * (config.ingressDrainSeconds ?? defaultDrainSeconds);
  return {
    ready: server.ready,
    retire: () => server.drain({ withinMs: drainMs, idleMs: drainMs }),
    close: async () => {
      process.off("message", onMessage);
      await server.drain({ withinMs: stopDrainMs });
      await state.close();
      memory.close();
      accessLog?.flush();
    },
  };
}

function toStandardOutput(lines: Buffer): Promise<void> | undefined {
  const { stdout } = process;
  const written = Promise.withResolvers<void>();
  stdout.write(lines, () => written.resolve());
  return stdout.writableLength === 0 ? undefined : written.promise;
}
