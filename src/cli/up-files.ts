import { dirname, resolve } from "node:path";
import { resourceOfKind } from "../api/scheme.ts";
import type { ClusterConfig } from "../daemon/cluster-config.ts";
import { parseImages } from "../node/images.ts";
import { inputError } from "./errors.ts";
import { checkDataFolder, checkWritable, readOption } from "./file-options.ts";
import { loadObjects } from "./objects.ts";
import { readProxyConfig } from "./proxy-config.ts";

/** Looks at the files and folders that `up` will need, before anything starts. Throws input errors that name option, file, object and field. */
export function checkUpFiles(config: Pick<ClusterConfig, "images" | "apply" | "kubeconfig" | "dataDir" | "proxyConfig">): void {
  const { images, apply, kubeconfig, dataDir } = config;
  checkDataFolder("--data-dir", dataDir);
  // The data folder itself is made when it is not there.
  if (dirname(resolve(kubeconfig)) !== resolve(dataDir)) checkWritable("--kubeconfig", kubeconfig);
  if (images !== undefined) checkImages(images);
  if (config.proxyConfig !== undefined) readProxyConfig("--config", config.proxyConfig.file);
  for (const { apiVersion, kind, source } of loadObjects(apply, "--apply")) {
    if (resourceOfKind(apiVersion, kind) === undefined)
      throw inputError(`${source}: ${apiVersion} ${kind}: this API has no such kind; see 'kubectl api-resources'`);
  }
}

function checkImages(file: string): void {
  const text = readOption("--images", file);
  try {
    parseImages(text, file);
  } catch (error) {
    const { message } = error as Error;
    throw inputError(message.includes(file) ? `--images ${message}` : `--images ${file}: ${message}`);
  }
}
