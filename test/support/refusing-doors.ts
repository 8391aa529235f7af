import type { RuleApplier } from "../../rules/apply/applier.ts";
import type { Element } from "../../rules/nftables/statement.ts";
import type { RunIptables } from "../../src/kernel/iptables-command.ts";

/** Makes of what is asked for something that this machine's kernel itself refuses, as long as `refuses` holds for its address. */
export interface RefusingDoors {
  readonly refuses: (ip: string) => boolean;
  /** Called after each transaction with tables, taken or not. */
  readonly asked?: () => void;
}

/** A counter that is not there: iptables takes a rule that counts in it once it is. */
export const missingCounter = "fairway-test-missing";

export function refusingIptables(run: RunIptables, { refuses }: RefusingDoors): RunIptables {
  const counting = (line: string): string => {
    const ip = / -d (\S+)\/32 /.exec(line)?.[1];
    return ip !== undefined && refuses(ip) ? `${line} -m nfacct --nfacct-name ${missingCounter}` : line;
  };
  return (program, args, input, signal) => run(program, args, input.split("\n").map(counting).join("\n"), signal);
}

/** Ranges of which one holds the other cannot be elements of one set. */
export function refusingTables(applier: RuleApplier, { refuses, asked = () => undefined }: RefusingDoors): RuleApplier {
  const overlapping = (owner: string): readonly Element[] => {
    const [, ip, port, protocol] = /^([\d.]+):(\d+)\/(\w+)$/.exec(owner) ?? [];
    if (ip === undefined || protocol === undefined || !refuses(ip)) return [];
    return ["10.0.0.0/8", "10.1.0.0/16"].map((range) => ({ set: "allowed-sources", key: [ip, protocol, Number(port), range] }));
  };
  return {
    ...applier,
    apply: (transaction, signal) =>
      applier
        .apply(
          transaction.map((table) => ({
            ...table,
            groups: table.groups.map((g) => (g.adds.length === 0 ? g : { ...g, adds: [...g.adds, ...overlapping(g.owner)] })),
          })),
          signal,
        )
        .finally(asked),
  };
}
