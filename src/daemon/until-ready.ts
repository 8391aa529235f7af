import type { Node } from "../api/types/core-v1.generated.ts";
import { systemClock } from "../base/clock.ts";
import type { Client } from "../client/client.ts";
import { resources } from "../client/resources.ts";

const readyTimeout = 60_000;
const askEvery = 50;

/** All of `names` are Ready and have their pod ranges. */
export async function nodesReady(client: Client, names: readonly string[], signal: AbortSignal): Promise<void> {
  await until(signal, async () => {
    const { items } = await client.list(resources.nodes);
    return names.every((n) => items.some((node) => node.metadata?.name === n && isReady(node) && (node.spec?.podCIDRs?.length ?? 0) > 0));
  });
}

/** `default`, its ServiceAccount and the root CA, without which the first pod of a user would be refused. */
export async function defaultsReady(client: Client, signal: AbortSignal): Promise<void> {
  await until(signal, async () => {
    await client.get(resources.serviceAccounts, { namespace: "default", name: "default" });
    await client.get(resources.configMaps, { namespace: "default", name: "kube-root-ca.crt" });
    return true;
  });
}

function isReady(node: Node): boolean {
  return node.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;
}

async function until(signal: AbortSignal, ask: () => Promise<boolean>): Promise<void> {
  const end = systemClock.monotonic() + readyTimeout;
  let last: unknown;
  while (systemClock.monotonic() < end) {
    try {
      if (await ask()) return;
    } catch (error) {
      last = error;
    }
    await systemClock.sleep(askEvery, signal);
  }
  throw new Error("the cluster did not become ready in 60 s", { cause: last });
}
