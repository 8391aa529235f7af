// An ingress with many routes as a process of its own: HOSTS PATHS BACKEND-PORT. Tells its parent its port, and changes a route
// whenever it is asked to.
import { startIngressServer } from "../../ingress/index.ts";
import type { Route } from "../../ingress/route/route.ts";
import { createMemoryRelease } from "../../src/daemon/release-memory.ts";
import { benchPool, benchRoute, fullDelta } from "./routes.ts";

const [hosts = 0, paths = 0, backendPort = 0] = process.argv.slice(2).map(Number);
const server = startIngressServer({ http: [{ ip: "127.0.0.1", port: 0 }], https: [] });
await server.ready;
apply();
// as the ingress process does before it accepts
createMemoryRelease().release();
process.on("message", (message: { readonly change: number }) => {
  const path = `/changed-${message.change}`;
  const at = Date.now();
  const revision = message.change + 2;
  server.apply({ ...fullDelta([benchRoute("host-0.example.com", path, { pool: "pool-0" })], []), full: false, revision });
  process.send?.({ path, at });
});
process.send?.({ port: server.addresses.http[0]?.port });

/** What it was made from is not kept. */
function apply(): void {
  const routes: Route[] = [];
  for (let h = 0; h < hosts; h++)
    for (let p = 0; p < paths; p++) routes.push(benchRoute(`host-${h}.example.com`, `/service-${p}/v1`, { pool: `pool-${h % 1000}` }));
  const pools = Array.from({ length: 1000 }, (_, i) => benchPool(`pool-${i}`, backendPort));
  server.apply(fullDelta(routes, pools));
}
