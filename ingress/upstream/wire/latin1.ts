/** Buffer's own way to and from latin1, which `write` and `toString` come to after a look at what they were given: half of their time for a head. */
interface Latin1Memory {
  latin1Write?(text: string, at: number): number;
  latin1Slice?(from: number, to: number): string;
}

const { latin1Write, latin1Slice }: Latin1Memory = Buffer.prototype as Buffer & Latin1Memory;

/** Text of bytes, one character a byte. */
export const readLatin1: (bytes: Buffer, from: number, to: number) => string =
  latin1Slice === undefined
    ? (bytes, from, to) => bytes.toString("latin1", from, to)
    : (bytes, from, to) => latin1Slice.call(bytes, from, to);

/** The other way; there must be room for it. */
export const writeLatin1: (text: string, into: Buffer, at: number) => void =
  latin1Write === undefined
    ? (text, into, at) => {
        into.write(text, at, "latin1");
      }
    : (text, into, at) => {
        latin1Write.call(into, text, at);
      };

/** The same text in one piece of its own: a slice keeps the whole text it was cut from, and a sum its parts, to be put together for every use. */
export function inOnePiece(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}
