/** A program that prints an ExecCredential (client.authentication.k8s.io v1 or v1beta1). */
export interface ExecPlugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to this process's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Shown when the command is not there. */
  readonly installHint?: string;
  /** Passes `spec.cluster` in KUBERNETES_EXEC_INFO. */
  readonly provideClusterInfo: boolean;
}

/**
 * How to reach a cluster and as whom. Of each pair `xPem` / `xFile` the text wins; files are read again when they change.
 * Of several kinds of credentials the certificate goes into TLS, and of token, exec plugin and password the first one is sent.
 */
export interface ClusterAccess {
  /** `https://host:port`, with a path when the API is behind a prefix. */
  readonly server: string;
  readonly caPem?: string;
  readonly caFile?: string;
  readonly insecureSkipVerify?: boolean;
  /** The name the server's certificate must have, when it is not the host of `server`. */
  readonly tlsServerName?: string;
  readonly certPem?: string;
  readonly certFile?: string;
  readonly keyPem?: string;
  readonly keyFile?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly exec?: ExecPlugin;
  readonly username?: string;
  readonly password?: string;
  /** Whom to act as: sent as Impersonate-User and Impersonate-Group. */
  readonly impersonate?: { readonly user: string; readonly groups: readonly string[] };
  /** The context's namespace: what a command without `-n` means. */
  readonly namespace?: string;
  /** The context this came from, for messages. */
  readonly context?: string;
}
