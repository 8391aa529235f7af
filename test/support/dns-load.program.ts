/**
 * Asks a name server (argument 1) as many pods would, each question from a socket of its own and once: no try is repeated. Over UDP and
 * every tenth over TCP, names (arguments 3 on) in turn, some 400 a second until the file of argument 2 is there. Prints how many were
 * asked, and the questions that had no answer with records.
 */
import { existsSync } from "node:fs";
import { queryOnce } from "../../dns/index.ts";

const [ip = "", stop = "", ...names] = process.argv.slice(2);
const failures: string[] = [];
const asked: Promise<void>[] = [];
while (!existsSync(stop)) {
  for (let i = 0; i < 4; i++) {
    const n = asked.length;
    const transport = n % 10 === 9 ? "tcp" : "udp";
    const name = names[n % names.length] ?? "";
    asked.push(
      queryOnce({ ip, port: 53 }, name, { transport, timeout: 30_000 }).then(
        (m) => {
          if (m.answers.length === 0) failures.push(`${n} ${name} ${transport}: code ${m.rcode}`);
        },
        (error: unknown) => void failures.push(`${n} ${name} ${transport}: ${String(error)}`),
      ),
    );
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
}
await Promise.all(asked);
process.stdout.write(JSON.stringify({ asked: asked.length, failures: failures.slice(0, 20) }));
