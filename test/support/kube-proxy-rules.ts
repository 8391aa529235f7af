/** What a kube-proxy leaves for one Service with one endpoint, in the shapes of its 1.36, and what a kubelet and a CNI have beside it. */
export interface LeftService {
  readonly ip: string;
  readonly endpoint: string;
  readonly podRange: string;
}

/** For `iptables-restore --noflush`. */
export function kubeProxyIptables({ ip, endpoint, podRange }: LeftService): string {
  const svc = "KUBE-SVC-BGNS3J6UB7MMLVDO";
  const sep = "KUBE-SEP-VXYZ4Q3W5A6B7C8D";
  const [address = ""] = endpoint.split(":");
  return `*mangle
:KUBE-IPTABLES-HINT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-PROXY-CANARY - [0:0]
COMMIT
*filter
:CNI-FORWARD - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A FORWARD -j CNI-FORWARD
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A CNI-FORWARD -d ${podRange} -j ACCEPT
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-SERVICES -d 10.96.0.99/32 -p tcp -m comment --comment "test/gone:t has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
COMMIT
*nat
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:${sep} - [0:0]
:KUBE-SERVICES - [0:0]
:${svc} - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A ${sep} -s ${address}/32 -m comment --comment "test/web:t" -j KUBE-MARK-MASQ
-A ${sep} -p tcp -m comment --comment "test/web:t" -m tcp -j DNAT --to-destination ${endpoint}
-A KUBE-SERVICES -d ${ip}/32 -p tcp -m comment --comment "test/web:t cluster IP" -m tcp --dport 80 -j ${svc}
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A ${svc} ! -s ${podRange} -d ${ip}/32 -p tcp -m comment --comment "test/web:t cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A ${svc} -m comment --comment "test/web:t -> ${endpoint}" -j ${sep}
COMMIT
`;
}

/** Chains of the kubelet and the CNI, which stay. */
export const othersChains = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY", "KUBE-FIREWALL", "CNI-FORWARD"];

/** For `nft -f`. */
export function kubeProxyNftables({ ip, endpoint, podRange }: LeftService): string {
  const [address = "", port = ""] = endpoint.split(":");
  return `table ip kube-proxy {
  comment "rules for kube-proxy"
  set cluster-ips { type ipv4_addr; comment "Active ClusterIPs"; elements = { ${ip}, 10.96.0.99 } }
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    comment "ClusterIP, ExternalIP and LoadBalancer IP traffic"
    elements = { ${ip} . tcp . 80 : goto service-ULMVA6XW-test/web/tcp/t }
  }
  map no-endpoint-services {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.99 . tcp . 80 : goto reject-chain }
  }
  chain filter-prerouting { type filter hook prerouting priority -110; policy accept; ct state new jump service-endpoints-check; }
  chain filter-forward { type filter hook forward priority -110; policy accept; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
  chain filter-output { type filter hook output priority -110; policy accept; ct state new jump service-endpoints-check; }
  chain filter-output-post-dnat { type filter hook output priority -90; policy accept; ct state new jump cluster-ips-check; }
  chain nat-output { type nat hook output priority -100; policy accept; jump services; }
  chain nat-postrouting { type nat hook postrouting priority 100; policy accept; jump masquerading; }
  chain nat-prerouting { type nat hook prerouting priority -100; policy accept; jump services; }
  chain cluster-ips-check { ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"; }
  chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
  chain reject-chain { reject; }
  chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
  chain mark-for-masquerade { meta mark set meta mark or 0x00004000; }
  chain masquerading { meta mark & 0x00004000 == 0x00000000 return; meta mark set meta mark ^ 0x00004000; masquerade fully-random; }
  chain service-ULMVA6XW-test/web/tcp/t {
    ip daddr ${ip} tcp dport 80 ip saddr != ${podRange} jump mark-for-masquerade
    numgen random mod 1 vmap { 0 : goto endpoint-5OJB2KTY-test/web/tcp/t__${address}/${port} }
  }
  chain endpoint-5OJB2KTY-test/web/tcp/t__${address}/${port} {
    ip saddr ${address} jump mark-for-masquerade
    meta l4proto tcp dnat to ${endpoint}
  }
}
`;
}
