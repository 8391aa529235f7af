import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { backendChoices, iptablesFlavours } from "../../../rules/model/backend.ts";
import { type Part, parts } from "../../daemon/daemon-config.ts";
import { runRole } from "../../daemon/role.ts";
import type { Log } from "../../observe/log.ts";
import { type DaemonOptions, daemonConfigOf } from "../daemon-options.ts";
import { workError } from "../errors.ts";
import { checkDataFolder, readOption } from "../file-options.ts";
import { commandLog } from "../global-options.ts";
import { checkedAccess } from "../kubeconfig-option.ts";
import { readProxyConfig } from "../proxy-config.ts";
import { registerDnsTop } from "./dns-top.ts";

/** What runs on a node, whole or a part of it. */
export function register(program: Command): void {
  daemonCommand(program, "daemon", "a node's service rules, DNS and ingress in one", parts);
  daemonCommand(program, "proxy", "the daemon with service rules only", ["proxy"]);
  registerDnsTop(daemonCommand(program, "dns", "the daemon with DNS only", ["dns"]));
  daemonCommand(program, "ingress", "the daemon with ingress only", ["ingress"]);
}

function daemonCommand(program: Command, name: string, summary: string, enabled: readonly Part[]): Command {
  const command = program
    .command(name)
    .summary(summary)
    .description(`Runs ${summary}, against any Kubernetes API server, until it is told to end.`);
  if (name === "proxy") command.option("--cleanup", "remove every rule fairway made, nothing else, and end");
  command
    .option("--kubeconfig <file>", "the API server and who this is (default: the pod's service account)")
    .option("--node-name <name>", "this node's name in the API (default: NODE_NAME, else the host's name)")
    .option(
      "--run-dir <dir>",
      "sockets and checkpoints; one that starts on the run dir of another takes over from it",
      "/run/fairway/daemon",
    )
    .option("--ready-file <file>", "a file that is there while everything is served")
    .option("--metrics-address <ip>", "where /metrics, /healthz, /livez and /readyz answer", "127.0.0.1")
    .option("--metrics-port <port>", "their port", "10249");
  if (name === "daemon") command.option("--enable <parts>", `which parts: ${parts.join(",")}`, parts.join(","));
  if (enabled.includes("proxy")) {
    command
      .option("--backend <backend>", backendChoices.join(", "), "auto")
      .option("--iptables <make>", `the make of iptables: ${iptablesFlavours.join(", ")} (as the kubelet or CNI has it)`, "auto")
      .option("--config <file>", "a KubeProxyConfiguration, as kube-proxy takes it; read again when it changes")
      .option(
        "--healthz-bind-address <ip:port>",
        "where kube-proxy's /healthz and /livez answer (default: as --config says, else 0.0.0.0:10256); empty: nowhere",
      );
  }
  if (enabled.includes("dns")) {
    command
      .option("--cluster-domain <domain>", "the zone of cluster names", "cluster.local")
      .option("--cluster-cidr <cidrs>", "the pods' range: may ask for outside names, has reverse zones", "10.244.0.0/16")
      .option("--service-cidr <cidrs>", "the Services' range", "10.96.0.0/16")
      .option("--resolv-conf <file>", "whose name servers other names are forwarded to", "/etc/resolv.conf")
      .option("--corefile <file>", "a Corefile to follow, as CoreDNS takes it; its zones and upstreams go before the options here")
      .option("--corefile-configmap <namespace/name>", "where a Corefile to follow is in the API, such as kube-system/coredns")
      .option("--node-local-dns <ips>", "where this node answers DNS for itself too, such as 169.254.20.10");
    if (name === "dns")
      command
        .option("--bind <ips>", "where it answers (default: the addresses of Service kube-system/kube-dns)")
        .option("--port <port>", "its port", "53");
    else command.option("--cluster-dns <ips>", "where DNS answers (default: the addresses of Service kube-system/kube-dns)");
  }
  if (enabled.includes("ingress")) {
    command
      .option(name === "ingress" ? "--bind <ips>" : "--ingress-address <ips>", "where the ingress listens", "0.0.0.0")
      .option("--http-port <port>", "its port for http", "80")
      .option("--https-port <port>", "its port for https", "443")
      .option("--publish <ips>", "addresses written to the status of Ingresses")
      .option("--ingress-processes <n|auto>", "how many processes serve it; auto: one a core, 8 at most", "auto")
      .option("--drain-seconds <n>", "how long connections go on in ingress processes that an upgrade (SIGUSR2) replaces", "240")
      .option("--access-log <json|nginx>", "one line a request, in the log (default: none)")
      .option("--ingress-class <name>", "the class that is served also without an IngressClass of that name", "fairway")
      .option("--controller-class <name>", "what spec.controller of IngressClasses that are served says", "fairway/ingress")
      .option(
        "--ingress-configmap <namespace/name>",
        "settings, with ingress-nginx's keys (default: ingress-nginx/ingress-nginx-controller)",
      )
      .option("--tcp-services-configmap <namespace/name>", "TCP ports for Services (default: ingress-nginx/tcp-services)")
      .option("--udp-services-configmap <namespace/name>", "UDP ports for Services (default: ingress-nginx/udp-services)")
      .option("--ingress-transport <auto|portable>", "portable: public interfaces of Node only, at more CPU a request", "auto");
  }
  command.action(async (o: DaemonOptions, own: Command) => {
    if (o.cleanup === true) {
      const { cleanup } = await import("../../../rules/index.ts");
      const left = await cleanup();
      if (left.length > 0) throw workError(`not everything could be removed: ${left.join("; ")}`);
      return;
    }
    const { startSupervisor } = await import("../../daemon/supervisor.ts");
    const log = commandLog(own, name);
    if (o.config !== undefined) readProxyConfig("--config", o.config);
    const config = daemonConfigOf(name, enabled, o, own);
    await checkedAccess(config.kubeconfig ?? (await import("../../daemon/configured.ts")).readConfigured(config).config.kubeconfig);
    checkDataFolder("--run-dir", config.runDir);
    // The machine's own may be absent; one that was named may not.
    if (o.corefile !== undefined) (await import("../corefile-option.ts")).checkedCorefile("--corefile", o.corefile);
    if (o.resolvConf !== undefined && own.getOptionValueSource("resolvConf") === "cli") readOption("--resolv-conf", o.resolvConf);
    const { noticeService, takeNoticeSocket } = await import("../../kernel/service-notice.ts");
    const manager = takeNoticeSocket(process.env);
    await runRole(log, () => {
      const running = startSupervisor(config, log);
      const notice = (): void => {
        // after a reload, systemd takes this process for the service from here on
        const state = `MAINPID=${process.pid}\nREADY=1`;
        if (manager !== undefined && !noticeService(manager, state)) log("warn", `the service manager at ${manager} cannot be told`);
      };
      if (manager !== undefined) process.on("SIGHUP", () => startSuccessor(manager));
      running.ready.then(notice, () => undefined);
      if (o.readyFile !== undefined) markReady(o.readyFile, running.ready, log);
      return running;
    });
  });
  return command;
}

/** The file is there from when everything is served until the process ends. */
function markReady(file: string, ready: Promise<void>, log: Log): void {
  rmSync(file, { force: true });
  const own = String(process.pid);
  process.on("exit", () => {
    // it may be the one's by now who has taken over
    if (existsSync(file) && readFileSync(file, "utf8") === own) rmSync(file);
  });
  ready
    .then(
      () => writeFileSync(file, own),
      () => undefined,
    )
    .catch((error: unknown) => log("warn", `--ready-file ${file} cannot be written`, { error: String(error) }));
}

/** The same command anew, of the program as it is on disk now: it takes over from this process, which then drains and ends. */
function startSuccessor(manager: string): void {
  const env = { ...process.env, NOTIFY_SOCKET: manager };
  spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], { stdio: "inherit", detached: true, env }).unref();
}
