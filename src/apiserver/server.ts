import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { findResource, resources } from "../api/scheme.ts";
import type { Service } from "../api/types/core-v1.generated.ts";
import { type Cidr, cidrAt, cidrSize, printCidr } from "../base/cidr.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { type Ip, printHostPort } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import type { Store } from "../store/store.ts";
import { Authenticator } from "./authn/authenticator.ts";
import { readTokenFile } from "./authn/token-file.ts";
import { TokenIssuer } from "./authn/token-issuer.ts";
import { bootstrap } from "./bootstrap.ts";
import type { ApiContext, Log } from "./call.ts";
import { StartError } from "./errors.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { KeyedTurns } from "./keyed-turns.ts";
import { type ListenAddress, type Listeners, listen, readClientCa, readKeyPair } from "./listeners.ts";
import { Metrics } from "./metrics.ts";
import { NodeTransport } from "./node-transport.ts";
import { OpenApiDocuments } from "./openapi-documents.ts";
import { Pipeline } from "./pipeline.ts";
import { ensurePki, type Pki } from "./pki.ts";
import { Registry } from "./registry.ts";
import { defaultNodePorts, type PortRange } from "./services/port-allocator.ts";
import { ServiceAddresses } from "./services/service-addresses.ts";

export interface ApiServerConfig {
  readonly dataDir: string;
  /** Port 0 = any; the first address's port is the server's. */
  readonly bind: readonly ListenAddress[];
  /** Where pods reach the server: the endpoints of the Service default/kubernetes. */
  readonly advertise: readonly Ip[];
  /** Default: the port it listens on. */
  readonly advertisePort?: number;
  /** One a family, the primary one first. */
  readonly serviceCidrs: readonly Cidr[];
  /** Plain mode: the part of 127.0.0.0/8 that pods and Services live in. */
  readonly loopback?: Cidr;
  readonly nodePortRange?: PortRange;
  readonly clusterDomain?: string;
  /** More authorities of client certificates, beside the cluster's own. */
  readonly clientCaFile?: string;
  readonly tokenAuthFile?: string;
  readonly tlsCertFile?: string;
  readonly tlsPrivateKeyFile?: string;
  readonly store?: "sqlite" | "memory";
}

export interface ApiServerDeps {
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly log?: Log;
  /** Hears how many objects passed through, read or written. */
  readonly passed?: (objects: number) => void;
}

export interface ApiServer extends Running {
  readonly port: number;
  readonly pki: Pki;
  /** What it found wrong in what is stored: for people, once, at start. */
  readonly problems: readonly string[];
  /** Prometheus text. */
  metrics(): string;
}

/** Opens the store, makes what every cluster has, and serves; rejects with one line that names what is in the way. */
export async function startApiServer(config: ApiServerConfig, deps: ApiServerDeps = {}): Promise<ApiServer> {
  const { clock = systemClock, random = Math.random, log = () => undefined, passed = () => undefined } = deps;
  checkRanges(config.serviceCidrs);
  const tokens = config.tokenAuthFile === undefined ? new Map() : readTokenFile(config.tokenAuthFile);
  const clientCas = config.clientCaFile === undefined ? [] : [readClientCa(config.clientCaFile)];
  const domain = config.clusterDomain ?? "cluster.local";
  const given = readPair(config);
  // Read in a thread of its own, beside the certificates. A store that does not open is told of when those are there.
  const opening = openStore(config);
  opening.catch(() => undefined);
  const pki = await ensurePki(config.dataDir, { ...servingNames(config, domain), clock }).catch(async (error: unknown) => {
    await opening.then(
      (opened) => opened.close(),
      () => undefined,
    );
    throw error;
  });
  const pair = given ?? pki.serving;
  const store = await opening;
  const closing = new AbortController();
  const undo: (() => Promise<void> | void)[] = [() => store.close()];
  try {
    let lost = false;
    const registry = await Registry.open(
      store,
      (error) => {
        lost = true;
        log("error", "the server lost its store; start it again", { error: String(error) });
      },
      (error) => {
        if (error === undefined) log("info", "objects are stored again");
        else log("error", "objects cannot be stored; writes are refused, reads go on", { error: error.message });
      },
    );
    undo.push(() => registry.cache.close());
    const nodes = new NodeTransport({ registry, caPem: pki.caPem, client: pki.nodeClient });
    undo.push(() => nodes.close());
    const issuer = `https://kubernetes.default.svc.${domain}`;
    const context: ApiContext = {
      registry,
      nodes,
      loopback: config.loopback,
      clock,
      random,
      log,
      passed,
      newUid: randomUUID,
      turns: new KeyedTurns(),
      addresses: new ServiceAddresses({ cidrs: config.serviceCidrs, nodePorts: config.nodePortRange ?? defaultNodePorts, random }),
      tokens: new TokenIssuer({ issuer, audiences: [issuer], key: pki.serviceAccountKey.privateKey, clock }),
    };
    const problems = adoptServices(context);
    for (const problem of problems) log("warn", problem);
    const authenticator = new Authenticator({
      tokens,
      serviceAccountKey: pki.serviceAccountKey.publicKey,
      issuer,
      audiences: [issuer],
      registry,
      clock,
    });
    const metrics = new Metrics();
    const openApi = new OpenApiDocuments();
    let started = false;
    const paths = {
      serverAddress: "",
      failing: (check: string) => [
        ...(lost ? ["store"] : []),
        ...(check !== "readyz" || (started && isThere(registry, "default")) ? [] : ["namespace-default"]),
      ],
      metrics: () => metrics.print(stateOf(registry)),
      openApi: (path: string, accept: string | undefined) => openApi.answer(path, accept),
    };
    const pipeline = new Pipeline({ context, authenticator, metrics, closing: closing.signal, paths });
    const listeners: Listeners = await listen(config.bind, { pair, clientCas: [pki.caPem, ...clientCas] }, pipeline);
    undo.push(() => listeners.close());
    undo.push(() => closing.abort());
    const port = listeners.port;
    paths.serverAddress = printHostPort(config.advertise[0] ?? config.bind[0]?.ip ?? "127.0.0.1", config.advertisePort ?? port);
    await bootstrap(context, {
      serviceCidrs: config.serviceCidrs,
      advertise: config.advertise,
      advertisePort: config.advertisePort ?? port,
    });
    started = true;
    passed(resources.reduce((sum, resource) => sum + registry.table(resource).size, 0));
    const housekeeping = startHousekeeping(context);
    undo.push(() => housekeeping.close());
    return {
      port,
      pki,
      problems,
      ready: Promise.resolve(),
      metrics: paths.metrics,
      close: () => closeAll(undo),
    };
  } catch (error) {
    await closeAll(undo);
    throw error;
  }
}

