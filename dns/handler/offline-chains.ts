import { readFile } from "node:fs/promises";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/observe/log.ts";
import type { Answerer } from "../answer/answerer.ts";
import type { DnsBlocks } from "../corefile/server-blocks.ts";
import type { DnsHandler } from "./handler.ts";
import { defaultPorts, type ServerChains, startServerChains } from "./server-chains.ts";

/** The chains of a server that asks nobody: what other servers would say is refused. */
export interface OfflineChains {
  readonly handler: DnsHandler;
  readonly chains: ServerChains;
}

/** For questions about a configuration, and for tests. `report` hears of what is thrown in a chain, and of files that cannot be read. */
export async function startOfflineChains(
  answerer: Answerer,
  { blocks, zones, passing }: DnsBlocks,
  report: (message: string) => void,
): Promise<OfflineChains> {
  const chains = startServerChains(
    // a zone of another server is not fetched
    blocks.map((b) => ({ ...b, plugins: b.plugins.filter((p) => p.plugin !== "secondary" && p.plugin !== "loop" && p.plugin !== "log") })),
    {
      answerer,
      zones,
      passing,
      isAllowed: () => false,
      clock: systemClock,
      random: () => 0,
      log: Object.assign(
        (level: string, message: string, fields?: Readonly<Record<string, unknown>>): void => {
          const { file, error } = fields ?? {};
          if (level === "error" || typeof file === "string") report(typeof error === "string" ? `${message}: ${error}` : message);
        },
        { child: () => silentLog },
      ),
      hostname: "localhost",
      count: () => {},
      cache: { hit: () => {}, miss: () => {}, stale: () => {}, prefetch: () => {} },
      caches: new Set(),
      forward: { answered: () => {}, failed: () => {}, checkFailed: () => {}, allDown: () => {}, rejected: () => {} },
      readText: (file) => readFile(file, "utf8"),
      background: () => {},
      ownAddresses: () => [],
      zoneChanged: () => {},
    },
  );
  await chains.ready;
  const { handler } = chains.listener({ scheme: "dns", ip: "0.0.0.0", port: defaultPorts.dns, isMain: true });
  return { handler, chains };
}
