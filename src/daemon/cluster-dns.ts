import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Service } from "../api/types/core-v1.generated.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { type Ip, ipFamily, parseIp } from "../base/ip.ts";
import { type Client, createClient } from "../client/client.ts";
import { isNotFound } from "../client/errors.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";
import { type RunCommand, runCommand } from "../kernel/command.ts";
import { writePrivateFile } from "../kernel/private-file.ts";
import type { Log } from "../observe/log.ts";
import type { DaemonConfig } from "./daemon-config.ts";
import { tellParent } from "./role.ts";

const retryMs = 1000;

/** The addresses of Service kube-system/kube-dns, where pods send their questions; waits until the API answers. */
export async function discoverClusterDns(
  client: Client,
  deps: {
    readonly clock: Clock;
    readonly log: Log;
    /** The API answers, and there is no such Service (yet). */
    readonly onAbsent: () => void;
  },
  signal: AbortSignal,
): Promise<readonly Ip[]> {
  for (let told = false; ; told = true) {
    try {
      const ips = clusterIps(await client.get(resources.services, { namespace: "kube-system", name: "kube-dns" }, signal));
      if (ips.length > 0) return ips;
      throw new Error("Service kube-system/kube-dns has no cluster IP");
    } catch (error) {
      signal.throwIfAborted();
      if (isNotFound(error)) deps.onAbsent();
      if (!told) {
        const hint = isNotFound(error) ? "the cluster has no Service kube-system/kube-dns; give --cluster-dns" : "waiting for the API";
        deps.log("warn", `cannot tell where cluster DNS should answer: ${hint}`, { error: String(error) });
      }
      await deps.clock.sleep(retryMs, signal);
    }
  }
}

/** Where cluster DNS answered when this node last ran; empty when that is not known. */
export function readClusterDns(file: string): readonly Ip[] {
  try {
    const saved: unknown = JSON.parse(readFileSync(file, "utf8"));
    const ips = Array.isArray(saved) ? saved.map((text) => parseIp(String(text))) : [];
    return ips.every((ip) => ip !== undefined) ? ips : [];
  } catch {
    // None yet, or one that a full disk cut short: the API says it again.
    return [];
  }
}

/** Whole or not at all. A failure is told, and costs a start without the API its DNS. */
export function saveClusterDns(file: string, ips: readonly Ip[], log: Log): void {
  try {
    writePrivateFile(file, JSON.stringify(ips));
  } catch (error) {
    log("warn", "the addresses of cluster DNS could not be kept", { file, error: String(error) });
  }
}

function clusterIps(service: Service): readonly Ip[] {
  const texts = service.spec?.clusterIPs ?? (service.spec?.clusterIP === undefined ? [] : [service.spec.clusterIP]);
  return texts.flatMap((text) => parseIp(text) ?? []);
}

/** Puts the addresses on this node's lo, so that packets to them end here; those there already stay. */
export async function claimAddresses(ips: readonly Ip[], run: RunCommand, log: Log): Promise<void> {
  for (const ip of ips) {
    // Of host scope: a masquerade over lo must never take it for the source, since its packets are not tracked.
    const where = ipFamily(ip) === 4 ? [`${ip}/32`, "dev", "lo", "scope", "host"] : [`${ip}/128`, "dev", "lo"];
    const result = await run(["ip", "address", "replace", ...where]);
    if (result.code !== 0)
      log("warn", `cannot put ${ip} on lo; pods will not reach this node's DNS at it`, { error: result.stderr.trim() });
  }
}

/** Given, or kept from the last run, or asked of the API. What was kept is checked as soon as the API answers. */
export async function clusterDnsOf(config: DaemonConfig, transport: Transport, log: Log, signal: AbortSignal): Promise<readonly Ip[]> {
  if (!config.enable.includes("dns") || config.clusterDns.length > 0) return config.clusterDns;
  const file = join(config.runDir, "cluster-dns.json");
  const absent = Promise.withResolvers<readonly Ip[]>();
  const discovered = discoverClusterDns(createClient(transport), { clock: systemClock, log, onAbsent: () => absent.resolve([]) }, signal);
  const kept = readClusterDns(file);
  // A cluster without that Service has its rules and routes all the same.
  const ips = kept.length > 0 ? kept : await Promise.race([discovered, absent.promise]);
  if (kept.length === 0 && ips.length > 0) saveClusterDns(file, ips, log);
  else {
    discovered.then(
      (now) => {
        if (now.join() === ips.join()) return;
        saveClusterDns(file, now, log);
        log("warn", "Service kube-system/kube-dns has other addresses now; the agent starts anew with them", { before: ips, now });
        // Names and sockets hang on the addresses; the supervisor starts an agent that ends again.
        process.kill(process.pid, "SIGTERM");
      },
      () => undefined,
    );
  }
  if (ips.length === 0) return ips;
  await claimAddresses(ips, runCommand, log);
  tellParent({ type: "dns-addresses", ips });
  return ips;
}
