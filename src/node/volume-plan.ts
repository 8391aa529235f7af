import type { KeyToPath, Pod, Volume, VolumeProjection } from "../api/types/core-v1.generated.ts";
import { type DownwardContext, fieldValue, resourceValue } from "./downward.ts";
import { NodeError } from "./errors.ts";
import type { PodSources } from "./pod-env.ts";
import { memoryVolumeBytes } from "./volume-limits.ts";

/** What a volume of a pod is on the node. */
export type VolumePlan =
  | { readonly kind: "files"; readonly name: string; readonly files: ReadonlyMap<string, VolumeFile> }
  | { readonly kind: "empty"; readonly name: string }
  /** A file system in memory, of at most so many bytes. */
  | { readonly kind: "memory"; readonly name: string; readonly bytes: number }
  | { readonly kind: "host"; readonly name: string; readonly path: string; readonly type: string };

export interface VolumeFile {
  readonly bytes: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
}

/** A token that a projected volume asks for. */
export interface TokenWish {
  readonly volume: string;
  readonly source: number;
  /** Empty: the API server's own. */
  readonly audience: string;
  readonly expirationSeconds: number;
}

const defaultMode = 0o644;
const defaultTokenSeconds = 3600;

export function tokenWishes(pod: Pod): readonly TokenWish[] {
  return (pod.spec?.volumes ?? []).flatMap((volume) =>
    (volume.projected?.sources ?? []).flatMap((source, index): TokenWish[] => {
      const token = source.serviceAccountToken;
      if (token === undefined) return [];
      const expirationSeconds = token.expirationSeconds ?? defaultTokenSeconds;
      return [{ volume: volume.name, source: index, audience: token.audience ?? "", expirationSeconds }];
    }),
  );
}

/**
 * One volume of the pod with all its contents. Throws a `pod-config` NodeError, worded as the kubelet does, for a reference that leads
 * nowhere and is not optional, and for a kind of volume that this node does not have.
 */
export function compileVolume(
  pod: Pod,
  volume: Volume,
  given: { readonly sources: PodSources; readonly context: DownwardContext; token(wish: TokenWish): string },
): VolumePlan {
  const { name } = volume;
  const files = new Map<string, VolumeFile>();
  if (volume.configMap !== undefined) {
    const { configMap } = volume;
    const keys = configMapKeys(given.sources, configMap.name ?? "", configMap.optional === true);
    addKeys(files, keys, configMap.items, configMap.defaultMode ?? defaultMode, configMap.optional === true, configMap.name ?? "");
    return { kind: "files", name, files };
  }
  if (volume.secret !== undefined) {
    const { secret } = volume;
    const keys = secretKeys(given.sources, secret.secretName ?? "", secret.optional === true);
    addKeys(files, keys, secret.items, secret.defaultMode ?? defaultMode, secret.optional === true, secret.secretName ?? "");
    return { kind: "files", name, files };
  }
  if (volume.downwardAPI !== undefined) {
    const mode = volume.downwardAPI.defaultMode ?? defaultMode;
    addDownward(files, pod, { items: volume.downwardAPI.items ?? [] }, mode, given.context);
    return { kind: "files", name, files };
  }
  if (volume.projected !== undefined) {
    const mode = volume.projected.defaultMode ?? defaultMode;
    for (const [index, source] of (volume.projected.sources ?? []).entries()) {
      addProjection(files, pod, volume.name, index, source, mode, given);
    }
    return { kind: "files", name, files };
  }
  if (volume.hostPath !== undefined) return { kind: "host", name, path: volume.hostPath.path, type: volume.hostPath.type ?? "" };
  const known = ["name", "emptyDir"];
  const other = Object.keys(volume).find((key) => !known.includes(key));
  if (other !== undefined) throw new NodeError("pod-config", `this node has no ${other} volumes`);
  if (volume.emptyDir?.medium === "Memory")
    return { kind: "memory", name, bytes: memoryVolumeBytes(pod, volume, given.context.allocatable) };
  return { kind: "empty", name };
}

function addProjection(
  files: Map<string, VolumeFile>,
  pod: Pod,
  volume: string,
  index: number,
  source: VolumeProjection,
  mode: number,
  given: { readonly sources: PodSources; readonly context: DownwardContext; token(wish: TokenWish): string },
): void {
  if (source.configMap !== undefined) {
    const { name = "", optional, items } = source.configMap;
    addKeys(files, configMapKeys(given.sources, name, optional === true), items, mode, optional === true, name);
  } else if (source.secret !== undefined) {
    const { name = "", optional, items } = source.secret;
    addKeys(files, secretKeys(given.sources, name, optional === true), items, mode, optional === true, name);
  } else if (source.downwardAPI !== undefined) {
    addDownward(files, pod, { items: source.downwardAPI.items ?? [] }, mode, given.context);
  } else if (source.serviceAccountToken !== undefined) {
    const wish = tokenWishes(pod).find((w) => w.volume === volume && w.source === index);
    // Containers of one pod may run as several users, and each may use its account.
    if (wish !== undefined) files.set(source.serviceAccountToken.path, { bytes: Buffer.from(given.token(wish)), mode });
  } else {
    const kind = Object.keys(source)[0] ?? "empty";
    throw new NodeError("pod-config", `this node has no projected ${kind}`);
  }
}

type Keys = ReadonlyMap<string, Uint8Array>;

function configMapKeys(sources: PodSources, name: string, optional: boolean): Keys {
  const found = sources.configMap(name);
  if (found === undefined && !optional) throw new NodeError("pod-config", `configmap "${name}" not found`);
  return new Map([
    ...Object.entries(found?.data ?? {}).map(([k, v]) => [k, Buffer.from(v)] as const),
    ...Object.entries(found?.binaryData ?? {}).map(([k, v]) => [k, Buffer.from(v, "base64")] as const),
  ]);
}

function secretKeys(sources: PodSources, name: string, optional: boolean): Keys {
  const found = sources.secret(name);
  if (found === undefined && !optional) throw new NodeError("pod-config", `secret "${name}" not found`);
  return new Map(Object.entries(found?.data ?? {}).map(([k, v]) => [k, Buffer.from(v, "base64")] as const));
}

function addKeys(
  files: Map<string, VolumeFile>,
  keys: Keys,
  items: readonly KeyToPath[] | undefined,
  mode: number,
  optional: boolean,
  of: string,
): void {
  if (items === undefined || items.length === 0) {
    for (const [key, bytes] of keys) files.set(key, { bytes, mode });
    return;
  }
  for (const item of items) {
    const bytes = keys.get(item.key);
    if (bytes !== undefined) files.set(item.path, { bytes, mode: item.mode ?? mode });
    else if (!optional) throw new NodeError("pod-config", `references non-existent key: ${item.key} in ${of}`);
  }
}

function addDownward(
  files: Map<string, VolumeFile>,
  pod: Pod,
  api: { readonly items: NonNullable<NonNullable<Volume["downwardAPI"]>["items"]> },
  mode: number,
  context: DownwardContext,
): void {
  for (const item of api.items) {
    const of = pod.spec?.containers?.find((c) => c.name === item.resourceFieldRef?.containerName);
    const value =
      item.fieldRef !== undefined
        ? fieldValue(pod, item.fieldRef, context)
        : item.resourceFieldRef !== undefined && of !== undefined
          ? resourceValue(pod, of, item.resourceFieldRef, context)
          : undefined;
    if (value === undefined) throw new NodeError("pod-config", `downwardAPI file ${item.path}: unsupported field`);
    files.set(item.path, { bytes: Buffer.from(value), mode: item.mode ?? mode });
  }
}
