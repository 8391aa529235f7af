import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from "../field-error.ts";
import { quantityNanos } from "../quantity.ts";
import type { DownwardAPIVolumeFile, KeyToPath, ProjectedVolumeSource, Volume, VolumeMount } from "../types/core-v1.generated.ts";
import { validateFieldReference, validateResourceReference } from "./environment-validation.ts";
import { dns1123Label } from "./names.ts";

const fileMode = "must be a number between 0 and 0777 (octal), both inclusive";
const hostPathTypes = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
/** What a downward API file may show, beyond labels and annotations by key. */
const fileFields = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const tenMinutes = 600;

/** The volumes of a pod: what is wrong with them, and the names that mounts may use. */
export function validateVolumes(
  volumes: readonly Volume[],
  at: string,
): { readonly names: ReadonlySet<string>; readonly errors: readonly FieldError[] } {
  const names = new Set<string>();
  const errors: FieldError[] = [];
  volumes.forEach((volume, i) => {
    const field = `${at}[${i}]`;
    const own = [...validateSource(volume, field)];
    if (volume.name === "") own.push(required(`${field}.name`));
    else own.push(...dns1123Label(volume.name).map((why) => invalid(`${field}.name`, volume.name, why)));
    if (names.has(volume.name)) own.push(duplicate(`${field}.name`, volume.name));
    if (own.length === 0) names.add(volume.name);
    errors.push(...own);
  });
  return { names, errors };
}

export function validateMounts(
  container: { readonly volumeMounts?: readonly VolumeMount[]; readonly securityContext?: { readonly privileged?: boolean } },
  names: ReadonlySet<string>,
  at: string,
): readonly FieldError[] {
  const seen = new Set<string>();
  return (container.volumeMounts ?? []).flatMap((mount, i) => {
    const field = `${at}[${i}]`;
    const errors: FieldError[] = [];
    const { name, mountPath, subPath = "", subPathExpr = "", mountPropagation } = mount;
    if (name === "") errors.push(required(`${field}.name`));
    if (!names.has(name)) errors.push({ type: "NotFound", field: `${field}.name`, badValue: name, detail: "" });
    if (mountPath === "") errors.push(required(`${field}.mountPath`));
    if (seen.has(mountPath)) errors.push(invalid(`${field}.mountPath`, mountPath, "must be unique"));
    seen.add(mountPath);
    if (subPath !== "") errors.push(...descending(`${at}.subPath`, subPath));
    if (subPathExpr !== "") {
      if (subPath !== "") errors.push(invalid(`${field}.subPathExpr`, subPathExpr, "subPathExpr and subPath are mutually exclusive"));
      errors.push(...descending(`${at}.subPathExpr`, subPathExpr));
    }
    const modes = ["Bidirectional", "HostToContainer", "None"];
    if (mountPropagation !== undefined && !modes.includes(mountPropagation))
      errors.push(notSupported(`${at}.mountPropagation`, mountPropagation, modes));
    if (mountPropagation === "Bidirectional" && container.securityContext?.privileged !== true) {
      errors.push(forbidden(`${at}.mountPropagation`, "Bidirectional mount propagation is available only to privileged containers"));
    }
    return errors;
  });
}

function validateSource(volume: Volume, at: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const sources = Object.keys(volume).filter((key) => key !== "name");
  if (sources.length === 0) return [required(at, "must specify a volume type")];
  const { emptyDir, hostPath, secret, configMap, downwardAPI, projected, persistentVolumeClaim, nfs } = volume;
  if (emptyDir?.sizeLimit !== undefined && (quantityNanos(emptyDir.sizeLimit) ?? 0n) < 0n) {
    errors.push(forbidden(`${at}.emptyDir.sizeLimit`, "SizeLimit field must be a valid resource quantity"));
  }
  // The first one counts, in the order Kubernetes looks at them.
  const order = ["emptyDir", "hostPath", "secret", "nfs", "persistentVolumeClaim", "downwardAPI", "configMap", "projected"];
  const counted = [...order.filter((name) => sources.includes(name)), ...sources.filter((name) => !order.includes(name))];
  for (const name of counted.slice(1)) errors.push(forbidden(`${at}.${name}`, "may not specify more than 1 volume type"));
  switch (counted[0]) {
    case "hostPath":
      if (hostPath !== undefined) errors.push(...validateHostPath(hostPath, `${at}.hostPath`));
      break;
    case "secret":
      if ((secret?.secretName ?? "") === "") errors.push(required(`${at}.secret.secretName`));
      errors.push(...mode(`${at}.secret.defaultMode`, secret?.defaultMode), ...keys(secret?.items, `${at}.secret.items`));
      break;
    case "configMap":
      if ((configMap?.name ?? "") === "") errors.push(required(`${at}.configMap.name`));
      errors.push(...mode(`${at}.configMap.defaultMode`, configMap?.defaultMode), ...keys(configMap?.items, `${at}.configMap.items`));
      break;
    case "downwardAPI":
      errors.push(...mode(`${at}.downwardAPI.defaultMode`, downwardAPI?.defaultMode));
      for (const file of downwardAPI?.items ?? []) errors.push(...validateFile(file, `${at}.downwardAPI`));
      break;
    case "projected":
      if (projected !== undefined) errors.push(...validateProjected(projected, `${at}.projected`));
      break;
    case "persistentVolumeClaim":
      if (persistentVolumeClaim?.claimName === "") errors.push(required(`${at}.persistentVolumeClaim.claimName`));
      break;
    case "nfs":
      if (nfs?.server === "") errors.push(required(`${at}.nfs.server`));
      if (nfs?.path === "") errors.push(required(`${at}.nfs.path`));
      if (nfs?.path.startsWith("/") === false) errors.push(invalid(`${at}.nfs.path`, nfs.path, "must be an absolute path"));
      break;
  }
  return errors;
}

