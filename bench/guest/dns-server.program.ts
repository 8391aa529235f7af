/**
 * The name server in a process of its own, as a node has it: names come as lines of JSON (argument 1), UDP is read as argument 2
 * says. Prints its port. Each `updates N` line of standard input makes N changes of a name a second, `updates 0` ends them;
 * `memory` prints what it takes.
 */
import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { type NameRecords, startDnsServer } from "../../dns/index.ts";

const [file = "", udpIo = "auto"] = process.argv.slice(2);
const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], upstreams: [], udpIo: udpIo === "portable" ? "portable" : "auto" });
await server.ready;

type Line = readonly [key: string, records: NameRecords];
let revision = 1;
const apply = (lines: readonly Line[]): void =>
  server.apply({ revision: ++revision, upserts: lines.map(([key, records]) => ({ key, records })), deletes: [] });
let part: Line[] = [];
const changing: Line[] = [];
for await (const text of createInterface({ input: createReadStream(file) })) {
  const line = JSON.parse(text) as Line;
  part.push(line);
  if (changing.length < 100 && line[1].sets[0]?.data[0]?.kind === "A") changing.push(line);
  // as the agent's stream brings them
  if (part.length >= 500) apply(part.splice(0));
}
apply(part.splice(0));
part = [];
server.setSynced();
(globalThis as { gc?: () => void }).gc?.();
process.stdout.write(`${server.addresses()[0]?.port ?? 0}\n`);

let timer: NodeJS.Timeout | undefined;
let n = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument] = line.split(" ");
  if (command === "updates") {
    clearInterval(timer);
    const perSecond = Number(argument);
    if (perSecond > 0) {
      timer = setInterval(() => {
        const [key, records] = changing[n++ % changing.length] ?? ["", { sets: [] }];
        // another size each time, so that blocks move
        const sets = n % 2 === 0 ? records.sets : records.sets.slice(0, 1);
        apply([[key, { ...records, sets }]]);
      }, 1000 / perSecond);
    }
  } else if (command === "memory") {
    (globalThis as { gc?: () => void }).gc?.();
    process.stdout.write(`${/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0}\n`);
  }
}
clearInterval(timer);
await server.close();
