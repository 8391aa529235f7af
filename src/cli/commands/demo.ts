import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { printHostPort } from "../../base/ip.ts";
import type { Client } from "../../client/client.ts";
import type { UpOptions } from "../../daemon/cluster-config.ts";
import type { RunningCluster } from "../../daemon/up.ts";
import { portShift, shellWord } from "../printers/reachable.ts";
import { commandIo } from "../program.ts";
import { startProgress } from "../progress.ts";
import { addUpOptions, runUp, untilEnd } from "./up.ts";

const hosts = ["shop.test", "api.shop.test"];
const shopTimeout = 60_000;

export function register(program: Command): void {
  addUpOptions(program.command("demo"))
    .summary("up, with an example shop and a guided tour of it")
    .description("Makes a cluster as `up` does, applies the example shop, and prints a tour of it: lines that work as pasted.")
    .action(async (options: UpOptions, command: Command) => {
      const io = commandIo(command);
      const cluster = await runUp(options, command, async (running) => {
        const progress = startProgress(io, options.plain === true);
        progress.begin("shop");
        const pods = await openShop(running);
        progress.done(
          "shop",
          pods.waiting.length === 0
            ? `${pods.ready} pods ready`
            : `${pods.waiting.join(", ")} still wait; see 'kubectl -n shop describe pods'`,
        );
      });
      io.stdout(await tour(cluster));
      await untilEnd(cluster, io);
    });
}

/** `examples/shop` of this checkout or package, whether this runs from the bundle or from the sources. */
function shopFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return here.endsWith("dist") ? join(here, "..", "examples", "shop") : join(here, "..", "..", "..", "examples", "shop");
}

/** Pods that run, and workloads that do not yet: the cluster stays up for a look at them. */
interface ShopState {
  readonly ready: number;
  readonly waiting: readonly string[];
}

async function openShop(cluster: RunningCluster): Promise<ShopState> {
  const { client, pki } = cluster;
  const [{ resources }, { isAlreadyExists }, { applyPaths }] = await Promise.all([
    import("../../client/resources.ts"),
    import("../../client/errors.ts"),
    import("../apply.ts"),
  ]);
  const create = (make: () => Promise<unknown>): Promise<unknown> =>
    make().catch((error: unknown) => {
      if (!isAlreadyExists(error)) throw error;
    });
  await create(() => client.create(resources.namespaces, { metadata: { name: "shop" } }));
  const { certPem, keyPem } = await pki.issueServerCert("shop.test", hosts);
  const base64 = (pem: string): string => Buffer.from(pem).toString("base64");
  await create(() =>
    client.create(resources.secrets, {
      metadata: { name: "shop-tls", namespace: "shop" },
      type: "kubernetes.io/tls",
      data: { "tls.crt": base64(certPem), "tls.key": base64(keyPem) },
    }),
  );
  writeFileSync(caFile(cluster), pki.caPem);
  await applyPaths(client, [shopFolder()]);
  return podsReady(client);
}

async function podsReady(client: Client): Promise<ShopState> {
  const { resources } = await import("../../client/resources.ts");
  const end = performance.now() + shopTimeout;
  let waiting: string[] = [];
  while (performance.now() < end) {
    const { items } = await client.list(resources.pods, { namespace: "shop" });
    const { items: deployments } = await client.list(resources.deployments, { namespace: "shop" });
    const { items: sets } = await client.list(resources.statefulSets, { namespace: "shop" });
    waiting = [
      ...deployments.filter((d) => (d.status?.readyReplicas ?? 0) < (d.spec?.replicas ?? 1)).map((d) => `deployment/${d.metadata?.name}`),
      ...sets.filter((s) => (s.status?.readyReplicas ?? 0) < (s.spec?.replicas ?? 1)).map((s) => `statefulset/${s.metadata?.name}`),
    ];
    if (items.length > 0 && waiting.length === 0) return { ready: items.length, waiting };
    await new Promise((r) => setTimeout(r, 100));
  }
  return { ready: 0, waiting };
}

function caFile(cluster: RunningCluster): string {
  return join(cluster.config.dataDir, "ca.crt");
}

/** Lines to paste, top to bottom; addresses that the API chose are filled in. */
async function tour(cluster: RunningCluster): Promise<string> {
  const { client, config } = cluster;
  const { resources } = await import("../../client/resources.ts");
  const { items } = await client.list(resources.services, { namespace: "shop" });
  const lb = items.find((s) => s.spec?.type === "LoadBalancer")?.status?.loadBalancer?.ingress?.[0]?.ip;
  const nodePort = items.find((s) => s.spec?.type === "NodePort")?.spec?.ports?.[0]?.nodePort;
  const node = cluster.nodes[0];
  const at = cluster.ingress[0];
  const dns = printDnsServer(cluster);
  const shift = portShift(cluster);
  const http = shift === 0 ? "" : `:${80 + shift}`;
  const curl = (host: string): string =>
    `curl --cacert ${shellWord(caFile(cluster))} --connect-to ::${at?.ip}:${at?.https} https://${host}`;
  const zone = config.clusterDomain;
  const lines: readonly (readonly [what: string, ...string[]])[] = [
    [
      "the shop through the ingress: TLS, two hosts, rewrite, basic auth, rate limit, redirect",
      `${curl("shop.test")}/`,
      `${curl("api.shop.test")}/v1/items/7`,
      `${curl("shop.test")}/admin -u admin:fairway`,
      `${curl("shop.test")}/old -i`,
    ],
    ["the canary: a fifth of the requests, or by header", `${curl("shop.test")}/ -H 'X-Canary: always'`],
    [
      "names",
      `dig ${dns} web.shop.svc.${zone} +short`,
      `dig ${dns} store.shop.svc.${zone} +short`,
      `dig ${dns} SRV _http._tcp.api.shop.svc.${zone} +short`,
    ],
    [
      "a node port and a LoadBalancer address",
      ...(nodePort === undefined || node === undefined ? [] : [`curl http://${printHostPort(node.ips[0] ?? "", nodePort)}/`]),
      ...(lb === undefined ? [] : [`curl http://${lb}${http}/`]),
    ],
    [
      "the cluster",
      "kubectl -n shop get pods -o wide",
      // Without a namespace of its own a pod has no resolv.conf: the environment names its Services.
      cluster.mode === "full"
        ? "kubectl -n shop exec store-0 -- curl -s http://web/"
        : `kubectl -n shop exec store-0 -- sh -c 'curl -s http://$WEB_SERVICE_HOST${http}/'`,
      "kubectl -n shop rollout restart deployment/web",
      "kubectl -n shop rollout status deployment/web",
    ],
    [
      "ask why",
      `fairway trace --node node-1 --from external --to web.shop:80`,
      `fairway resolve web.shop.svc.${zone}`,
      `fairway route https://shop.test/ -H 'X-Canary: always'`,
    ],
  ];
  const text = lines.map(([what, ...commands]) => `  # ${what}\n${commands.map((c) => `  ${c}`).join("\n")}`).join("\n\n");
  return `\n  export KUBECONFIG=${shellWord(config.kubeconfig)}\n  PATH="$PATH:"${shellWord(join(shopFolder(), "..", "..", "bin"))}\n\n${text}\n\nCtrl-C ends it all; what the API keeps stays in ${shellWord(config.dataDir)}, and the next start goes on with it.\n`;
}

function printDnsServer(cluster: RunningCluster): string {
  const { addresses, port } = cluster.dns;
  return `@${addresses[0]}${port === 53 ? "" : ` -p ${port}`}`;
}
