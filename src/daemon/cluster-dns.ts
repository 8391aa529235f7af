import type { Service } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import { type Ip, ipFamily, parseIp } from "../base/ip.ts";
import type { Client } from "../client/client.ts";
import { isNotFound } from "../client/errors.ts";
import { resources } from "../client/resources.ts";
import type { RunCommand } from "../kernel/command.ts";
import type { Log } from "../observe/log.ts";

const retryMs = 1000;

/** The addresses of Service kube-system/kube-dns, where pods send their questions; waits until the API answers. */
export async function discoverClusterDns(
  client: Client,
  deps: { readonly clock: Clock; readonly log: Log },
  signal: AbortSignal,
): Promise<readonly Ip[]> {
  for (let told = false; ; told = true) {
    try {
      return clusterIps(await client.get(resources.services, { namespace: "kube-system", name: "kube-dns" }, signal));
    } catch (error) {
      signal.throwIfAborted();
      if (!told) {
        const hint = isNotFound(error) ? "the cluster has no Service kube-system/kube-dns; give --cluster-dns" : "waiting for the API";
        deps.log("warn", `cannot tell where cluster DNS should answer: ${hint}`, { error: String(error) });
      }
      await deps.clock.sleep(retryMs, signal);
    }
  }
}

function clusterIps(service: Service): readonly Ip[] {
  const texts = service.spec?.clusterIPs ?? (service.spec?.clusterIP === undefined ? [] : [service.spec.clusterIP]);
  return texts.flatMap((text) => parseIp(text) ?? []);
}

/** Puts the addresses on this node's lo, so that packets to them end here; those there already stay. */
export async function claimAddresses(ips: readonly Ip[], run: RunCommand, log: Log): Promise<void> {
  for (const ip of ips) {
    const result = await run(["ip", "address", "replace", `${ip}/${ipFamily(ip) === 4 ? 32 : 128}`, "dev", "lo"]);
    if (result.code !== 0)
      log("warn", `cannot put ${ip} on lo; pods will not reach this node's DNS at it`, { error: result.stderr.trim() });
  }
}
