import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Compiled, ObjectRef, Problem } from "../../src/snapshot/problem.ts";
import type { StreamService } from "../route/route.ts";
import type { IngressScope } from "./ingress-class.ts";
import { streamPoolId } from "./pool-plan.ts";

/** The ports that ConfigMaps of ingress-nginx give to Services: `"9000": namespace/name:port[:PROXY][:PROXY]`, and PROXY2 for its second version out. */
export function compileStreams(snapshot: Snapshot, scope: IngressScope): Compiled<readonly StreamService[]> {
  const streams: StreamService[] = [];
  const problems: Problem[] = [];
  for (const [protocol, key] of [
    ["tcp", scope.tcpServices],
    ["udp", scope.udpServices],
  ] as const) {
    const slash = key.indexOf("/");
    const object: ObjectRef = { kind: "ConfigMap", namespace: key.slice(0, slash), name: key.slice(slash + 1) };
    for (const [port, text] of Object.entries(snapshot.tables.ConfigMap.get(key)?.data ?? {})) {
      const read = readStream(snapshot, { protocol, port, text });
      if (read.stream !== undefined) streams.push({ ...read.stream, object });
      if (read.fault !== undefined) problems.push({ object, field: `data[${port}]`, reason: read.reason, message: read.fault });
    }
  }
  return { plan: streams, problems };
}

type Read =
  | { readonly stream: undefined; readonly reason: string; readonly fault: string }
  | { readonly stream: Omit<StreamService, "object">; readonly reason: string; readonly fault: string | undefined };

function readStream(snapshot: Snapshot, entry: { readonly protocol: "tcp" | "udp"; readonly port: string; readonly text: string }): Read {
  const { protocol, text } = entry;
  const refuse = (fault: string): Read => ({ stream: undefined, reason: "InvalidStream", fault: `${fault}; the port is not served` });
  if (!/^[1-9][0-9]{0,4}$/.test(entry.port) || Number(entry.port) > 65_535) return refuse(`"${entry.port}" is no port`);
  const m = /^([a-z0-9-]+)\/([a-z0-9-]+):([a-z0-9-]+)((?::(?:PROXY)?(?::(?:PROXY2?)?)?)?)$/i.exec(text.trim());
  if (m === null) return refuse(`"${text}" is not namespace/name:port, with :PROXY for the PROXY protocol in, and :PROXY or :PROXY2 out`);
  const [, namespace = "", name = "", servicePort = "", flags = ""] = m;
  const [, accept = "", send = ""] = flags.split(":");
  if (protocol === "udp" && flags !== "") return refuse("UDP has no PROXY protocol here");
  const service = `${namespace}/${name}`;
  const found = snapshot.tables.Service.get(service);
  const ports = (found?.spec?.ports ?? []).filter((p) => (p.protocol ?? "TCP") === protocol.toUpperCase());
  const there = ports.some((p) => p.name === servicePort || String(p.port) === servicePort);
  return {
    stream: {
      id: `${protocol} ${entry.port}`,
      protocol,
      port: Number(entry.port),
      pool: streamPoolId(service, servicePort, protocol),
      acceptProxyProtocol: accept.toUpperCase() === "PROXY",
      ...(send === "" ? {} : { sendProxyProtocol: send.toUpperCase() === "PROXY" ? 1 : 2 }),
    },
    reason: found === undefined ? "ServiceNotFound" : "ServicePortNotFound",
    fault: there
      ? undefined
      : `there is no ${found === undefined ? "" : `${protocol.toUpperCase()} port ${servicePort} of `}Service ${service}; ${protocol === "tcp" ? "connections are closed" : "datagrams are dropped"} until there is`,
  };
}
