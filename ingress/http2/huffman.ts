/**
 * Bits of the code of each byte, and of the end of a string (RFC 7541 appendix B). The codes follow: counted up by length, and among
 * those of one length by the byte.
 */
const codeLengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10,
  12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7,
  7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22,
  23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22,
  23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20,
  24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const endOfString = 256;

function codesOf(lengths: readonly number[]): Uint32Array {
  const codes = new Uint32Array(lengths.length);
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    for (const [symbol, l] of lengths.entries()) if (l === length) codes[symbol] = code++;
    code *= 2;
  }
  return codes;
}

const codes = codesOf(codeLengths);

/** States of the decoder are the inner nodes of the code's tree, the root the first; steps are four bits. */
const steps = 16;
/** A step: the next state, with the byte it completes, if any. */
const completes = 1 << 16;
const impossible = -1;
const transitions: Int32Array = transitionsOf();
/** States that may be the last: fewer than eight bits since the last byte, all ones. */
const mayEnd: Uint8Array = endsOf();

interface Node {
  readonly at: number;
  readonly next: (Node | number | undefined)[];
}

function treeOf(): readonly Node[] {
  const root: Node = { at: 0, next: [] };
  const nodes = [root];
  for (const [symbol, length] of codeLengths.entries()) {
    let node = root;
    for (let bit = length - 1; bit > 0; bit--) {
      const way = ((codes[symbol] ?? 0) >>> bit) & 1;
      let next = node.next[way];
      if (typeof next !== "object") {
        next = { at: nodes.length, next: [] };
        nodes.push(next);
        node.next[way] = next;
      }
      node = next;
    }
    node.next[(codes[symbol] ?? 0) & 1] = symbol;
  }
  return nodes;
}

function transitionsOf(): Int32Array {
  const nodes = treeOf();
  const table = new Int32Array(nodes.length * steps).fill(impossible);
  for (const from of nodes)
    for (let nibble = 0; nibble < steps; nibble++) {
      let node: Node = from;
      let byte = -1;
      let possible = true;
      for (let bit = 3; bit >= 0 && possible; bit--) {
        const next = node.next[(nibble >>> bit) & 1];
        if (typeof next === "object") node = next;
        else if (next === undefined || next === endOfString) possible = false;
        else {
          byte = next;
          node = nodes[0] ?? node;
        }
      }
      if (possible) table[from.at * steps + nibble] = node.at | (byte < 0 ? 0 : completes | (byte << 17));
    }
  return table;
}

function endsOf(): Uint8Array {
  const nodes = treeOf();
  const ends = new Uint8Array(nodes.length);
  let node = nodes[0];
  for (let ones = 0; ones < 8 && node !== undefined; ones++) {
    ends[node.at] = 1;
    const next: Node | number | undefined = node.next[1];
    node = typeof next === "object" ? next : undefined;
  }
  return ends;
}

let scratch = Buffer.allocUnsafe(4096);

/** The latin1 text of a coded string; `undefined` when it is none. */
export function huffmanDecode(bytes: Buffer, from: number, to: number): string | undefined {
  // no code is shorter than five bits
  const most = Math.ceil(((to - from) * 8) / 5);
  if (scratch.length < most) scratch = Buffer.allocUnsafe(most);
  let state = 0;
  let length = 0;
  for (let at = from; at < to; at++) {
    const byte = bytes[at] ?? 0;
    for (let shift = 4; shift >= 0; shift -= 4) {
      const step = transitions[state * steps + ((byte >>> shift) & 15)] ?? impossible;
      if (step === impossible) return undefined;
      if ((step & completes) !== 0) scratch[length++] = step >>> 17;
      state = step & 0xffff;
    }
  }
  return mayEnd[state] === 1 ? scratch.toString("latin1", 0, length) : undefined;
}

/** Bytes that `text` (latin1) takes coded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += codeLengths[text.charCodeAt(i) & 255] ?? 0;
  return (bits + 7) >>> 3;
}

/** Writes it; gives where it ends. There must be room. */
export function huffmanEncode(text: string, into: Buffer, at: number): number {
  let bits = 0;
  let count = 0;
  let end = at;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 255;
    const length = codeLengths[symbol] ?? 0;
    // at most 7 bits wait, and no code has more than 30: in parts, since an integer has 32
    let left = length;
    const code = codes[symbol] ?? 0;
    while (left > 0) {
      const take = Math.min(left, 24 - count);
      left -= take;
      bits = (bits << take) | ((code >>> left) & ((1 << take) - 1));
      count += take;
      while (count >= 8) {
        count -= 8;
        into[end++] = bits >>> count;
        bits &= (1 << count) - 1;
      }
    }
  }
  if (count > 0) into[end++] = (bits << (8 - count)) | ((1 << (8 - count)) - 1);
  return end;
}
