// Prints the time of every nf_tables transaction of the network namespace it runs in, by anybody: milliseconds since 1970, one a line.
import { NftNetlink } from "../../src/kernel/nft-netlink.ts";

const nft = new NftNetlink();
let last = nft.generation();
// it ends with whoever started it
process.stdin.on("end", () => process.exit()).resume();
process.stdout.write("watching\n");
setInterval(() => {
  const now = nft.generation();
  if (now === last) return;
  last = now;
  process.stdout.write(`${performance.timeOrigin + performance.now()}\n`);
}, 2);
