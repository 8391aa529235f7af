import type { IpvsState, IpvsTransaction } from "../ipvs/transaction.ts";
import type { RealServer, ServiceMatch } from "../ipvs/values.ts";

/** The door to virtual servers, sets and the service link. Several implementations, one contract suite. */
export interface IpvsApplier {
  /** Throws ApplyError UNUSABLE, with what to do, where virtual servers cannot be programmed from here. */
  probe(signal: AbortSignal): Promise<void>;
  /** Makes the service link and the kernel settings that ipvs needs. Before the first transaction; again changes nothing. */
  prepare(signal: AbortSignal): Promise<void>;
  /**
   * What is ours: the link's addresses, services at them, at an address and port in one of our sets, with our marks or that
   * `wanted` says are to be ours, sets with our prefix. Rules are read through their own applier.
   */
  read(signal: AbortSignal, wanted?: (match: ServiceMatch) => boolean): Promise<IpvsState>;
  /**
   * In an order that leaves no address without its services. Throws ApplyError. ipvs has no transactions: after REFUSED
   * what this one had done is undone; after any other code it is as `read` says.
   */
  apply(transaction: IpvsTransaction, signal: AbortSignal): Promise<void>;
  /**
   * Removes all that is ours and nothing else, the rules beside included; no error when there is none. What a kube-proxy has in sets of
   * its own is its own, whoever made it.
   */
  remove(signal: AbortSignal): Promise<void>;
  /**
   * What kube-proxy left beside the service link, once its rules no longer name its sets: these, and the virtual servers at
   * node ports which they list, but for those `wanted`. Whether nothing of it is left.
   */
  removeKubeProxy(wanted: (match: ServiceMatch) => boolean, signal: AbortSignal): Promise<boolean>;
  /** Connections a real server has now; 0 when it is not there. */
  activeConnections(match: ServiceMatch, real: Pick<RealServer, "ip" | "port">, signal: AbortSignal): Promise<number>;
  /** Real servers that take no new connections and go when theirs have ended. */
  draining(): number;
  /** Frees sockets and timers. What is in force stays; what is draining stays at weight 0 until somebody removes it. */
  close(): Promise<void>;
}
