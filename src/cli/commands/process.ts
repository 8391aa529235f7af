import type { Command } from "commander";
import type { DaemonConfig } from "../../daemon/daemon-config.ts";
import { roleConfig, runRole } from "../../daemon/role.ts";
import type { ApiServerRoleConfig, ControllersRoleConfig, NodeRoleConfig, SchedulerRoleConfig } from "../../daemon/role-config.ts";
import { usageError } from "../errors.ts";
import { commandLog } from "../global-options.ts";

/** How `up` and `daemon` start their children: configuration by the environment, sockets by inheritance. Not for people. */
export function register(program: Command): void {
  program.command("process <role>", { hidden: true }).action(async (role: string, _: object, command: Command) => {
    const log = commandLog(command, role);
    switch (role) {
      case "apiserver": {
        const { startApiServerRole } = await import("../../daemon/control-plane.ts");
        return runRole(log, () => startApiServerRole(roleConfig<ApiServerRoleConfig>(), log));
      }
      case "controllers": {
        const { startControllersRole } = await import("../../daemon/control-plane.ts");
        return runRole(log, () => startControllersRole(roleConfig<ControllersRoleConfig>(), log));
      }
      case "scheduler": {
        const { startSchedulerRole } = await import("../../daemon/control-plane.ts");
        return runRole(log, () => startSchedulerRole(roleConfig<SchedulerRoleConfig>(), log));
      }
      case "node": {
        const { startNodeRole } = await import("../../daemon/node-role.ts");
        const node = startNodeRole(roleConfig<NodeRoleConfig>(), log);
        return runRole(log, () => node, node.stopPods);
      }
      case "daemon": {
        const { startSupervisor } = await import("../../daemon/supervisor.ts");
        return runRole(log, () => startSupervisor(roleConfig<DaemonConfig>(), log));
      }
      case "agent": {
        const { startAgent } = await import("../../daemon/agent.ts");
        return runRole(log, () => startAgent(roleConfig<DaemonConfig>(), log));
      }
      case "dns": {
        const { startDnsProcess } = await import("../../daemon/dns-process.ts");
        return runRole(log, () => startDnsProcess(roleConfig<DaemonConfig>(), log));
      }
      case "ingress": {
        const { startIngressProcess } = await import("../../daemon/ingress-process.ts");
        return runRole(log, () => startIngressProcess(roleConfig<DaemonConfig>(), log));
      }
      default:
        throw usageError(`process ${role}: no such role`);
    }
  });
}
