// Runs in a guest kernel, for the part rules-ipvs of `npm run soak`. Arguments: seed, kills, minutes. Its lines are `KillLine`s.
import { killsInGuest } from "../support/rules-kills.ts";
import { soakRules } from "./rules.ts";
import type { KillLine } from "./rules-ipvs.ts";

const [seed = 0, kills = 0, minutes = 0] = process.argv.slice(2).map(Number);
const tell = (line: KillLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const signal = AbortSignal.timeout(minutes * 60_000);
tell({ result: await soakRules({ seed, kills, minutes, signal, progress: (progress) => tell({ progress }) }, killsInGuest) });
