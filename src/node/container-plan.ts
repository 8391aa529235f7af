import type { Ip } from "../base/ip.ts";

/** A file or folder of the machine, laid into the container. A missing folder at `path` is made in the container's own layer. */
export interface ContainerMount {
  readonly source: string;
  readonly path: string;
  readonly readOnly: boolean;
}

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

export interface ContainerLimits {
  readonly cpuMillis?: number;
  readonly memoryBytes?: number;
  /** Relative share, from the request. */
  readonly cpuRequestMillis?: number;
}

/** All that a runtime needs to start one container: no API object, no name that must be looked up. */
export interface ContainerPlan {
  readonly podUid: string;
  readonly name: string;
  /** 0 for the first start; a restart is a new container. */
  readonly attempt: number;
  /** `host`: a layer over the machine's root; else a folder with an unpacked image. */
  readonly root: "host" | { readonly folder: string };
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly user: ContainerUser;
  readonly hostname: string;
  readonly mounts: readonly ContainerMount[];
  readonly readOnlyRoot: boolean;
  readonly privileged: boolean;
  readonly allowPrivilegeEscalation: boolean;
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly limits: ContainerLimits;
  readonly hostNetwork: boolean;
  readonly hostPid: boolean;
  readonly stdin: boolean;
  /** The input ends with the first client that attaches to it. */
  readonly stdinOnce: boolean;
  readonly tty: boolean;
}

/** A pod's network, before its containers. */
export interface SandboxPlan {
  readonly podUid: string;
  readonly namespace: string;
  readonly name: string;
  readonly hostNetwork: boolean;
  readonly hostPorts: readonly HostPort[];
}

export interface HostPort {
  readonly hostIp?: Ip;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: "TCP" | "UDP" | "SCTP";
}
