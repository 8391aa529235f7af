import { existsSync, linkSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { isCorefileError, loadCorefile, printDefaultCorefile, reverseZones } from "../../dns/index.ts";
import type { ConfigMap } from "../api/types/core-v1.generated.ts";
import { type Cidr, parseCidr } from "../base/cidr.ts";
import type { Clock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import { startReflector } from "../client/reflector.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";
import { writePrivateFile } from "../kernel/private-file.ts";
import type { Log } from "../observe/log.ts";
import type { Problem } from "../snapshot/problem.ts";
import { reloadMetrics } from "./corefile.ts";
import type { DaemonConfig } from "./daemon-config.ts";

/** Where a Corefile is in the API; kubeadm's is kube-system/coredns. */
export type ConfigMapName = NonNullable<DaemonConfig["corefileConfigMap"]>;

/** The key whose text is the Corefile; the others lie beside it as files, as in a volume of the ConfigMap. */
const corefileKey = "Corefile";
/** The API is waited for so long before what was known is used. Milliseconds. */
const patienceMs = 2000;

export interface CorefileConfigMap extends Running {
  /** What is wrong with the one there is now. */
  readonly problems: () => readonly Problem[];
  readonly metrics: () => string;
}

type Named = Pick<DaemonConfig, "corefile" | "corefileConfigMap" | "runDir" | "clusterDomain" | "clusterCidrs" | "serviceCidrs">;

/**
 * The file that the processes of a node read: the one they were given, or one that stands for the ConfigMap. That is there from the
 * start on: it says what was known last, and on a node that never saw the ConfigMap what DNS does without a Corefile.
 */
export function corefileOf(config: Named): string | undefined {
  if (config.corefileConfigMap === undefined) return config.corefile;
  const file = join(config.runDir, "coredns", corefileKey);
  const ranges = [...config.serviceCidrs, ...config.clusterCidrs].flatMap((c) => parseCidr(c) ?? []);
  writeOnce(file, defaultCorefile(config.clusterDomain, ranges));
  return file;
}

export function defaultCorefile(clusterDomain: string, ranges: readonly Cidr[]): string {
  const zones = [clusterDomain, ...ranges.flatMap(reverseZones)].map((zone) => zone.replace(/\.$/, ""));
  return printDefaultCorefile({ zones, forward: ["/etc/resolv.conf"] });
}

/** Whole, and only where there is none: of several processes that start, one may have the ConfigMap's already. */
function writeOnce(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  if (existsSync(file)) return;
  const next = `${file}.${process.pid}.first`;
  writePrivateFile(next, text);
  try {
    linkSync(next, file);
  } catch (error) {
    if (!existsSync(file)) throw error;
  } finally {
    rmSync(next, { force: true });
  }
}

/**
 * Keeps the files in `folder` as the ConfigMap says. One that cannot be used changes nothing: it is a problem of the ConfigMap that
 * names the line. A ConfigMap that is deleted leaves what it said. `ready` when the API has told, or has not for two seconds.
 */
export function startCorefileConfigMap(
  o: { readonly transport: Transport; readonly at: ConfigMapName; readonly file: string },
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): CorefileConfigMap {
  const { at, file } = o;
  const stop = new AbortController();
  let problem: Problem | undefined;
  let failures = 0;
  const take = (object: ConfigMap | undefined): void => {
    const data = object?.data;
    try {
      if (data?.[corefileKey] === undefined) {
        problem = undefined;
        const what = object === undefined ? "there is no ConfigMap" : `no key ${corefileKey} in ConfigMap`;
        log("info", `${what} ${at.namespace}/${at.name}; DNS goes on with the Corefile there was`);
        return;
      }
      checkFiles(dirname(file), data);
      writeFiles(dirname(file), data);
      problem = undefined;
    } catch (error) {
      failures++;
      const message = error instanceof Error ? error.message : String(error);
      problem = {
        object: { kind: "ConfigMap", ...at },
        field: `data.${corefileKey}`,
        reason: isCorefileError(error) ? "BadCorefile" : "UnusableCorefile",
        message: `${message}; the Corefile before it stays`,
      };
      log("error", `ConfigMap ${at.namespace}/${at.name} cannot be used; the Corefile before it stays`, { error: message });
    }
  };
  const reflector = startReflector<ConfigMap>(
    o.transport,
    resources.configMaps,
    (object) => object as ConfigMap,
    {
      replace: (items) => take(items[0]),
      apply: ({ type, object }) => take(type === "put" ? object : undefined),
      bookmark: () => undefined,
    },
    { clock, namespace: at.namespace, fieldSelector: `metadata.name=${at.name}` },
  );
  return {
    ready: Promise.race([reflector.ready, clock.sleep(patienceMs, stop.signal).catch(() => undefined)]),
    problems: () => (problem === undefined ? [] : [problem]),
    metrics: () => reloadMetrics(failures, '{from="configmap"}'),
    close: async () => {
      stop.abort(new Error("closed"));
      await reflector.close();
    },
  };
}

/** Reads them in a folder of their own, so that what is in use stays whole. Throws what is wrong with them. */
function checkFiles(folder: string, data: Readonly<Record<string, string>>): void {
  const trial = `${folder}.new`;
  rmSync(trial, { recursive: true, force: true });
  mkdirSync(trial, { recursive: true, mode: 0o700 });
  try {
    for (const [key, text] of Object.entries(data)) writePrivateFile(join(trial, fileOf(key)), text);
    loadCorefile(join(trial, corefileKey), process.env, corefileKey);
  } finally {
    rmSync(trial, { recursive: true, force: true });
  }
}

function writeFiles(folder: string, data: Readonly<Record<string, string>>): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const keys = Object.keys(data).map(fileOf);
  for (const key of keys) if (key !== corefileKey) writePrivateFile(join(folder, key), data[key] ?? "");
  // what imports others comes after them
  writePrivateFile(join(folder, corefileKey), data[corefileKey] ?? "");
  for (const name of readdirSync(folder)) if (!keys.includes(name) && !name.endsWith(".first")) rmSync(join(folder, name), { force: true });
}

/** The API allows no others; whoever answers as one may not write elsewhere. */
function fileOf(key: string): string {
  if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key) || key === "." || key === "..")
    throw new RangeError(`${JSON.stringify(key)} is no name of a file`);
  return key;
}
