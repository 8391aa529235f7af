import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Clock, systemClock } from "../base/clock.ts";
import { writePrivateFile } from "../kernel/private-file.ts";
import { StartError } from "./errors.ts";
import { type KeyPair, makeCertificate } from "./x509.ts";

export type { KeyPair } from "./x509.ts";

const day = 86_400_000;
/** The group that everything may; an admin's certificate names it. */
export const mastersGroup = "system:masters";
/** The group of fairway's own components; they may everything too until there is RBAC. */
export const componentsGroup = "fairway:components";
/** Who the API server is when it talks to a node. */
export const apiServerUser = "fairway:apiserver";

export interface PkiOptions {
  /** Names and addresses the serving certificate is good for. */
  readonly dnsNames: readonly string[];
  readonly ips: readonly string[];
  readonly clock?: Clock;
}

/** The cluster's own certificate authority and what it has signed; lives in `<data dir>/pki`. */
export interface Pki {
  readonly caPem: string;
  /** What the API server shows. */
  readonly serving: KeyPair;
  /** What the API server shows to nodes (mutual TLS). */
  readonly nodeClient: KeyPair;
  /** Signs the tokens of service accounts. */
  readonly serviceAccountKey: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  /** For people and components: `system:masters` in `orgs` may everything. A year. */
  issueClientCert(commonName: string, orgs: readonly string[]): Promise<KeyPair>;
  /** For a node's own API, for example; `sans` are names and addresses. A year. */
  issueServerCert(commonName: string, sans: readonly string[]): Promise<KeyPair>;
}

/**
 * Reads what is there and makes what is missing, expires within 30 days, or (serving) is not good for all names.
 * Folders are 0700, files 0600.
 */
export async function ensurePki(dataDir: string, options: PkiOptions): Promise<Pki> {
  const clock = options.clock ?? systemClock;
  const folder = join(dataDir, "pki");
  try {
    for (const path of [dataDir, folder]) {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      chmodSync(path, 0o700);
    }
    const ca = await ensure(folder, "ca", clock, {
      usable: (cert) => cert.ca,
      make: () => makeCertificate({ commonName: "fairway-ca", usage: "ca", ...lasting(clock, 3650) }),
    });
    const issue = (usage: "client" | "server", commonName: string, orgs: readonly string[], sans: readonly string[]): Promise<KeyPair> =>
      makeCertificate({
        commonName,
        organizations: orgs,
        usage,
        dnsNames: sans.filter((s) => !isAddress(s)),
        ips: sans.filter(isAddress),
        issuer: ca,
        ...lasting(clock, 365),
      });
    const sans = [...new Set([...options.dnsNames, ...options.ips])];
    const signedByCa = (cert: X509Certificate): boolean => cert.checkIssued(new X509Certificate(ca.certPem));
    const serving = await ensure(folder, "apiserver", clock, {
      usable: (cert) => signedByCa(cert) && sans.every((s) => (isAddress(s) ? cert.checkIP(s) : cert.checkHost(s)) !== undefined),
      make: () => issue("server", "kube-apiserver", [], sans),
    });
    const nodeClient = await ensure(folder, "apiserver-node-client", clock, {
      usable: signedByCa,
      make: () => issue("client", apiServerUser, [mastersGroup], []),
    });
    return {
      caPem: ca.certPem,
      serving,
      nodeClient,
      serviceAccountKey: ensureSigningKey(join(folder, "sa.key")),
      issueClientCert: (commonName, orgs) => issue("client", commonName, orgs, []),
      issueServerCert: (commonName, names) => issue("server", commonName, [], names),
    };
  } catch (error) {
    throw new StartError("badDataDir", folder, error);
  }
}

/** A kubeconfig in YAML with everything in it; write it with mode 0600. */
export function printKubeconfig(config: {
  readonly server: string;
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
  readonly contextName: string;
}): string {
  const name = JSON.stringify(config.contextName);
  const base64 = (pem: string): string => Buffer.from(pem).toString("base64");
  return `apiVersion: v1
kind: Config
clusters:
- name: ${name}
  cluster:
    server: ${JSON.stringify(config.server)}
    certificate-authority-data: ${base64(config.caPem)}
users:
- name: ${name}
  user:
    client-certificate-data: ${base64(config.certPem)}
    client-key-data: ${base64(config.keyPem)}
contexts:
- name: ${name}
  context:
    cluster: ${name}
    user: ${name}
current-context: ${name}
`;
}

async function ensure(
  folder: string,
  name: string,
  clock: Clock,
  how: { readonly usable: (cert: X509Certificate) => boolean; readonly make: () => Promise<KeyPair> },
): Promise<KeyPair> {
  const certFile = join(folder, `${name}.crt`);
  const keyFile = join(folder, `${name}.key`);
  if (existsSync(certFile) && existsSync(keyFile)) {
    const pair = { certPem: readFileSync(certFile, "utf8"), keyPem: readFileSync(keyFile, "utf8") };
    const cert = new X509Certificate(pair.certPem);
    const matches = cert.checkPrivateKey(createPrivateKey(pair.keyPem));
    if (matches && Date.parse(cert.validTo) > clock.now() + 30 * day && how.usable(cert)) return pair;
  }
  const made = await how.make();
  writePrivateFile(keyFile, made.keyPem);
  writePrivateFile(certFile, made.certPem);
  return made;
}

function ensureSigningKey(file: string): Pki["serviceAccountKey"] {
  if (!existsSync(file)) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writePrivateFile(file, privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  }
  const privateKey = createPrivateKey(readFileSync(file));
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

/** An hour back, for clocks that do not agree. */
function lasting(clock: Clock, days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  const now = clock.now();
  return { notBefore: new Date(now - day / 24), notAfter: new Date(now + days * day) };
}

function isAddress(san: string): boolean {
  return /^[0-9.]+$/.test(san) || san.includes(":");
}
