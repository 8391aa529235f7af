import { expect, test } from "vitest";
import { ApplyError } from "../../../rules/apply/errors.ts";
import { AutoTarget } from "../../../rules/sync/auto-target.ts";
import { NftablesTarget } from "../../../rules/sync/nftables-target.ts";
import { UserspaceTarget } from "../../../rules/sync/userspace-target.ts";
import { MemoryApplier } from "../../support/memory-applier.ts";

function choose(first: MemoryApplier, second = new MemoryApplier()) {
  const log: string[] = [];
  let fellBack = 0;
  const tables = (applier: MemoryApplier): NftablesTarget => new NftablesTarget({ families: [4], tableName: "t", skeleton: {} }, applier);
  const target = new AutoTarget({
    targets: [
      { backend: "nftables", open: () => tables(first) },
      { backend: "iptables", open: () => tables(second) },
      {
        backend: "userspace",
        open: () => {
          fellBack++;
          return new UserspaceTarget({ monotonic: () => 0, random: () => 0, isOwn: () => false });
        },
      },
    ],
    log: (_, message) => log.push(message),
  });
  return { target, log, fellBack: () => fellBack };
}
const signal = AbortSignal.timeout(60_000);

test("nftables where it can be had", async () => {
  const { target, log, fellBack } = choose(new MemoryApplier());
  await target.start(signal);
  expect([fellBack(), log]).toEqual([0, ["Service rules: backend nftables, because it is the first choice and can be had here"]]);
  await target.close();
});

const unusable = (why: string): MemoryApplier => {
  const applier = new MemoryApplier();
  applier.probe = () => Promise.reject(new ApplyError("UNUSABLE", why));
  return applier;
};

test("iptables where it cannot, and it says why", async () => {
  const { target, log, fellBack } = choose(unusable("no nft"));
  await target.start(signal);
  expect(log).toEqual(["Service rules: backend iptables, because nftables cannot be used: no nft"]);
  expect(fellBack()).toBe(0);
  await target.close();
});

test("userspace where neither can, and it says why", async () => {
  const { target, log, fellBack } = choose(unusable("no nft"), unusable("no root"));
  await target.start(signal);
  expect(fellBack()).toBe(1);
  expect(target.backend).toBe("userspace");
  expect(log).toEqual(["Service rules: backend userspace, because nftables cannot be used: no nft; iptables cannot be used: no root"]);
  await target.close();
});

test("a failure that may pass is no reason to choose another", async () => {
  const applier = new MemoryApplier();
  applier.probe = () => Promise.reject(new ApplyError("UNAVAILABLE", "no memory"));
  const { target, fellBack } = choose(applier);
  await expect(target.start(signal)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(fellBack()).toBe(0);
});
