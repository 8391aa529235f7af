import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { lacking } from "./requires.ts";

/** Of the folder that scripts/guest-kernel.mjs fills. */
const format = "2";
const folder = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "fairway-guest", format);
const virtiofsd = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"].find((path) => existsSync(path));
const memory = "1024M";

/** Why no guest kernel can be started here, or undefined. Under CI=true a lack is an error. */
export function guestLack(...commands: readonly string[]): string | undefined {
  return lacking(
    "qemu-system-x86_64",
    "setpriv",
    ...(virtiofsd === undefined ? ["virtiofsd"] : []),
    ...(existsSync(folder) ? [] : [`a guest kernel in ${folder} (npm run setup -- --tests)`]),
    ...commands,
  );
}

export interface GuestConfig {
  /** Run by /bin/sh as root in the guest, whose files are this machine's (read-only, changes stay in its memory). */
  readonly script: string;
  /** A line the script wrote to its standard output. */
  readonly line: (text: string) => void;
  readonly timeoutSeconds: number;
}

export interface GuestResult {
  /** The script's exit status; undefined when the guest ended without one. */
  readonly status: number | undefined;
  readonly stderr: string;
  /** What the kernel said. */
  readonly console: string;
}

/**
 * A whole kernel for one script. Nothing of it is left when `done` resolves or rejects, and nothing outlives this process:
 * both programs die with it.
 */
export function startGuest(config: GuestConfig): { readonly done: Promise<GuestResult>; close(): Promise<void> } {
  const scratch = mkdtempSync(join(tmpdir(), "fairway-guest-"));
  const file = (name: string): string => join(scratch, name);
  const ended = new AbortController();
  const children: ChildProcess[] = [];
  const start = (command: string, args: readonly string[], log: string): ChildProcess => {
    const fd = openSync(file(log), "a");
    // SIGKILL of this process must not leave a guest running
    const child = spawn("setpriv", ["--pdeathsig", "KILL", command, ...args], { stdio: ["ignore", fd, fd] });
    closeSync(fd);
    child.on("error", () => undefined);
    children.push(child);
    return child;
  };
  const run = async (): Promise<GuestResult> => {
    writeFileSync(file("script"), config.script);
    for (const name of ["out", "err", "status", "console"]) writeFileSync(file(name), "");
    const fs = start(
      virtiofsd ?? "virtiofsd",
      [`--socket-path=${file("fs.sock")}`, "-o", "source=/", "-o", "cache=always", "-o", "sandbox=chroot", "--rlimit-nofile=65536"],
      "virtiofsd.log",
    );
    const limit = AbortSignal.any([ended.signal, AbortSignal.timeout(config.timeoutSeconds * 1000)]);
    while (!existsSync(file("fs.sock"))) {
      if (fs.exitCode !== null || limit.aborted) throw new Error(`virtiofsd did not start: ${text(file("virtiofsd.log"))}`);
      await pause(20);
    }
    const qemu = start("qemu-system-x86_64", qemuArguments(file), "qemu.log");
    const exited = new Promise<void>((resolve) => void qemu.once("exit", () => resolve()));
    const lines = new LineReader(file("out"), config.line);
    try {
      while (qemu.exitCode === null && qemu.signalCode === null && !limit.aborted) {
        lines.read();
        await Promise.race([exited, pause(50)]);
      }
      lines.read();
    } finally {
      lines.close();
    }
    const said = text(file("status")).trim();
    const failure = text(file("qemu.log"));
    return {
      status: /^\d+$/.test(said) ? Number(said) : undefined,
      stderr: text(file("err")),
      console: `${failure}${text(file("console"))}${limit.aborted ? "\n(the guest was ended: it took too long)" : ""}`,
    };
  };
  const finish = async (): Promise<void> => {
    await Promise.all(
      children.map(async (child) => {
        if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
        const gone = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGKILL");
        await gone;
      }),
    );
    rmSync(scratch, { recursive: true, force: true });
  };
  const done = run().finally(finish);
  return {
    done,
    close: async () => {
      ended.abort();
      await done.catch(() => undefined);
    },
  };
}

function qemuArguments(file: (name: string) => string): readonly string[] {
  const port = (name: string): readonly string[] => [
    "-chardev",
    `file,id=${name},path=${file(name)}`,
    "-device",
    `virtserialport,chardev=${name},name=${name}`,
  ];
  return [
    ...["-machine", "q35,memory-backend=mem", "-object", `memory-backend-memfd,id=mem,size=${memory},share=on`, "-m", memory],
    // one processor: with more, the translated kernel spends its time waiting for itself
    ...["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-nodefaults", "-display", "none", "-no-reboot"],
    ...["-chardev", `socket,id=fs,path=${file("fs.sock")}`, "-device", "vhost-user-fs-pci,chardev=fs,tag=host,queue-size=1024"],
    ...["-device", "virtio-serial-pci", ...port("out"), ...port("err"), ...port("status"), "-serial", `file:${file("console")}`],
    ...["-kernel", join(folder, "vmlinuz"), "-initrd", join(folder, "initrd.gz"), "-append"],
    // settings with an equals sign that the kernel does not know reach the first program as its environment
    "console=ttyS0 loglevel=4 panic=-1 mitigations=off nokaslr random.trust_cpu=on " +
      // where the host is busy no tick may come in the moment in which the kernel asks whether the timer works: it would panic
      "no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1 " +
      `guest_folder=${folder} guest_command=${file("script")}`,
  ];
}

class LineReader {
  readonly #fd: number;
  readonly #line: (text: string) => void;
  #rest = "";

  constructor(path: string, line: (text: string) => void) {
    this.#fd = openSync(path, "r");
    this.#line = line;
  }

  read(): void {
    const chunk = Buffer.alloc(64 * 1024);
    for (let n = readSync(this.#fd, chunk); n > 0; n = readSync(this.#fd, chunk)) {
      const lines = (this.#rest + chunk.toString("utf8", 0, n)).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#line(line);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
