// Virtual servers in a guest kernel without hardware help: times are some ten times too long, ratios of one run hold.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bundleForGuest } from "../test/support/guest-bundle.ts";
import { guestLack, startGuest } from "../test/support/guest-kernel.ts";

const lack = guestLack("ip", "ipvsadm", "ipset");
if (lack !== undefined) throw new Error(`no guest kernel here: ${lack}`);
const bundle = await bundleForGuest({ bench: join(import.meta.dirname, "guest", "rules-ipvs.program.ts") });
try {
  let results: unknown;
  const guest = startGuest({
    script: `exec ${bundle.command("bench")}\n`,
    timeoutSeconds: 1200,
    line: (text) => {
      results = JSON.parse(text);
    },
  });
  const { status, stderr, console: said } = await guest.done;
  if (status !== 0) throw new Error(`the guest ended with ${status ?? "nothing"}: ${stderr}\n${said}`);
  console.log(JSON.stringify({ load: readFileSync("/proc/loadavg", "utf8").trim(), results }, undefined, 1));
} finally {
  bundle.remove();
}
