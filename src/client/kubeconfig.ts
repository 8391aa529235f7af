import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, isAbsolute, join, resolve } from "node:path";
import { parse as parseYaml } from "yaml";
import type { ClusterAccess, ExecPlugin } from "./cluster-access.ts";
import { ClientError } from "./errors.ts";

export interface KubeconfigSource {
  /** One file; default: the list in KUBECONFIG, then ~/.kube/config. */
  readonly path?: string | undefined;
  /** The document itself; relative file names in it are taken from the working directory. */
  readonly text?: string | undefined;
  /** Default: current-context. */
  readonly context?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

type Fields = Readonly<Record<string, unknown>>;
interface Named {
  readonly fields: Fields;
  readonly file: string;
  readonly directory: string;
}
interface Merged {
  currentContext: string | undefined;
  readonly files: string[];
  readonly clusters: Map<string, Named>;
  readonly users: Map<string, Named>;
  readonly contexts: Map<string, Named>;
}

/** Throws a ClientError ("kubeconfig") that names file, context and field. Files named in it are opened later, when used. */
export function loadKubeconfig(source: KubeconfigSource = {}): ClusterAccess {
  const merged: Merged = { currentContext: undefined, files: [], clusters: new Map(), users: new Map(), contexts: new Map() };
  if (source.text !== undefined) mergeDocument(merged, source.text, "kubeconfig", process.cwd());
  else for (const file of kubeconfigFiles(source)) mergeDocument(merged, readText(file), file, dirname(resolve(file)));
  const where = merged.files.join(", ");
  const name = source.context ?? merged.currentContext;
  if (name === undefined || name === "") throw wrong(where, undefined, "current-context", `is not set; contexts: ${list(merged.contexts)}`);
  const context = merged.contexts.get(name);
  if (context === undefined) throw wrong(where, name, "contexts", `has no such entry; there are: ${list(merged.contexts)}`);
  const text = (n: Named, field: string): string | undefined => textField(n, name, field);
  const clusterName = text(context, "cluster") ?? "";
  const cluster = merged.clusters.get(clusterName);
  if (cluster === undefined)
    throw wrong(context.file, name, "context.cluster", `${clusterName} is not in clusters: ${list(merged.clusters)}`);
  const userName = text(context, "user") ?? "";
  const user = merged.users.get(userName);
  if (user === undefined && userName !== "")
    throw wrong(context.file, name, "context.user", `${userName} is not in users: ${list(merged.users)}`);
  return access(name, text(context, "namespace"), cluster, user);
}

/** The files a kubeconfig is merged from. Missing entries of a KUBECONFIG list are skipped, as kubectl does. */
function kubeconfigFiles(source: KubeconfigSource): readonly string[] {
  if (source.path !== undefined) return [source.path];
  const env = source.env ?? process.env;
  const listed = (env["KUBECONFIG"] ?? "").split(delimiter).filter((f) => f !== "");
  const candidates = listed.length > 0 ? listed : [join(env["HOME"] ?? homedir(), ".kube", "config")];
  const found = candidates.filter((f) => existsSync(f));
  if (found.length === 0) {
    throw new ClientError("kubeconfig", `no kubeconfig: ${candidates.join(", ")} not found; set KUBECONFIG or pass --kubeconfig`);
  }
  return found;
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (e) {
    throw new ClientError("kubeconfig", `kubeconfig ${file}: ${describeFault(e)}`, e);
  }
}

function describeFault(e: unknown): string {
  const { code } = e as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return "there is no such file";
  if (code === "EISDIR") return "is a folder, not a file";
  if (code === "EACCES") return "may not be read by this user";
  return e instanceof Error ? e.message : String(e);
}

/** The first file to name an entry, or the current context, wins. */
function mergeDocument(into: Merged, text: string, file: string, directory: string): void {
  let document: unknown;
  try {
    document = parseYaml(text, { maxAliasCount: 100 });
  } catch (e) {
    throw new ClientError("kubeconfig", `kubeconfig ${file}: not YAML: ${e instanceof Error ? e.message : String(e)}`, e);
  }
  into.files.push(file);
  if (document === null || document === undefined) return;
  if (!isFields(document)) throw wrong(file, undefined, "", "is not a mapping");
  const current = document["current-context"];
  if (typeof current === "string" && current !== "") into.currentContext ??= current;
  for (const [field, inner, table] of [
    ["clusters", "cluster", into.clusters],
    ["users", "user", into.users],
    ["contexts", "context", into.contexts],
  ] as const) {
    const entries = document[field];
    if (entries === undefined || entries === null) continue;
    if (!Array.isArray(entries)) throw wrong(file, undefined, field, "is not a list");
    for (const [i, entry] of (entries as unknown[]).entries()) {
      const name = isFields(entry) ? entry["name"] : undefined;
      if (!isFields(entry) || typeof name !== "string" || name === "") throw wrong(file, undefined, `${field}[${i}].name`, "is missing");
      const fields = entry[inner] ?? {};
      if (!isFields(fields)) throw wrong(file, undefined, `${field}[${i}].${inner}`, "is not a mapping");
      if (!table.has(name)) table.set(name, { fields, file, directory });
    }
  }
}

function access(context: string, namespace: string | undefined, cluster: Named, user: Named | undefined): ClusterAccess {
  const server = textField(cluster, context, "server");
  if (server === undefined) throw wrong(cluster.file, context, "cluster.server", "is missing");
  if (!URL.canParse(server) || !/^https?:$/.test(new URL(server).protocol)) {
    throw wrong(cluster.file, context, "cluster.server", `${server} is not an https:// or http:// URL`);
  }
  const optional = <K extends keyof ClusterAccess>(key: K, value: ClusterAccess[K] | undefined): Partial<ClusterAccess> =>
    value === undefined ? {} : { [key]: value };
  const pick = (n: Named, data: keyof ClusterAccess, file: keyof ClusterAccess, field: string): Partial<ClusterAccess> => {
    const inline = textField(n, context, `${field}-data`);
    if (inline !== undefined) return { [data]: decodeBase64(inline, n, context, `${field}-data`) };
    const path = textField(n, context, field);
    return path === undefined ? {} : { [file]: isAbsolute(path) ? path : join(n.directory, path) };
  };
  const common: ClusterAccess = {
    server,
    context,
    ...optional("namespace", namespace),
    ...pick(cluster, "caPem", "caFile", "certificate-authority"),
    ...(cluster.fields["insecure-skip-tls-verify"] === true ? { insecureSkipVerify: true } : {}),
    ...optional("tlsServerName", textField(cluster, context, "tls-server-name")),
  };
  if (user === undefined) return common;
  const tokenFile = textField(user, context, "tokenFile");
  const token = textField(user, context, "token");
  if (user.fields["auth-provider"] !== undefined) {
    throw wrong(user.file, context, "user.auth-provider", "was removed from Kubernetes in 1.26; use an exec plugin");
  }
  return {
    ...common,
    ...pick(user, "certPem", "certFile", "client-certificate"),
    ...pick(user, "keyPem", "keyFile", "client-key"),
    ...(tokenFile !== undefined
      ? { tokenFile: isAbsolute(tokenFile) ? tokenFile : join(user.directory, tokenFile) }
      : optional("token", token)),
    ...optional("exec", execPlugin(user, context)),
    ...optional("impersonate", impersonation(user, context)),
    ...optional("username", textField(user, context, "username")),
    ...optional("password", textField(user, context, "password")),
  };
}

function impersonation(user: Named, context: string): ClusterAccess["impersonate"] {
  const as = textField(user, context, "as");
  const groups = user.fields["as-groups"] ?? [];
  if (!Array.isArray(groups) || !groups.every((g): g is string => typeof g === "string")) {
    throw wrong(user.file, context, "user.as-groups", "is not a list of names");
  }
  if (as === undefined && groups.length > 0) throw wrong(user.file, context, "user.as", "is missing, but as-groups is there");
  return as === undefined ? undefined : { user: as, groups };
}

function execPlugin(user: Named, context: string): ExecPlugin | undefined {
  const exec = user.fields["exec"];
  if (exec === undefined || exec === null) return undefined;
  if (!isFields(exec)) throw wrong(user.file, context, "user.exec", "is not a mapping");
  const inner: Named = { ...user, fields: exec };
  const command = textField(inner, context, "command");
  if (command === undefined) throw wrong(user.file, context, "user.exec.command", "is missing");
  const env: Record<string, string> = {};
  for (const entry of Array.isArray(exec["env"]) ? (exec["env"] as unknown[]) : []) {
    if (isFields(entry) && typeof entry["name"] === "string") env[entry["name"]] = typeof entry["value"] === "string" ? entry["value"] : "";
  }
  const installHint = textField(inner, context, "installHint");
  return {
    apiVersion: textField(inner, context, "apiVersion") ?? "",
    // A name with a slash is relative to the file that says so; a plain name is looked up in PATH.
    command: command.includes("/") && !isAbsolute(command) ? join(user.directory, command) : command,
    args: Array.isArray(exec["args"]) ? (exec["args"] as unknown[]).map(String) : [],
    env,
    provideClusterInfo: exec["provideClusterInfo"] === true,
    ...(installHint === undefined ? {} : { installHint }),
  };
}

function textField(n: Named, context: string, field: string): string | undefined {
  const value = n.fields[field];
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "number") return String(value);
  if (typeof value !== "string") throw wrong(n.file, context, field, "is not text");
  return value;
}

