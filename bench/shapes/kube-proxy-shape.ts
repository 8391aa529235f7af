/**
 * Tables of the shape that kube-proxy's iptables mode makes in a large cluster (no comments): for measuring what loading and
 * changing such a shape costs on the machine at hand, where kube-proxy itself is not.
 */
export interface KubeProxyShape {
  readonly chains: number;
  readonly rules: number;
  /** Parts that load it, in order; together everything. */
  readonly load: readonly string[];
  /** What is restored when an endpoint of Service `i` has changed: the list of all Services, and the chains of that one. */
  change(i: number, round: number): string;
}

const perPart = 250;

/** `ips`: a Service's address, and its endpoints'. */
export function kubeProxyShape(
  services: number,
  ips: { service(i: number): string; endpoints(i: number): readonly string[] },
): KubeProxyShape {
  const name = (kind: string, n: number): string => `KUBE-${kind}-${n.toString(36).toUpperCase().padStart(16, "A")}`;
  const endpointChain = (i: number, j: number): string => name("SEP", i * 64 + j);
  const portals = Array.from(
    { length: services },
    (_, i) => `-A KUBE-SERVICES -d ${ips.service(i)}/32 -p tcp -m tcp --dport 80 -j ${name("SVC", i)}`,
  );
  const serviceChains = (i: number): readonly string[] => [name("SVC", i), ...ips.endpoints(i).map((_, j) => endpointChain(i, j))];
  const serviceRules = (i: number, list = ips.endpoints(i)): readonly string[] => [
    `-A ${name("SVC", i)} ! -s 11.0.0.0/24 -d ${ips.service(i)}/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ`,
    ...list.flatMap((ip, j) => [
      `-A ${name("SVC", i)}${j === list.length - 1 ? "" : ` -m statistic --mode random --probability ${(1 / (list.length - j)).toFixed(10)}`} -j ${endpointChain(i, j)}`,
      `-A ${endpointChain(i, j)} -s ${ip}/32 -j KUBE-MARK-MASQ`,
      `-A ${endpointChain(i, j)} -p tcp -m tcp -j DNAT --to-destination ${ip}:8080`,
    ]),
  ];
  const table = (chains: readonly string[], rules: readonly string[]): string =>
    ["*nat", ...chains.map((c) => `:${c} - [0:0]`), ...rules, "COMMIT", ""].join("\n");
  const fixed = ["KUBE-MARK-MASQ", "KUBE-SERVICES", "KUBE-POSTROUTING"];
  const common = [
    "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
    "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
    "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
    "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
  ];
  const load = [table(fixed, [])];
  for (let i = 0; i < services; i += perPart / 5) {
    const some = Array.from({ length: Math.min(perPart / 5, services - i) }, (_, k) => i + k);
    load.push(
      table(
        some.flatMap(serviceChains),
        some.flatMap((n) => serviceRules(n)),
      ),
    );
  }
  load.push(table(fixed, [...common, ...portals]));
  const one = serviceRules(0).length;
  return {
    chains: fixed.length + services * serviceChains(0).length,
    rules: common.length + services * (one + 1),
    load,
    change: (i, round) => {
      const list = ips.endpoints(i);
      const changed = [...list.slice(1), `12.0.${round & 255}.${(i & 127) + 1}`];
      return table([...fixed, ...serviceChains(i)], [...common, ...portals, ...serviceRules(i, changed)]);
    },
  };
}
