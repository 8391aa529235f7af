import { basename } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { printRcode } from "../../../dns/wire/record-type.ts";
import { printRecord } from "../../../dns/wire/zone-file.ts";
import { type CoreDns, coreDnsProgram, startCoreDns } from "../../support/coredns.ts";
import { files, groups } from "./plugin-cases.ts";

/** What is not as in CoreDNS, and why: the table's Corefiles and questions, code and answers compared. */
const differences: Readonly<Record<string, string>> = {
  "nope.example.org. A": "there the `file` lines of a block are one plugin, and fall through together",
  "to-away.org. A": "there a rewritten alias keeps the code of the answer it was in; here it has its new target's",
  "localhost.lan. A": "as of the next line: nobody has refused to answer but this server",
  "other.ip.org. A": "there the end of a chain is SERVFAIL; here nobody has refused to answer but this server: REFUSED",
  "1.0.0.0.8.0.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa. PTR": "there reverse names of made addresses go unanswered",
};

/** Without an API, and for clients on loopback: what hangs on the client is in the table only. */
const isComparable = (corefile: string): boolean => !/kubernetes|acl|view|weighted/.test(corefile);

const comparable = groups.filter(([, corefile]) => isComparable(corefile));

test("every difference is one of the table's questions", () => {
  const asked = new Set(comparable.flatMap(([, , cases]) => cases.map(([question]) => question)));
  expect(Object.keys(differences).filter((question) => !asked.has(question))).toEqual([]);
});

// a rival that is asked only where somebody gives it: nothing of ours is left out without it
if (coreDnsProgram !== undefined) {
  describe.each(comparable)("CoreDNS: %s", (_, corefile, cases) => {
    let peer: CoreDns | undefined;
    beforeAll(async () => {
      const bound = corefile.replace(/^(\.|[a-z.]+\.[a-z]+) \{$/gm, "$1 {\n bind 127.0.0.1").replaceAll("/etc/hosts", "hosts");
      peer = await startCoreDns(() => bound, Object.fromEntries(Object.entries(files).map(([file, text]) => [basename(file), text])));
    }, 120_000);
    afterAll(() => peer?.close());

    const own = cases.filter(([asked]) => !/[@+]|^CH /.test(asked) && !(asked in differences));
    test.each(own)("%s", async (asked, want) => {
      const [name = "", type = "A"] = asked.split(" ");
      const answer = await queryOnce({ ip: "127.0.0.1", port: peer?.port ?? 0 }, name, { type, timeout: 5000 });
      const [code = "", ...lines] = want;
      const isAnswer = (l: string): boolean => !/^(auth|more|option) /.test(l);
      expect([printRcode(answer.rcode), ...answer.answers.map((r) => printRecord(r).toLowerCase()).sort()]).toEqual([
        code.split(" ")[0],
        ...lines
          .filter(isAnswer)
          .map((l) => l.toLowerCase())
          .sort(),
      ]);
    });
  });
}
