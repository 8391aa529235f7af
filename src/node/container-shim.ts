/**
 * A container's parent while the agent may come and go: a shell that outlives it. It keeps the output pipes open (a write never fails for
 * want of a reader), waits for the container, writes its status to `exit`, and stays until the agent has read the rest of the
 * output and ends it. All mounts are in its own mount namespace: they vanish with it, whatever kills it.
 *
 * $1 folder of the container · $2 host, folder or none · $3 the layers over the machine's root, or the unpacked image
 * $4 pipe, once or none: where its input comes from · $5… the command that runs the container
 */
export const shimScript = `
cd "$1" || exit 1
kind=$2 base=$3 input=$4
shift 4
mkfifo -m 600 in out err ctl || exit 1
exec 3<>out 4<>err
if [ $input = once ]; then
  # Whoever waits here keeps the input open until somebody writes to eof, or the shim is gone.
  mkfifo -m 600 eof || exit 1
  exec 6<>in 5<in 7<>eof
  (exec 3>&- 4>&- 5<&-; exec 8<eof 7>&-; read -r _ <&8) &
  exec 6>&-
elif [ $input = pipe ]; then exec 5<>in; else exec 5</dev/null; fi
code=125
root() {
  # crun 1.8 refuses a hybrid hierarchy whose v2 part has controllers; without that part it is plain v1.
  ! [ -d /sys/fs/cgroup/unified ] || umount -l /sys/fs/cgroup/unified 2>/dev/null
  lower=$base
  if [ $kind = host ]; then
    # Layers of one overlay may not contain each other: beside the machine's root they need a file system of their own.
    mount -t tmpfs -o size=1m,mode=755 tmpfs layers && cp -a "$base/." layers || return 1
    if [ -f layers/whiteouts ]; then
      while read -r path; do mknod "layers/mask$path" c 0 0 || return 1; done <layers/whiteouts
    fi
    lower=layers/empty:layers/mask:/
  fi
  overlay upper work && return
  # The folder lies on a file system that cannot hold an upper layer (an overlay itself, in a container): memory can.
  mount -t tmpfs -o mode=755 tmpfs upper && mkdir upper/upper upper/work && overlay upper/upper upper/work && : >runtime.log
}
overlay() {
  mount -t overlay overlay -o "nodev,lowerdir=$lower,upperdir=$1,workdir=$2" root
}
if [ $kind = none ] || root 2>runtime.log; then
  "$@" <&5 >&3 2>&4 3>&- 4>&- 5>&- 7>&-
  code=$?
fi
echo $code >exit.tmp
mv exit.tmp exit
read -r _ <>ctl
`;

/** What a container's root is made of. `none`: it has the machine's own (plain processes). */
export type RootLayer =
  | { readonly kind: "host"; readonly layers: string }
  | { readonly kind: "folder"; readonly folder: string }
  | { readonly kind: "none" };

/** `pipe`: who attaches may write, and its end is not passed on. `once`: with the end of the first who attaches, the input has ended. */
export type ContainerInput = "pipe" | "once" | "none";

export function inputOf(plan: { readonly stdin: boolean; readonly stdinOnce: boolean }): ContainerInput {
  return plan.stdin ? (plan.stdinOnce ? "once" : "pipe") : "none";
}

/** Arguments of a process that runs the shim, with a mount namespace of its own when there is something to mount. */
export function shimArgv(folder: string, root: RootLayer, input: ContainerInput, command: readonly string[]): readonly string[] {
  const base = root.kind === "host" ? root.layers : root.kind === "folder" ? root.folder : "";
  const sh = ["sh", "-c", shimScript, "fairway-shim", folder, root.kind, base, input, ...command];
  return root.kind === "none" ? sh : ["unshare", "--mount", "--propagation", "private", ...sh];
}
