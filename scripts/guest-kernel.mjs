// A kernel with what this machine's may lack (ip_vs, dummy links), for tests that boot it under QEMU: Debian's cloud kernel,
// unpacked into a cache folder and never installed. Its root is this machine's, read-only below an overlay in memory.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** Of the folder's contents; test/support/guest-kernel.ts expects the same. */
const format = "2";
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "fairway-guest");
export const guestFolder = join(cache, format);

/** What must be loaded before the root is there. */
const earlyModules = ["virtio_pci", "virtio_console", "virtiofs", "overlay"];

/** First program of the guest: makes the root. */
const init = `#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /lower /upper /root
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read module; do $b insmod /modules/$module; done < /modules.list
$b mount -t virtiofs -o ro host /lower || $b poweroff -f
$b mount -t tmpfs -o size=60% tmpfs /upper
$b mkdir /upper/files /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root
$b mount -t tmpfs run /root/run
for folder in proc sys dev; do $b mount --move /$folder /root/$folder; done
$b cp /bin/busybox /main /root/run/
exec $b switch_root /root /run/busybox sh /run/main
`;

/** Second one, with this machine's files as root: runs the command, tells its status, ends the guest. */
const main = `b=/run/busybox
port() { for p in /sys/class/virtio-ports/*; do [ "$($b cat $p/name)" = "$1" ] && echo /dev/\${p##*/}; done; }
out=$(port out) err=$(port err) status=$(port status)
$b mkdir -p /dev/pts /dev/shm
$b mount -t devpts devpts /dev/pts
$b mount -t tmpfs shm /dev/shm
$b ln -sfn /proc/self/fd /dev/fd
for n in 0:stdin 1:stdout 2:stderr; do $b ln -sf /proc/self/fd/\${n%%:*} /dev/\${n##*:}; done
$b rm -rf /lib/modules
$b ln -sfn "$guest_folder/modules" /lib/modules
$b ln -sf /run/busybox /usr/sbin/modprobe
$b ln -sf /run/busybox /sbin/modprobe
# commands open these again and again; from memory that is quicker
for file in protocols services nsswitch.conf ethertypes; do [ -f /etc/$file ] && $b cp /etc/$file /run/copy && $b mv /run/copy /etc/$file; done
$b hostname guest
$b ip link set lo up
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
$b setsid /bin/sh "$guest_command" > $out 2> $err < /dev/null
echo $? > $status
$b sync
echo o > /proc/sysrq-trigger
$b sleep 60
`;

function run(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28, ...options });
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${done.error?.message ?? done.stderr}`);
  return done.stdout;
}

/** The package with the newest kernel for virtual machines. */
function kernelPackage() {
  const depends = () => /Depends: (linux-image-\S+)/.exec(run("apt-cache", ["depends", "linux-image-cloud-amd64"]))?.[1];
  try {
    const found = depends();
    if (found !== undefined) return found;
  } catch {
    // the lists of packages are not there yet
  }
  run("apt-get", ["update", "-qq"]);
  const found = depends();
  if (found === undefined) throw new Error("apt knows no package linux-image-cloud-amd64");
  return found;
}

function build(folder) {
  const kernel = kernelPackage();
  const download = () => run("apt-get", ["download", "-qq", kernel, "busybox-static"], { cwd: folder });
  try {
    download();
  } catch {
    // the lists name files that are gone
    run("apt-get", ["update", "-qq"]);
    download();
  }
  for (const deb of readdirSync(folder).filter((f) => f.endsWith(".deb"))) run("dpkg-deb", ["-x", deb, "unpacked"], { cwd: folder });
  const unpacked = join(folder, "unpacked");
  const busybox = join(unpacked, "bin", "busybox");
  const modules = ["lib/modules", "usr/lib/modules"].map((d) => join(unpacked, d)).find(existsSync);
  const [version] = readdirSync(modules);
  run(busybox, ["depmod", "-b", unpacked, version]);
  cpSync(join(unpacked, "boot", `vmlinuz-${version}`), join(folder, "vmlinuz"));

  const root = join(folder, "initrd");
  mkdirSync(join(root, "bin"), { recursive: true });
  mkdirSync(join(root, "modules"));
  cpSync(busybox, join(root, "bin", "busybox"));
  const dependencies = new Map(
    readFileSync(join(modules, version, "modules.dep"), "utf8")
      .split("\n")
      .map((line) => line.split(":"))
      .map(([path, needs = ""]) => [path, needs.trim().split(" ").filter(Boolean)]),
  );
  const load = [];
  const add = (path) => {
    for (const needed of dependencies.get(path) ?? []) add(needed);
    if (!load.includes(path)) load.push(path);
  };
  for (const name of earlyModules) {
    const path = [...dependencies.keys()].find((p) => new RegExp(`/${name}\\.ko`).test(p));
    if (path !== undefined) add(path);
  }
  for (const path of load) cpSync(join(modules, version, path), join(root, "modules", path.split("/").at(-1)));
  writeFileSync(join(root, "modules.list"), load.map((p) => `${p.split("/").at(-1)}\n`).join(""));
  writeFileSync(join(root, "init"), init, { mode: 0o755 });
  writeFileSync(join(root, "main"), main);
  const archive = spawnSync(busybox, ["cpio", "-o", "-H", "newc"], {
    cwd: root,
    input: run(busybox, ["find", "."], { cwd: root }),
    maxBuffer: 1 << 28,
  });
  if (archive.status !== 0) throw new Error(`cpio: ${archive.stderr}`);
  writeFileSync(join(folder, "initrd.gz"), gzipSync(archive.stdout, { level: 1 }));
  renameSync(modules, join(folder, "modules"));
  for (const name of readdirSync(folder))
    if (!["vmlinuz", "initrd.gz", "modules"].includes(name)) rmSync(join(folder, name), { recursive: true });
}

/** Fills the cache folder where it is not there. Throws when it cannot. Several may try at the same time. */
export function prepareGuestKernel() {
  if (existsSync(guestFolder)) return;
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "new-"));
  try {
    build(folder);
    try {
      renameSync(folder, guestFolder);
    } catch (error) {
      if (!existsSync(guestFolder)) throw error;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
