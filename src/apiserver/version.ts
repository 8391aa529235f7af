/** What `/version` says: the Kubernetes API it follows, and that it is fairway. */
export const kubernetesVersion = { major: "1", minor: "36", gitVersion: "v1.36.0+fairway" };

export function versionInfo(): object {
  return {
    ...kubernetesVersion,
    gitCommit: "",
    gitTreeState: "clean",
    buildDate: "1970-01-01T00:00:00Z",
    goVersion: "",
    compiler: "node",
    platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
  };
}
