import type { Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server as TcpServer } from "node:net";
import { type BoundSockets, loadCorefile, reverseZones, startDnsServer } from "../../dns/index.ts";
import { parseCidr } from "../base/cidr.ts";
import { systemClock } from "../base/clock.ts";
import { createUdpSocket } from "../kernel/udp-socket.ts";
import type { Log } from "../observe/log.ts";
import { agentSocket } from "./agent-socket.ts";
import { inheritedSockets, type NamedSocket } from "./child.ts";
import { isServedAlike, lookEvery, reloadMetrics, startCorefileWatch, withUpstreams } from "./corefile.ts";
import { corefileOf } from "./corefile-configmap.ts";
import type { DaemonConfig } from "./daemon-config.ts";
import { recordDelta } from "./names-table.ts";
import { createMemoryRelease } from "./release-memory.ts";
import { type Retiring, tellParent } from "./role.ts";
import { startStateSubscriber } from "./state-subscriber.ts";

/** How long questions wait in the sockets for the records; without an agent by then, only what is outside is answered. */
const patienceMs = 3000;
/** For what it has taken, when another process has the sockets too. */
const retireMs = 5000;

/**
 * The process that answers DNS on a node: its sockets come from the supervisor, its records from the agent. It reads no
 * question before it has the records: those that come after its predecessor died wait, and are not told SERVFAIL.
 */
export async function startDnsProcess(config: DaemonConfig, log: Log): Promise<Retiring> {
  const ranges = [...config.clusterCidrs, ...config.serviceCidrs, ...config.nodeCidrs, "127.0.0.0/8", "::1/128"];
  const reverse = [...config.clusterCidrs, ...config.serviceCidrs].flatMap((c) => parseCidr(c) ?? []);
  const file = corefileOf(config);
  const corefile = file === undefined ? undefined : loadCorefile(file);
  const sockets = Promise.withResolvers<BoundSockets>();
  const started = startDnsServer(
    {
      listen: [],
      ...(corefile === undefined ? {} : { blocks: withUpstreams(corefile.blocks, config.upstreams) }),
      kubernetes: { zones: [config.clusterDomain, ...reverse.flatMap(reverseZones)] },
      upstreams: config.upstreams,
      allowedClients: ranges.flatMap((c) => parseCidr(c) ?? []),
    },
    { log, sockets: sockets.promise },
  );
  const known = Promise.withResolvers<void>();
  let reloadFailures = (): number => 0;
  const memory = createMemoryRelease();
  /** It reads questions. */
  let isOpen = false;
  const state = startStateSubscriber(agentSocket(config), "dns", {
    log,
    take: (delta) => {
      memory.changed(delta.upserts.length + delta.deletes.length);
      started.apply(recordDelta(delta));
      return undefined;
    },
    synced: () => {
      started.setSynced();
      if (!isOpen) memory.release();
      known.resolve();
    },
    known: started,
    metrics: () => started.metrics() + reloadMetrics(reloadFailures()),
  });
  const wait = new AbortController();
  await Promise.race([
    known.promise,
    systemClock.sleep(config.dnsPatienceMs ?? patienceMs, wait.signal).catch(() => undefined),
    started.ready,
  ]);
  wait.abort();
  isOpen = true;
  sockets.resolve(await openSockets());
  await started.ready;
  const watch =
    file === undefined || corefile === undefined
      ? undefined
      : startCorefileWatch(
          file,
          corefile,
          async ({ blocks, before }) => {
            if (isServedAlike(before, blocks)) await started.configure(withUpstreams(blocks, config.upstreams));
            // sockets and names hang on these: this process answers until the supervisor has started another
            else tellParent({ type: "renew" });
          },
          { log, ...lookEvery(config) },
        );
  reloadFailures = () => watch?.failures() ?? 0;
  return {
    ready: state.ready,
    retire: () => started.drain(retireMs),
    close: async () => {
      memory.close();
      await watch?.close();
      await state.close();
      await started.close();
    },
  };
}

async function openSockets(): Promise<BoundSockets> {
  const sockets = inheritedSockets().filter((s) => s.name === "dns");
  const udp = await Promise.all(sockets.filter((s) => s.type === "udp").map(openUdp));
  const tcp = await Promise.all(sockets.filter((s) => s.type === "tcp").map(openTcp));
  return { udp, tcp };
}

/** With its descriptor, so that datagrams can be read and written in batches. */
async function openUdp(socket: NamedSocket): Promise<{ readonly socket: UdpSocket; readonly fd: number }> {
  const opened = createUdpSocket(socket.ip, "as it is");
  // A descriptor that is bound already is "listening" before bind() returns.
  const listening = once(opened, "listening");
  opened.bind({ fd: socket.fd });
  await listening;
  return { socket: opened, fd: socket.fd };
}

async function openTcp(socket: NamedSocket): Promise<TcpServer> {
  // A client that closes its side still gets its answers.
  const opened = createServer({ allowHalfOpen: true });
  const listening = once(opened, "listening");
  opened.listen({ fd: socket.fd });
  await listening;
  return opened;
}
