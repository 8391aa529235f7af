import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

const version = 1;
const nonceBytes = 12;
const tagBytes = 16;

/** Seals messages between processes that share a secret: AES-256-GCM. Who has not got it can neither read nor make any. */
export class DatagramSeal {
  readonly #key: Buffer;

  /** `secret` is text of any length, with as much chance in it as it is to keep. */
  constructor(secret: string, purpose: string) {
    this.#key = Buffer.from(hkdfSync("sha256", secret, "", purpose, 32));
  }

  seal(text: string): Buffer {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce).setAAD(Buffer.of(version));
    const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
    return Buffer.concat([Buffer.of(version), nonce, cipher.getAuthTag(), body]);
  }

  /** `undefined` for what was not sealed with the same secret. */
  open(datagram: Buffer): string | undefined {
    const head = 1 + nonceBytes + tagBytes;
    if (datagram.length < head || datagram[0] !== version) return undefined;
    const cipher = createDecipheriv("aes-256-gcm", this.#key, datagram.subarray(1, 1 + nonceBytes), { authTagLength: tagBytes });
    cipher.setAAD(Buffer.of(version)).setAuthTag(datagram.subarray(1 + nonceBytes, head));
    try {
      return Buffer.concat([cipher.update(datagram.subarray(head)), cipher.final()]).toString("utf8");
    } catch {
      return undefined;
    }
  }
}
