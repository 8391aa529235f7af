import { randomBytes } from "node:crypto";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Bytes of all bodies of a process that wait on a disk. */
export interface SpoolBudget {
  bytes: number;
}

/** What all bodies of a process may take of a disk together. */
const mostSpooled = 1024 ** 3;
/** Handed to the disk and not taken yet: more is not read of a client. */
const mostUnwritten = 256 * 1024;
const pieceBytes = 64 * 1024;

/** The part of a request's body that waits on a disk, in a file without a name: it is gone with the process, whatever ends that. */
export class BodySpool {
  readonly #budget: SpoolBudget;
  #file: Promise<FileHandle> | undefined;
  #writes: Promise<void> = Promise.resolve();
  #unwritten = 0;
  #closed = false;
  size = 0;
  /** The disk, or what these bodies may take of it, is full. */
  failed = false;

  constructor(budget: SpoolBudget) {
    this.#budget = budget;
  }

  /** `bytes` are the spool's from now on. */
  append(bytes: Buffer): void {
    if (this.failed) return;
    if (this.#budget.bytes + bytes.length > mostSpooled) {
      this.failed = true;
      return;
    }
    const at = this.size;
    this.size += bytes.length;
    this.#budget.bytes += bytes.length;
    this.#unwritten += bytes.length;
    this.#file ??= openNameless();
    const file = this.#file;
    this.#writes = this.#writes
      .then(async () => {
        if (!this.#closed && !this.failed) await writeWhole(await file, bytes, at);
      })
      .catch(() => {
        this.failed = true;
      })
      .finally(() => {
        this.#unwritten -= bytes.length;
      });
  }

  get isBehind(): boolean {
    return this.#unwritten > mostUnwritten;
  }

  /** When all that was appended is written, or has failed. */
  written(): Promise<void> {
    return this.#writes;
  }

  /** Some of what was written, from there on. */
  async read(at: number): Promise<Buffer> {
    const file = await this.#file;
    const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, this.size - at));
    const { bytesRead = 0 } = (await file?.read(buffer, 0, buffer.length, at)) ?? {};
    if (bytesRead === 0) throw new Error("a body that waited on a disk is not there");
    return buffer.subarray(0, bytesRead);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#budget.bytes -= this.size;
    const file = this.#file;
    if (file !== undefined) void this.#writes.then(async () => (await file).close()).catch(() => undefined);
  }
}

async function openNameless(): Promise<FileHandle> {
  const path = join(tmpdir(), `fairway-body-${randomBytes(12).toString("hex")}`);
  const file = await open(path, "wx+", 0o600);
  await unlink(path);
  return file;
}

async function writeWhole(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
}
