import type { SoakOptions, SoakResult } from "./part.ts";
import { soakRules } from "./rules.ts";

export const run = (o: SoakOptions): Promise<SoakResult> => soakRules(o, { way: "iptables-nft" });
