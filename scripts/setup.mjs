// Brings a fresh checkout to where `bin/fairway` runs: npm packages, the bundle, and, as root on Debian, the system
// packages. Plain JavaScript on purpose: it runs on whatever Node a machine has, before our own runtime is installed.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { guestFolder, prepareGuestKernel } from "./guest-kernel.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const stamps = join(root, "node_modules", ".fairway-setup");

/** What the program or its tests call, the Debian package it comes in, and what is missing without it. */
const tools = [
  { command: "nft", package: "nftables", without: "no nftables rules: Services go through the userspace backend" },
  { command: "ip", package: "iproute2", without: "no nodes in network namespaces: plain mode" },
  { command: "crun", package: "crun", without: "no containers: plain mode" },
  { command: "conntrack", package: "conntrack", without: "tests cannot read the connection table" },
  { command: "iptables", package: "iptables", without: "no iptables or ipvs rules; their tests do not run" },
  { command: "ipvsadm", package: "ipvsadm", without: "no ipvs rules from where FFI cannot be used; their tests do not run" },
  { command: "ipset", package: "ipset", without: "no ipvs rules" },
  { command: "curl", package: "curl", without: "the tour's lines and some tests do not run" },
  { command: "dig", package: "dnsutils", without: "the tour's DNS lines and DNS tests do not run" },
  { command: "nc", package: "netcat-openbsd", without: "some tests do not run" },
  { command: "openssl", package: "openssl", without: "some tests do not run" },
  { command: "kubectl", without: "the tour's kubectl lines and tests with it do not run; see https://kubernetes.io/docs/tasks/tools/" },
];

/** What only tests need; asked for with --tests. */
const testTools = [
  { command: "qemu-system-x86_64", package: "qemu-system-x86", without: "the tests in a guest kernel do not run" },
  { command: "kdig", package: "knot-dnsutils", without: "tests of DNS over TLS and HTTPS by another client do not run" },
];
const forTests = process.argv.includes("--tests");

function say(text) {
  process.stdout.write(`setup: ${text}\n`);
}

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8", ...options });
}

function has(command) {
  return (process.env.PATH ?? "")
    .concat(":/usr/sbin:/sbin")
    .split(":")
    .some((d) => d !== "" && existsSync(join(d, command)));
}

function digest(text) {
  return createHash("sha256").update(text).digest("hex");
}

function stamp(name) {
  try {
    return readFileSync(join(stamps, name), "utf8");
  } catch {
    return "";
  }
}

function setStamp(name, value) {
  mkdirSync(stamps, { recursive: true });
  writeFileSync(join(stamps, name), value);
}

function installPackages() {
  const lockFile = join(root, "package-lock.json");
  const lock = readFileSync(lockFile, "utf8");
  const wanted = digest(lock + process.platform + process.arch);
  if (stamp("packages") === wanted) return;
  say("installing npm packages (once, and when the lock file changes)");
  let done = run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
  if (done.status !== 0) {
    // A registry may lack optional packages of other platforms; then `npm ci` refuses the lock that `npm install` accepts.
    done = run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]);
    if (readFileSync(lockFile, "utf8") !== lock) writeFileSync(lockFile, lock);
    if (done.error?.code === "ENOENT") {
      process.stderr.write("setup: npm is not there; it comes with Node.js (Debian: apt-get install npm)\n");
      process.exit(1);
    }
    if (done.status !== 0) {
      process.stderr.write(`${done.stdout}${done.stderr}\nsetup: npm could not install the packages; see above\n`);
      process.exit(1);
    }
    const installed = JSON.parse(readFileSync(join(root, "node_modules", ".package-lock.json"), "utf8")).packages;
    for (const [path, want] of Object.entries(JSON.parse(lock).packages)) {
      const got = installed[path];
      if (path !== "" && got !== undefined && got.version !== want.version) {
        process.stderr.write(`setup: ${path} is ${got.version}, the lock file says ${want.version}\n`);
        process.exit(1);
      }
    }
  }
  setStamp("packages", wanted);
}

function installTools() {
  const wanted = forTests ? [...tools, ...testTools] : tools;
  const names = wanted.filter((t) => !has(t.command)).flatMap((t) => t.package ?? []);
  if (names.length > 0 && process.getuid?.() === 0 && has("apt-get")) {
    say(`installing Debian packages: ${names.join(" ")}`);
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    let done = run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...names], { env });
    if (done.status !== 0) {
      run("apt-get", ["update", "-qq"], { env });
      done = run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...names], { env });
    }
    if (done.status !== 0) process.stderr.write(done.stderr);
  }
  const left = wanted.filter((t) => !has(t.command));
  if (left.length === 0) return;
  say("this machine lacks, and goes on without:");
  for (const t of left) say(`  ${t.command}: ${t.without}`);
  const packages = left.map((t) => t.package).filter((p) => p !== undefined);
  if (packages.length > 0) say(`to have them, as root: apt-get install ${packages.join(" ")}`);
}

/** A kernel that tests start under QEMU; see guest-kernel.mjs. */
function fetchGuestKernel() {
  if (existsSync(guestFolder) || process.getuid?.() !== 0 || !has("apt-get") || !has("qemu-system-x86_64")) return;
  say(`fetching a guest kernel for tests into ${guestFolder}`);
  try {
    prepareGuestKernel();
  } catch (error) {
    say(`no guest kernel, so the tests in one do not run: ${error.message}`);
  }
}

function newest(dir) {
  let at = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    at = Math.max(at, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return at;
}

function bundle() {
  const out = join(root, "dist", "fairway.mjs");
  const sources = ["src", "rules", "dns", "ingress", "scripts"].map((d) => join(root, d)).filter(existsSync);
  if (existsSync(out) && statSync(out).mtimeMs > Math.max(...sources.map(newest))) return;
  say("bundling");
  const node = join(root, "node_modules", ".bin", "node");
  const done = run(existsSync(node) ? node : process.execPath, [join("scripts", "bundle.ts")]);
  if (done.status !== 0) {
    process.stderr.write(`${done.stdout}${done.stderr}\nsetup: the bundle could not be built\n`);
    process.exit(1);
  }
}

installPackages();
installTools();
if (forTests) fetchGuestKernel();
bundle();
