import { expect, test } from "vitest";
import { kubeProxyRemoval } from "../../../rules/iptables/kube-proxy.ts";
import { kubeProxyIptables } from "../../support/kube-proxy-rules.ts";

const builtIn = ":PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n";
const nat = (text: string): string => `*nat\n${builtIn}${text}COMMIT\n`;

const cases: readonly { readonly name: string; readonly saved: string; readonly want: string }[] = [
  { name: "nothing", saved: nat("-A PREROUTING -j DOCKER\n:DOCKER - [0:0]\n"), want: "" },
  {
    name: "the kubelet's, whose names are alike",
    saved: `*mangle\n:KUBE-IPTABLES-HINT - [0:0]\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:KUBE-FIREWALL - [0:0]\n-A INPUT -j KUBE-FIREWALL\nCOMMIT\n`,
    want: "",
  },
  {
    name: "policies of another program, whose names are alike",
    saved: `*filter\n:FORWARD ACCEPT [0:0]\n:KUBE-ROUTER-FORWARD - [0:0]\n:KUBE-NWPLCY-X - [0:0]\n-A FORWARD -j KUBE-ROUTER-FORWARD\nCOMMIT\n`,
    want: "",
  },
  {
    name: "jumps, then what leads on, then what it led to",
    saved: nat(
      ':KUBE-SERVICES - [0:0]\n:KUBE-SVC-A - [0:0]\n-A PREROUTING -m comment --comment "a b" -j KUBE-SERVICES\n-A PREROUTING -j CNI\n-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-A\n:CNI - [0:0]\n',
    ),
    want: '*nat\n-D PREROUTING -m comment --comment "a b" -j KUBE-SERVICES\nCOMMIT\n*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-A - [0:0]\nCOMMIT\n*nat\n-X KUBE-SERVICES\n-X KUBE-SVC-A\nCOMMIT\n',
  },
  {
    name: "marks that a CNI asks for stay, with what masquerades by them",
    saved: nat(
      ":KUBE-MARK-MASQ - [0:0]\n:KUBE-POSTROUTING - [0:0]\n:KUBE-SERVICES - [0:0]\n:CNI-HOSTPORT-SETMARK - [0:0]\n-A POSTROUTING -j KUBE-POSTROUTING\n-A OUTPUT -j KUBE-SERVICES\n-A CNI-HOSTPORT-SETMARK -j KUBE-MARK-MASQ\n-A KUBE-SERVICES -j KUBE-MARK-MASQ\n",
    ),
    want: "*nat\n-D OUTPUT -j KUBE-SERVICES\nCOMMIT\n*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n*nat\n-X KUBE-SERVICES\nCOMMIT\n",
  },
];

test.each(cases)("$name", ({ saved, want }) => {
  expect(kubeProxyRemoval(saved, 100)).toBe(want);
});

test("chains of kube-proxy in all its tables; parts have so many chains each", () => {
  const saved = kubeProxyIptables({ ip: "10.96.0.1", endpoint: "10.244.1.2:8080", podRange: "10.244.1.0/24" }).replaceAll(
    "COMMIT\n*",
    ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n*",
  );
  const removed = [...kubeProxyRemoval(saved, 2).matchAll(/^-X (\S+)$/gm)].map((m) => m[1]);
  expect(removed).toHaveLength(1 + 6 + 7);
  for (const part of kubeProxyRemoval(saved, 2).split("COMMIT\n")) expect((part.match(/^(:|-X)/gm) ?? []).length).toBeLessThanOrEqual(2);
});
