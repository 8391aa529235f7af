// Virtual servers in a guest kernel without hardware help: times are some ten times too long, ratios of one run hold. With
// `--kube-proxy PATH` and what else `rules` takes, the whole daemon beside it, through an API server in the guest.
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { bundleForGuest } from "../test/support/guest-bundle.ts";
import { guestLack, startGuest } from "../test/support/guest-kernel.ts";

const lack = guestLack("ip", "ipvsadm", "ipset");
if (lack !== undefined) throw new Error(`no guest kernel here: ${lack}`);
const args = process.argv.slice(2);
console.log(
  JSON.stringify(
    { load: readFileSync("/proc/loadavg", "utf8").trim(), results: await (args.length === 0 ? alone() : beside()) },
    undefined,
    1,
  ),
);

/** The backend's own part, objects in memory. */
async function alone(): Promise<unknown> {
  const bundle = await bundleForGuest({ bench: join(import.meta.dirname, "guest", "rules-ipvs.program.ts") });
  try {
    return await inGuest(bundle.command("bench"));
  } finally {
    bundle.remove();
  }
}

/** The checkout as it stands; the guest has a temporary folder of its own. */
function beside(): Promise<unknown> {
  const root = resolve(import.meta.dirname, "..");
  if (root.startsWith(`${tmpdir()}/`)) throw new Error(`a guest has its own ${tmpdir()}: run this from elsewhere`);
  const sizes = args.includes("--services") ? [] : ["--services", "1000x5"];
  const asked = [...sizes, "--give-up", "600", ...args, "--backends", "ipvs", "-o", "json"];
  return inGuest([process.execPath, join(root, "bench", "rules.ts"), ...asked].join(" "));
}

async function inGuest(command: string): Promise<unknown> {
  let results: unknown;
  const guest = startGuest({
    script: `exec ${command}\n`,
    timeoutSeconds: 3600,
    line: (text) => {
      results = JSON.parse(text);
    },
  });
  const { status, stderr, console: said } = await guest.done;
  if (status !== 0) throw new Error(`the guest ended with ${status ?? "nothing"}: ${stderr}\n${said}`);
  return results;
}
