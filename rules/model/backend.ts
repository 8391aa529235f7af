/** In the order they are named. Kept apart, so that a command line can be read without loading any of them. */
export const backends = ["nftables", "iptables", "ipvs", "userspace"] as const;
export type Backend = (typeof backends)[number];

export type BackendChoice = Backend | "auto";
export const backendChoices: readonly BackendChoice[] = ["auto", ...backends];

export function isBackendChoice(text: string): text is BackendChoice {
  return backendChoices.some((b) => b === text);
}

/** Which make of iptables; `auto`: the one that a kubelet or CNI uses here already, else the one the machine's `iptables` is. */
export const iptablesFlavours = ["auto", "legacy", "nft"] as const;
export type IptablesFlavour = (typeof iptablesFlavours)[number];
