/**
 * The name server in a process of its own, fed as a node's is: names and their changes come from a publisher's socket (argument 1,
 * its table argument 2), UDP is read as argument 3 says, other names are asked of the upstream at argument 4. Prints its port once it
 * has all names.
 */
import { startDnsServer } from "../../dns/index.ts";
import { recordDelta } from "../../src/daemon/names-table.ts";
import { createMemoryRelease } from "../../src/daemon/release-memory.ts";
import { startStateSubscriber } from "../../src/daemon/state-subscriber.ts";
import { silentLog } from "../../src/observe/log.ts";

const [socket = "", table = "", udpIo = "auto", upstream = "0", cache = "cached"] = process.argv.slice(2);
const server = startDnsServer({
  listen: [{ ip: "127.0.0.1", port: 0 }],
  upstreams: [{ ip: "127.0.0.1", port: Number(upstream) }],
  udpIo: udpIo === "portable" ? "portable" : "auto",
  ...(cache === "uncached" ? { cache: false } : {}),
});
await server.ready;
const memory = createMemoryRelease();
const state = startStateSubscriber(socket, table, {
  take: (delta) => {
    memory.changed(delta.upserts.length + delta.deletes.length);
    server.apply(recordDelta(delta));
    return undefined;
  },
  synced: () => {
    server.setSynced();
    memory.release();
  },
  known: server,
  metrics: () => server.metrics(),
  log: silentLog,
});
await state.ready;
process.stdout.write(`${server.addresses()[0]?.port ?? 0}\n`);
