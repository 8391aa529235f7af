import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { RunCommand } from "../kernel/command.ts";
import { realPathOf } from "./real-path.ts";

/** Folders of the machine that a container sees empty and may fill, with their modes. */
const emptied: readonly (readonly [path: string, mode: number])[] = [
  ["/root", 0o700],
  ["/home", 0o755],
  ["/tmp", 0o1777],
  ["/var/tmp", 0o1777],
  ["/run", 0o755],
  ["/mnt", 0o755],
  ["/media", 0o755],
];

/** Secrets and other people's data: not there at all, nor where links say that they are. */
const hidden: readonly string[] = [
  "/etc/shadow",
  "/etc/shadow-",
  "/etc/gshadow",
  "/etc/gshadow-",
  "/etc/sudoers",
  "/etc/sudoers.d",
  "/etc/ssh",
  "/etc/ssl/private",
  "/etc/letsencrypt",
  "/etc/wireguard",
  "/etc/krb5.keytab",
  "/etc/kubernetes",
  "/etc/rancher",
  "/etc/fairway",
  "/var/lib/fairway",
  "/var/lib/kubelet",
  "/var/lib/etcd",
  "/var/lib/docker",
  "/var/lib/containerd",
  "/var/lib/rancher",
  "/var/log",
  "/var/mail",
  "/var/spool",
  "/var/backups",
];

/**
 * Makes the two layers that lie between a container's own layer and the machine's root, and returns their folder. `empty` has folders,
 * `mask` below it has whiteouts (character devices 0:0, kernel's overlayfs.rst): a folder above a whiteout shows nothing of what is below,
 * and this needs no extended attributes. Made anew each time: the paths may have changed.
 */
export async function makeHostLayers(
  run: RunCommand,
  folder: string,
  alsoHidden: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  const mask = join(folder, "mask");
  const empty = join(folder, "empty");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(mask, { recursive: true, mode: 0o755 });
  mkdirSync(empty, { recursive: true, mode: 0o755 });
  const whiteouts: string[] = [];
  // Parents first: what lies below a hidden path is hidden with it.
  const secret = [...hidden, ...alsoHidden].flatMap((p) => [resolve(p), realPathOf(p)]);
  const paths = [...new Set([...emptied.map(([path]) => path), ...secret])].sort();
  for (const path of paths) {
    if (path === "/" || !existsSync(path) || lstatSync(path).isSymbolicLink()) continue;
    if (paths.some((p) => path.startsWith(`${p}/`) && existsSync(p))) continue;
    copyParents(mask, dirname(path));
    whiteouts.push(path);
  }
  for (const [path, mode] of emptied) {
    if (!existsSync(path) || lstatSync(path).isSymbolicLink()) continue;
    copyParents(empty, dirname(path));
    mkdirSync(join(empty, path));
    chmodSync(join(empty, path), mode);
  }
  const made = await run(["sh", "-c", 'cd "$0"; for p; do mknod "mask$p" c 0 0 || exit 1; done', folder, ...whiteouts], {}, signal);
  // A folder that lies on an overlay itself cannot hold a whiteout; then each container makes its own, from this list.
  if (made.code !== 0) writeFileSync(join(folder, "whiteouts"), `${whiteouts.join("\n")}\n`);
  return folder;
}

/** A folder of a layer hides the attributes of the one below: parents get the machine's own. */
function copyParents(layer: string, path: string): void {
  if (path === "/") return;
  copyParents(layer, dirname(path));
  const target = join(layer, path);
  if (existsSync(target)) return;
  const { mode, uid, gid } = statSync(path);
  mkdirSync(target);
  chmodSync(target, mode & 0o7777);
  chownSync(target, uid, gid);
}
