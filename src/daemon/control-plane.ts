import { mastersGroup, printKubeconfig } from "../apiserver/pki.ts";
import type { ApiServer } from "../apiserver/server.ts";
import { type Cidr, parseCidr } from "../base/cidr.ts";
import { systemClock } from "../base/clock.ts";
import { printHostPort } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { loadKubeconfig } from "../client/kubeconfig.ts";
import { createHttpTransport } from "../client/transport.ts";
import { writePrivateFile } from "../kernel/private-file.ts";
import type { Log } from "../observe/log.ts";
import { inheritedSockets } from "./child.ts";
import { createMemoryRelease } from "./release-memory.ts";
import type { ApiServerRoleConfig, ControllersRoleConfig, SchedulerRoleConfig } from "./role-config.ts";

export async function startApiServerRole(config: ApiServerRoleConfig, log: Log): Promise<ApiServer> {
  // Each role loads only its own room: that is most of its start.
  const { startApiServer } = await import("../apiserver/server.ts");
  const inherited = inheritedSockets().filter((s) => s.name === "api");
  const memory = createMemoryRelease();
  const server = await startApiServer(
    {
      dataDir: config.dataDir,
      bind: inherited.length > 0 ? inherited : config.bind.map((ip) => ({ ip, port: config.port })),
      advertise: config.advertise,
      ...(config.port === 0 ? {} : { advertisePort: config.port }),
      serviceCidrs: ranges(config.serviceCidrs),
      clusterDomain: config.clusterDomain,
      ...(config.loopback === undefined ? {} : ranges([config.loopback]).map((loopback) => ({ loopback }))[0]),
      ...(config.clientCaFile === undefined ? {} : { clientCaFile: config.clientCaFile }),
      ...(config.tokenAuthFile === undefined ? {} : { tokenAuthFile: config.tokenAuthFile }),
      ...(config.tlsCertFile === undefined ? {} : { tlsCertFile: config.tlsCertFile }),
      ...(config.tlsPrivateKeyFile === undefined ? {} : { tlsPrivateKeyFile: config.tlsPrivateKeyFile }),
    },
    { clock: systemClock, log, passed: memory.changed },
  );
  return { ...server, close: () => closing(server, memory.close).close() };
}

/** The API server as its own command: writes an admin kubeconfig, and says where it answers. */
export async function startStandaloneApiServer(config: ApiServerRoleConfig, kubeconfigFile: string, log: Log): Promise<Running> {
  const server = await startApiServerRole(config, log);
  const { certPem, keyPem } = await server.pki.issueClientCert("admin", [mastersGroup]);
  const url = `https://${printHostPort(config.bind[0] ?? "127.0.0.1", server.port)}`;
  const kubeconfig = printKubeconfig({ server: url, caPem: server.pki.caPem, certPem, keyPem, contextName: "fairway" });
  writePrivateFile(kubeconfigFile, kubeconfig, { evenIfFull: true });
  log("info", "serving", { url, kubeconfig: kubeconfigFile });
  return server;
}

export async function startControllersRole(config: ControllersRoleConfig, log: Log): Promise<Running> {
  const { startControllers } = await import("../controllers/main.ts");
  const transport = createHttpTransport(loadKubeconfig({ path: config.kubeconfig }));
  const running = startControllers(
    {
      transport,
      clusterCidrs: ranges(config.clusterCidrs),
      lbPool: ranges(config.lbPool),
      rootCaPem: config.rootCaPem,
    },
    { clock: systemClock, log },
  );
  return closing(running, () => transport.close());
}

export async function startSchedulerRole(config: SchedulerRoleConfig, log: Log): Promise<Running> {
  const { startScheduler } = await import("../scheduler/main.ts");
  const transport = createHttpTransport(loadKubeconfig({ path: config.kubeconfig }));
  return closing(startScheduler({ transport }, { clock: systemClock, log }), () => transport.close());
}

function ranges(texts: readonly string[]): readonly Cidr[] {
  return texts.flatMap((text) => parseCidr(text) ?? []);
}

function closing(running: Running, after: () => void): Running {
  return {
    ready: running.ready,
    close: async () => {
      await running.close();
      after();
    },
  };
}
