import { test } from "vitest";
import { ipvsApplierContract } from "../../contract/ipvs-applier.ts";
import { MemoryIpvsApplier } from "../../support/memory-ipvs-applier.ts";

for (const { name, run } of ipvsApplierContract("memory", () => Promise.resolve(new MemoryIpvsApplier()))) {
  test(name, () => run(AbortSignal.timeout(5000)));
}
