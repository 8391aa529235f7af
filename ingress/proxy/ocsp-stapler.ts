import { createHash } from "node:crypto";
import type { Clock } from "../../src/base/clock.ts";
import { type OcspSubject, type OcspWord, ocspSubject, readOcspResponse } from "./ocsp.ts";
import type { Subrequests } from "./subrequest.ts";

interface Entry {
  readonly subject: OcspSubject;
  word: OcspWord | undefined;
  asking: boolean;
  /** Milliseconds since 1970. */
  askAt: number;
  failures: number;
}

/** Certificates that are remembered; one beyond them is told nothing of until its context is made again. */
const maxEntries = 20_000;
/** More than any response is. Bytes. */
const maxBytes = 64 * 1024;
const firstRetry = 60_000;
const lastRetry = 3_600_000;

export interface OcspStaplerDeps {
  readonly clock: Clock;
  readonly subrequests: Pick<Subrequests, "send">;
  readonly log: (message: string) => void;
}

/**
 * What the responders of our certificates say, kept until it ends and asked for anew at half its time; while none is known,
 * or a responder fails, clients get none. Handshakes never wait for it.
 */
export class OcspStapler {
  readonly #deps: OcspStaplerDeps;
  /** By the digest of the certificate; those learned last stand last. */
  readonly #entries = new Map<string, Entry>();

  constructor(deps: OcspStaplerDeps) {
    this.#deps = deps;
  }

  /** A certificate with its chain (PEM) is about to be shown. */
  learn(chain: string): void {
    const subject = ocspSubject(chain);
    if (subject === undefined) return;
    const key = digest(subject.certificate);
    if (this.#entries.has(key)) return;
    this.#entries.set(key, { subject, word: undefined, asking: false, askAt: 0, failures: 0 });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > maxEntries && oldest !== undefined) this.#entries.delete(oldest);
  }

  /** The response for a handshake now that shows `certificate` (DER). */
  staple(certificate: Buffer): Buffer | undefined {
    const entry = this.#entries.get(digest(certificate));
    if (entry === undefined) return undefined;
    const now = this.#deps.clock.now();
    if (!entry.asking && now >= entry.askAt) void this.#ask(entry);
    return entry.word !== undefined && now < entry.word.nextUpdate ? entry.word.response : undefined;
  }

  async #ask(entry: Entry): Promise<void> {
    const { subject } = entry;
    const { clock, subrequests, log } = this.#deps;
    entry.asking = true;
    const word = await subrequests
      .send({
        method: "POST",
        url: subject.url,
        headers: [{ name: "Content-Type", value: "application/ocsp-request" }],
        body: subject.request,
        bodyBytes: maxBytes,
      })
      .then(
        ({ status, body }) => (status === 200 ? readOcspResponse(body, subject, clock.now()) : undefined),
        () => undefined,
      );
    entry.asking = false;
    const now = clock.now();
    if (word === undefined) {
      if (entry.failures === 0) log(`OCSP: ${subject.url} does not vouch for a certificate of ours; clients are told nothing of it`);
      entry.askAt = now + Math.min(lastRetry, firstRetry * 2 ** Math.min(entry.failures++, 10));
      return;
    }
    entry.failures = 0;
    entry.word = word;
    entry.askAt = now + Math.max(firstRetry, (word.nextUpdate - now) / 2);
  }
}

function digest(certificate: Buffer): string {
  return createHash("sha256").update(certificate).digest("base64");
}