function decodeBase64(text: string, n: Named, context: string, field: string): string {
  const clean = text.replace(/\s/g, "");
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(clean)) throw wrong(n.file, context, field, "is not base64");
  return Buffer.from(clean, "base64").toString("utf8");
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function list(table: ReadonlyMap<string, Named>): string {
  return table.size === 0 ? "none" : [...table.keys()].join(", ");
}

function wrong(file: string, context: string | undefined, field: string, why: string): ClientError {
  const parts = [`kubeconfig ${file}`, ...(context === undefined ? [] : [`context ${context}`])];
  return new ClientError("kubeconfig", `${parts.join(", ")}: ${field === "" ? "" : `${field} `}${why}`);
}

const serviceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The access a pod has: its service account's token and CA, which are read again as they rotate. */
export function inClusterAccess(
  env: Readonly<Record<string, string | undefined>> = process.env,
  directory: string = serviceAccountDirectory,
): ClusterAccess {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"] ?? "443";
  if (host === undefined || host === "") {
    throw new ClientError("kubeconfig", "not in a cluster: KUBERNETES_SERVICE_HOST is not set; pass --kubeconfig");
  }
  const tokenFile = join(directory, "token");
  if (!existsSync(tokenFile)) {
    throw new ClientError("kubeconfig", `in a cluster, but ${tokenFile} is missing: is automountServiceAccountToken off?`);
  }
  return { server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`, tokenFile, caFile: join(directory, "ca.crt") };
}