/** In the reverse of the order in which it was made; what is closed is not closed again. */
async function closeAll(undo: (() => Promise<void> | void)[]): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
}

async function openStore(config: ApiServerConfig): Promise<Store> {
  if (config.store === "memory") return new MemoryStore();
  const folder = join(config.dataDir, "store");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return openSqliteStore(join(folder, "objects.db"));
}

function readPair(config: ApiServerConfig): Pki["serving"] | undefined {
  const { tlsCertFile: certFile, tlsPrivateKeyFile: keyFile } = config;
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined)
    throw new StartError("badCertificate", "--tls-cert-file and --tls-private-key-file go together");
  return readKeyPair({ certFile, keyFile });
}

/** Every name and address by which somebody in or near the cluster may speak to the server. */
function servingNames(config: ApiServerConfig, domain: string): { readonly dnsNames: readonly string[]; readonly ips: readonly string[] } {
  const service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", `kubernetes.default.svc.${domain}`];
  const bound = config.bind.map((b) => b.ip).filter((ip) => ip !== "0.0.0.0" && ip !== "::");
  return {
    dnsNames: ["localhost", ...service],
    ips: ["127.0.0.1", "::1", ...bound, ...config.advertise, ...config.serviceCidrs.map((c) => cidrAt(c, 1))],
  };
}

function checkRanges(cidrs: readonly Cidr[]): void {
  const families = new Set(cidrs.map((c) => c.family));
  if (cidrs.length === 0 || families.size !== cidrs.length)
    throw new StartError("badServiceRange", `${cidrs.map(printCidr).join()}: one range a family`);
  for (const cidr of cidrs)
    if (cidrSize(cidr) < 16n) throw new StartError("badServiceRange", `${printCidr(cidr)}: fewer than 16 addresses`);
}

function adoptServices(context: ApiContext): readonly string[] {
  const services = findResource("", "v1", "services");
  if (services === undefined) return [];
  return context.registry.all(services).flatMap((s) => context.addresses.adopt(`${s.metadata.namespace}/${s.metadata.name}`, s as Service));
}

function isThere(registry: Registry, namespace: string): boolean {
  const namespaces = findResource("", "v1", "namespaces");
  return namespaces !== undefined && registry.table(namespaces).get(namespace) !== undefined;
}

function stateOf(registry: Registry): Parameters<Metrics["print"]>[0] {
  const tables = resources.map((r) => [r.group === "" ? r.plural : `${r.plural}.${r.group}`, registry.table(r)] as const);
  return {
    rev: registry.cache.rev,
    objects: new Map(tables.map(([name, table]) => [name, table.size])),
    watchers: new Map(tables.filter(([, table]) => table.watchers > 0).map(([name, table]) => [name, table.watchers])),
  };
}
