import type { ClusterAccess, ExecPlugin } from "./cluster-access.ts";
import { ClientError } from "./errors.ts";

export interface ExecCredential {
  readonly token?: string;
  readonly certPem?: string;
  readonly keyPem?: string;
  /** Milliseconds since 1970. Absent: until the server says 401. */
  readonly expiresAt?: number;
}

const versions = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/** Runs the plugin and reads the ExecCredential it prints. Its standard error goes to ours, as kubectl does. */
export async function runExecPlugin(plugin: ExecPlugin, access: ClusterAccess, s: AbortSignal): Promise<ExecCredential> {
  if (!versions.includes(plugin.apiVersion)) {
    throw new ClientError(
      "credentials",
      `exec plugin ${plugin.command}: apiVersion ${plugin.apiVersion} is not one of ${versions.join(", ")}`,
    );
  }
  const info = {
    apiVersion: plugin.apiVersion,
    kind: "ExecCredential",
    spec: { interactive: false, ...(plugin.provideClusterInfo ? { cluster: clusterInfo(access) } : {}) },
  };
  // Loaded here: most processes never run a plugin.
  const { execa } = await import("execa");
  let stdout: string;
  try {
    const result = await execa(plugin.command, [...plugin.args], {
      env: { ...plugin.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) },
      stdin: "ignore",
      stderr: "inherit",
      cancelSignal: s,
    });
    stdout = result.stdout;
  } catch (e) {
    if (s.aborted) throw s.reason;
    const hint = (e as { code?: string }).code === "ENOENT" && plugin.installHint !== undefined ? `\n${plugin.installHint}` : "";
    throw new ClientError("credentials", `exec plugin ${plugin.command}: ${e instanceof Error ? e.message : String(e)}${hint}`, e);
  }
  return parseExecCredential(stdout, plugin);
}

/** Throws a ClientError that names the plugin when the text is no usable ExecCredential of the version asked for. */
export function parseExecCredential(text: string, plugin: ExecPlugin): ExecCredential {
  const fail = (why: string): never => {
    throw new ClientError("credentials", `exec plugin ${plugin.command}: ${why}`);
  };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return fail("it did not print JSON");
  }
  const credential = parsed as { apiVersion?: unknown; kind?: unknown; status?: Record<string, unknown> } | null;
  if (credential?.kind !== "ExecCredential") return fail("it did not print an ExecCredential");
  if (credential.apiVersion !== plugin.apiVersion)
    return fail(`it answered ${String(credential.apiVersion)}, asked was ${plugin.apiVersion}`);
  const status = credential.status ?? {};
  const field = (name: string): string | undefined => (typeof status[name] === "string" && status[name] !== "" ? status[name] : undefined);
  const token = field("token");
  const certPem = field("clientCertificateData");
  const keyPem = field("clientKeyData");
  const expiry = field("expirationTimestamp");
  if ((certPem === undefined) !== (keyPem === undefined)) return fail("clientCertificateData and clientKeyData go together");
  if (token === undefined && certPem === undefined) return fail("status has neither a token nor a client certificate");
  const expiresAt = expiry === undefined ? undefined : Date.parse(expiry);
  if (expiresAt !== undefined && Number.isNaN(expiresAt)) return fail(`status.expirationTimestamp ${expiry} is no time`);
  return {
    ...(token === undefined ? {} : { token }),
    ...(certPem === undefined || keyPem === undefined ? {} : { certPem, keyPem }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

function clusterInfo(access: ClusterAccess): Record<string, unknown> {
  return {
    server: access.server,
    ...(access.tlsServerName === undefined ? {} : { "tls-server-name": access.tlsServerName }),
    ...(access.insecureSkipVerify === true ? { "insecure-skip-tls-verify": true } : {}),
    ...(access.caPem === undefined ? {} : { "certificate-authority-data": Buffer.from(access.caPem).toString("base64") }),
  };
}