function validateHostPath({ path, type = "" }: NonNullable<Volume["hostPath"]>, at: string): readonly FieldError[] {
  if (path === "") return [required(`${at}.path`)];
  return [...noBacksteps(`${at}.path`, path), ...(hostPathTypes.includes(type) ? [] : [notSupported(`${at}.type`, type, hostPathTypes)])];
}

function validateFile(file: DownwardAPIVolumeFile, at: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { path, fieldRef, resourceFieldRef } = file;
  if (path === "") errors.push(required(`${at}.path`));
  errors.push(...localPath(`${at}.path`, path));
  if (fieldRef !== undefined) {
    errors.push(...validateFieldReference(fieldRef, fileFields, `${at}.fieldRef`));
    if (resourceFieldRef !== undefined)
      errors.push(invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
  } else if (resourceFieldRef !== undefined) {
    if ((resourceFieldRef.containerName ?? "") === "") errors.push(required(`${at}.resourceFieldRef.containerName`));
    else errors.push(...validateResourceReference(resourceFieldRef, `${at}.resourceFieldRef`));
  } else errors.push(required(at, "one of fieldRef and resourceFieldRef is required"));
  return [...errors, ...mode(`${at}.mode`, file.mode)];
}

function validateProjected(projected: ProjectedVolumeSource, at: string): readonly FieldError[] {
  const errors: FieldError[] = [...mode(`${at}.defaultMode`, projected.defaultMode)];
  const taken = new Set<string>();
  const claim = (path: string, told: string): void => {
    if (path === "") return;
    if (taken.has(path)) errors.push(invalid(at, told, "conflicting duplicate paths"));
    taken.add(path);
  };
  (projected.sources ?? []).forEach((source, i) => {
    const field = `${at}.sources[${i}]`;
    for (const kind of ["secret", "configMap"] as const) {
      const projection = source[kind];
      if (projection === undefined) continue;
      if ((projection.name ?? "") === "") errors.push(required(`${field}.${kind}.name`));
      errors.push(...keys(projection.items, `${field}.${kind}.items`));
      for (const item of projection.items ?? []) claim(item.path, projection.name ?? "");
    }
    for (const file of source.downwardAPI?.items ?? []) {
      errors.push(...validateFile(file, `${field}.downwardAPI`));
      claim(file.path, file.path);
    }
    const token = source.serviceAccountToken;
    if (token !== undefined) {
      const seconds = token.expirationSeconds ?? 0;
      const expiry = `${field}.serviceAccountToken.expirationSeconds`;
      if (seconds < tenMinutes) errors.push(invalid(expiry, seconds, "may not specify a duration less than 10 minutes"));
      if (seconds > 2 ** 32) errors.push(invalid(expiry, seconds, "may not specify a duration larger than 2^32 seconds"));
      if (token.path === "") errors.push(required(`${at}.path`));
      else errors.push(...localPath(`${at}.path`, token.path));
    }
    if (Object.keys(source).length > 1) errors.push(forbidden(field, "may not specify more than 1 volume type per source"));
  });
  return errors;
}

function keys(items: readonly KeyToPath[] | undefined, at: string): readonly FieldError[] {
  return (items ?? []).flatMap((item, i) => [
    ...(item.key === "" ? [required(`${at}[${i}].key`)] : []),
    ...(item.path === "" ? [required(`${at}[${i}].path`)] : []),
    ...localPath(`${at}[${i}].path`, item.path),
    ...mode(`${at}[${i}].mode`, item.mode),
  ]);
}

function mode(field: string, value: number | undefined): readonly FieldError[] {
  return value !== undefined && (value < 0 || value > 0o777) ? [invalid(field, value, fileMode)] : [];
}

function localPath(field: string, path: string): readonly FieldError[] {
  const reserved =
    path.startsWith("..") && !path.startsWith("../") && path !== ".." ? [invalid(field, path, "must not start with '..'")] : [];
  return [...descending(field, path), ...(path === ".." ? [invalid(field, path, "must not start with '..'")] : reserved)];
}

function descending(field: string, path: string): readonly FieldError[] {
  return [...(path.startsWith("/") ? [invalid(field, path, "must be a relative path")] : []), ...noBacksteps(field, path)];
}

function noBacksteps(field: string, path: string): readonly FieldError[] {
  return path.split("/").includes("..") ? [invalid(field, path, "must not contain '..'")] : [];
}
