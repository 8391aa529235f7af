import { describe, expect, test } from "vitest";
import { parseCorefile } from "../../../dns/corefile/corefile.ts";
import { corefileErrorCodes, isCorefileError } from "../../../dns/corefile/errors.ts";
import { type DnsBlocks, readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { parseDuration } from "../../../dns/corefile/words.ts";

const files: Readonly<Record<string, string>> = {
  "common.conf": "errors\nlog",
  "custom/a.override": "rewrite name a.example.org b.example.org",
  "custom/b.override": "rewrite name c.example.org d.example.org",
  "self.conf": "import self.conf",
};

function read(text: string): DnsBlocks {
  return readCorefile(text, "Corefile", {
    folder: "/etc/coredns",
    env: { PORT: "1053", UPSTREAMS: "10.0.0.1 10.0.0.2" },
    readImport: (pattern) => {
      const glob = new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^/]*")}$`);
      return Object.entries(files).flatMap(([file, content]) => (glob.test(file) ? [{ file, text: content }] : []));
    },
  });
}

/** What a block has, shortly: keys, then plugin names. */
function shape(text: string): readonly string[] {
  return read(text).blocks.map(
    (b) =>
      `${b.keys.map((k) => `${k.scheme}://${k.zone}${k.port === undefined ? "" : `:${k.port}`}`).join(" ")} { ${b.plugins.map((p) => p.plugin).join(" ")} }`,
  );
}

describe("server blocks", () => {
  test.each([
    ["one for all names", ". {\n whoami\n}", ["dns://. { whoami }"]],
    ["without a zone", ":1053 {\n whoami\n}", ["dns://.:1053 { whoami }"]],
    [
      "several keys",
      "example.org, tls://Example.NET:853 https://. {\n tls c k\n}",
      ["dns://example.org. tls://example.net.:853 https://. { tls }"],
    ],
    ["keys over lines", "example.org,\nexample.net {\n}", ["dns://example.org. dns://example.net. {  }"]],
    [
      "ranges",
      "10.0.0.0/8:53 10.128.0.0/15 fd00::/8 {\n}",
      ["dns://10.in-addr.arpa.:53 dns://128.10.in-addr.arpa. dns://129.10.in-addr.arpa. dns://d.f.ip6.arpa. {  }"],
    ],
    ["no braces", "example.org\nwhoami\nerrors", ["dns://example.org. { errors whoami }"]],
    [
      "the order is the server's",
      ". {\n forward . 10.0.0.1\n cache\n errors\n kubernetes cluster.local\n}",
      ["dns://. { errors cache kubernetes forward }"],
    ],
    ["variables", ".:{$PORT} {\n forward . {$UPSTREAMS}\n log {%ABSENT%}\n}", ["dns://.:1053 { log forward }"]],
    ["comments and blank lines", "# all\n\n. { # here\n # nothing\n errors # told\n}\n", ["dns://. { errors }"]],
    [
      "a snippet",
      "(base) {\n errors\n log\n}\na. {\n import base\n}\nb. {\n import base\n whoami\n}",
      ["dns://a. { errors log }", "dns://b. { errors log whoami }"],
    ],
    [
      "files, in the order of their names",
      ". {\n import custom/*.override\n import nothing/*.conf\n import common.conf\n}",
      ["dns://. { errors log rewrite rewrite }"],
    ],
    ["a block on one line", ". { hosts { 10.0.0.1 a.example.org } }", ["dns://. { hosts }"]],
  ])("%s", (_, text, want) => {
    expect(shape(text)).toEqual(want);
  });

  test("a word in quotes holds blanks, braces and ends of lines", () => {
    const [block] = parseCorefile('. {\n log . "{remote} \\"{name}\\"\n{rcode}" {\n class error\n }\n}', "Corefile");
    expect(block?.directives.map((d) => [d.line, d.name, d.words.map((w) => w.text), d.options.map((o) => `${o.line} ${o.name}`)])).toEqual(
      [[2, "log", [".", '{remote} "{name}"\n{rcode}'], ["4 class"]]],
    );
  });
});

describe("faults tell file, line and what would be right", () => {
  test.each([
    [". {\n errors\n", "syntax", "Corefile:1: this server block is not closed"],
    ["}", "syntax", "Corefile:1: there is no open block to close"],
    [". {\n hosts {\n", "syntax", "Corefile:2: the block of hosts is not closed"],
    ['. {\n log "\n', "syntax", "Corefile:2: a quote is not closed"],
    [". {\n nothing\n}", "unknown-plugin", /^Corefile:2: no plugin nothing; there are acl, any, autopath, bind, .*, whoami$/],
    [". {\n grpc . 10.0.0.1\n}", "unknown-plugin", /no plugin grpc \(forward to dns:\/\/, tls:\/\/ or https:\/\/ upstreams\)/],
    [". {\n\n cache {\n  sucess 10\n }\n}", "unknown-option", /^Corefile:4: cache: no option sucess; cache has success, denial, prefetch/],
    [". {\n errors {\n  log\n }\n}", "unknown-option", "Corefile:3: errors: no option log; errors has stacktrace, consolidate"],
    ["grpc://. {\n}", "bad-value", "Corefile:1: grpc://.: grpc:// is not served; there are dns://, tls:// and https://"],
    ["a..b {\n}", "bad-value", "Corefile:1: a..b: a..b is neither a zone nor a range"],
    [".:99999 {\n}", "bad-value", "Corefile:1: .:99999: there is no port 99999"],
    [". {\n}\nexample.org . {\n}", "conflict", "Corefile:3: . is already served by the block of Corefile:1"],
    [". {\n cache\n cache\n}", "conflict", "Corefile:3: cache stands in line 2 already; once a server block"],
    ["tls://. {\n}", "conflict", "Corefile:1: a tls:// block needs `tls CERT KEY`"],
    ["a. {\n kubernetes a\n}\nb. {\n kubernetes a {\n  ttl 1\n }\n}", "conflict", /^Corefile:5: kubernetes: is not as in line 2/],
    [". {\n import nowhere.conf\n}", "import", "Corefile:2: import nowhere.conf: no such file or snippet"],
    ["import self.conf", "import", /self\.conf:1: import self\.conf: it seems to import itself/],
    [". {\n cache {\n  serve_stale 1h immediate 1500ms\n }\n}", "bad-value", /^Corefile:3: cache: serve_stale: whole seconds are wanted/],
    [". {\n kubernetes a {\n  zonal\n  noendpoints\n }\n}", "bad-value", /^Corefile:2: kubernetes: zonal names are names of endpoints/],
    [". {\n cache 0\n}", "bad-value", "Corefile:2: cache: 0 is not a TTL from 1 to 2147483647"],
    [". {\n reload 1s\n}", "bad-value", "Corefile:2: reload: the interval is 2s or more"],
    [". {\n forward . nowhere\n}", "bad-value", /^Corefile:2: forward: nowhere is neither an address, .* nor a file/],
    [". {\n forward . grpc://10.0.0.1\n}", "bad-value", /upstreams are dns:\/\/, tls:\/\/ or https:\/\//],
    [". {\n forward . dns..org\n}", "bad-value", /^Corefile:2: forward: dns\.\.org is neither an address, .* nor a host's whole name/],
    [
      ". {\n hosts {\n  fallthrough_unsupported\n }\n}",
      "bad-value",
      "Corefile:2: hosts: fallthrough_unsupported widens fallthrough, which is missing",
    ],
    [". {\n tsig {\n  secret k {}\n }\n}", "bad-value", "Corefile:3: tsig: secret: the secret of k. is not in base64"],
    [". {\n rrl\n}", "bad-value", "Corefile:2: rrl: responses-per-second is missing"],
    [". {\n proxyproto {\n  default ignore\n }\n}", "bad-value", "Corefile:3: proxyproto: default: ignore is not one of skip, reject"],
    [". {\n forward .\n}", "bad-value", "Corefile:2: forward: an upstream is missing"],
    [". {\n kubernetes cluster.local {\n  ttl 3601\n }\n}", "bad-value", "Corefile:3: kubernetes: ttl: 3601 is not seconds from 0 to 3600"],
    [
      ". {\n kubernetes a.b {\n  multicluster c.d\n }\n}",
      "bad-value",
      "Corefile:3: kubernetes: multicluster: c.d. is none of the plugin's forward zones: a.b.",
    ],
    [
      ". {\n kubernetes a.b {\n  multicluster\n }\n}",
      "bad-value",
      "Corefile:3: kubernetes: multicluster: a zone is missing, as in clusterset.local",
    ],
    [". {\n kubernetes 10.in-addr.arpa\n}", "bad-value", "Corefile:2: kubernetes: one zone that is no reverse zone is needed"],
    [". {\n template IN A {\n  match [\n }\n}", "bad-value", /^Corefile:3: template: match: \[ is not a regular expression/],
    [
      '. {\n template IN A {\n  answer "{{ .Nome }} 60 IN A 10.0.0.1"\n }\n}',
      "bad-value",
      /^Corefile:3: template: answer: \{\{ \.Nome \}\}: there are \.Name/,
    ],
    [". {\n rewrite nam a b\n}", "bad-value", "Corefile:2: rewrite: no field nam; there are name, type, class, ttl, cname, rcode, edns0"],
    [". {\n rewrite ttl example.org 60-30\n}", "bad-value", "Corefile:2: rewrite: 60-30: the range is empty"],
    [". {\n acl {\n  block net 10.0.0.0/40\n }\n}", "bad-value", "Corefile:3: acl: block: 10.0.0.0/40 is neither an address nor a range"],
    [". {\n view v {\n  expr type() =\n }\n}", "bad-value", /^Corefile:3: view: expr: type\(\) =: = makes no sense here/],
    [". {\n view v {\n  expr clientip()\n }\n}", "bad-value", /no function clientip of 0 arguments; there are type\(\), name\(\)/],
    [". {\n hosts {\n  10.0.0.1\n }\n}", "bad-value", "Corefile:3: hosts: 10.0.0.1 has no name"],
    [". {\n dns64 64:ff9b::/97\n}", "bad-value", /32, 40, 48, 56, 64 or 96 bits/],
    [". {\n transfer {\n }\n}", "bad-value", "Corefile:2: transfer: `to` is missing: who may have the zone"],
  ] as const)("%j", (text, code, message) => {
    let found: unknown;
    try {
      read(text);
    } catch (error) {
      found = error;
    }
    if (!isCorefileError(found)) throw new Error(`no fault was found, but ${String(found)}`);
    expect(found.code).toBe(code);
    if (typeof message === "string") expect(found.message).toBe(message);
    else expect(found.message).toMatch(message);
  });

  test("every code has its text", () => {
    expect(Object.keys(corefileErrorCodes)).toHaveLength(6);
  });
});

/** The first plugin of a block with one line, or several. */
function plugin(lines: string): unknown {
  return read(`example.org {\n${lines}\n}`).blocks[0]?.plugins[0];
}

const upstream = { kind: "server", scheme: "dns", ip: "10.0.0.1", port: 53 };

describe("plugins as values", () => {
  test.each([
    [
      "cache",
      { success: { entries: 9984, maxTtl: 3600, minTtl: 0 }, denial: { entries: 9984, maxTtl: 1800, minTtl: 0 }, servfailSeconds: 5 },
    ],
    [
      "cache 30 a.org {\n success 100 60 1\n disable denial b.org\n keepttl\n}",
      {
        zones: ["a.org."],
        success: { entries: 100, maxTtl: 60, minTtl: 1 },
        denial: { entries: 9984, maxTtl: 30, minTtl: 0 },
        disabled: { success: [], denial: ["b.org."] },
        keepTtl: true,
      },
    ],
    [
      "cache {\n prefetch 10 1m 20%\n serve_stale 2h verify\n servfail 0s\n}",
      {
        prefetch: { amount: 10, gap: 60_000, percent: 20 },
        serveStale: { seconds: 7200, refresh: "verify" },
        servfailSeconds: 0,
      },
    ],
    [
      "cache {\n serve_stale 1h immediate 30s 1m\n}",
      { serveStale: { seconds: 3600, refresh: "immediate", patience: Number.POSITIVE_INFINITY, ttl: 30, recheckSeconds: 60 } },
    ],
    ["cache {\n serve_stale 1h verify 0 30s\n}", { serveStale: { refresh: "verify", patience: Number.POSITIVE_INFINITY, ttl: 30 } }],
    ["cache {\n serve_stale 1h verify 100ms 30s 30s\n}", { serveStale: { patience: 100, ttl: 30, recheckSeconds: 30 } }],
    ["local", { localhostPrefix: true }],
    ["local {\n localhost_prefix off\n}", { localhostPrefix: false }],
    [
      "forward . 10.0.0.1 {\n read_timeout 7s\n max_connect_attempts 3\n next_on_nodata\n doh_method GET\n max_idle_conns 8\n}",
      { tryTimeout: 7000, timeout: 7000, maxAttempts: 3, nextOnNoData: true, dohMethod: "GET" },
    ],
    ["cache {\n serve_stale 1h\n serve_stale_policy prefer_positive\n}", { serveStale: { refresh: "immediate", prefersPositive: true } }],
    [
      "forward . 10.0.0.1 {\n max_age 30s\n source_address 10.0.0.9\n}",
      { maxAge: 30_000, source: "10.0.0.9", resolvers: [{ kind: "file", file: "/etc/resolv.conf" }] },
    ],
    [
      "forward . DNS.example.org tls://dot.example.org%other.example:8853 {\n resolver 10.0.0.2 [fd00::2]:54\n}",
      {
        to: [
          { kind: "host", scheme: "dns", host: "dns.example.org.", port: 53 },
          { kind: "host", scheme: "tls", host: "dot.example.org.", port: 8853, serverName: "other.example" },
        ],
        resolvers: [
          { ...upstream, ip: "10.0.0.2" },
          { ...upstream, ip: "fd00::2", port: 54 },
        ],
      },
    ],
    ["transfer {\n to * 10.0.0.2\n source 10.0.0.9\n}", { to: ["*", { ip: "10.0.0.2", port: 53 }], source: "10.0.0.9" }],
    ["tls a.crt a.key {\n keylog keys\n}", { clientAuth: "nocert", keylogFile: "/etc/coredns/keys" }],
    [
      "tsig a.org {\n secret K.a.org c2VjcmV0\n secrets keys.conf\n require AXFR IXFR\n require_opcode all\n}",
      {
        zones: ["a.org."],
        secrets: [{ name: "k.a.org.", secret: "c2VjcmV0" }],
        files: ["/etc/coredns/keys.conf"],
        types: [252, 251],
        opcodes: "all",
      },
    ],
    ["tsig {\n require none\n}", { zones: ["example.org."], types: [], opcodes: [] }],
    ["reload 10s 8s", { interval: 10_000, jitter: 5000 }],
    [
      "proxyproto {\n allow 10.0.0.0/8 fd00::1\n default reject\n}",
      {
        allow: [
          { ip: "10.0.0.0", bits: 8 },
          { ip: "fd00::1", bits: 128 },
        ],
      },
    ],
    [
      "proxyproto",
      {
        allow: [
          { bits: 0, family: 4 },
          { bits: 0, family: 6 },
        ],
      },
    ],
    [
      "rrl {\n responses-per-second 20\n slip-ratio 3\n ipv4-prefix-length 32\n exempt 10.0.0.0/8\n}",
      { limit: { perSecond: 20, slip: 3, ipv4Bits: 32, exempt: [{ ip: "10.0.0.0", bits: 8 }] } },
    ],
    [
      "rewrite name regex a\\.(.*) b.{1} answer name b\\.(.*) a.{1} value x y",
      {
        rule: {
          answers: [
            { of: "name", to: "a.{1}" },
            { of: "value", to: "y" },
          ],
          auto: false,
        },
      },
    ],
    ["rewrite {\n name suffix .arpa .arpa\n answer name auto\n answer value x y\n}", { rule: { auto: true, answers: [{ of: "value" }] } }],
    ["rewrite rcode regex .* 2 0", { rule: { field: "rcode", from: 2, to: 0 } }],
    ["kubernetes cluster.local {\n zonal\n}", { names: { zonalNames: true } }],
    ["cache {\n serve_stale verify\n}", { serveStale: { seconds: 3600, refresh: "verify" } }],
    ["forward . 10.0.0.1", { from: ".", to: [upstream], policy: "random", expire: 10_000, maxFails: 2, maxConcurrent: 0 }],
    [
      "forward a.org dns://10.0.0.1:54 tls://[fd00::1]%dns.example tls://9.9.9.9%dns.quad9.net:10853 https://10.0.0.2/q /etc/resolv.conf {\n policy sequential\n except b.a.org\n force_tcp\n health_check 1s no_rec domain x.org\n failover SERVFAIL REFUSED\n next nxdomain\n}",
      {
        from: "a.org.",
        to: [
          { ...upstream, port: 54 },
          { kind: "server", scheme: "tls", ip: "fd00::1", port: 853, serverName: "dns.example" },
          { kind: "server", scheme: "tls", ip: "9.9.9.9", port: 10853, serverName: "dns.quad9.net" },
          { kind: "server", scheme: "https", ip: "10.0.0.2", port: 443, path: "/q" },
          { kind: "file", file: "/etc/resolv.conf" },
        ],
        policy: "sequential",
        except: ["b.a.org."],
        forceTcp: true,
        healthCheck: { interval: 1000, recursionDesired: false, domain: "x.org." },
        failover: [2, 5],
        next: [3],
      },
    ],
    [
      "kubernetes cluster.local clusterset.local {\n multicluster clusterset.local\n}",
      { names: { zones: ["cluster.local.", "clusterset.local."], pods: "disabled", multicluster: ["clusterset.local."] } },
    ],
    [
      "kubernetes cluster.local 10.0.0.0/24 {\n pods verified\n ttl 30\n namespaces a b\n labels app in (x, y)\n fallthrough in-addr.arpa\n}",
      {
        names: {
          zones: ["cluster.local.", "0.0.10.in-addr.arpa."],
          pods: "verified",
          ttl: 30,
          namespaces: ["a", "b"],
          labels: [{ key: "app", operator: "in", values: ["x", "y"] }],
          fallthrough: ["in-addr.arpa."],
        },
      },
    ],
    [
      "hosts {\n 10.0.0.1 a.org B.org\n fd00::1 a.org\n ttl 60\n fallthrough\n}",
      {
        zones: ["example.org."],
        inline: [
          { ip: "10.0.0.1", names: ["a.org.", "b.org."] },
          { ip: "fd00::1", names: ["a.org."] },
        ],
        ttl: 60,
        reverse: true,
        fallthrough: { zones: ["."] },
      },
    ],
    ["hosts extra.hosts a.org", { file: "/etc/coredns/extra.hosts", zones: ["a.org."] }],
    ["file db.example {\n reload_by_mtime\n reload 5s\n}", { zones: ["example.org."], reload: 5000 }],
    ["file db.example", { file: "/etc/coredns/db.example", zones: ["example.org."], reload: 60_000 }],
    ["root /zones\nfile db.example", { folder: "/zones" }],
    [
      "rewrite name suffix .old .new answer auto",
      { rule: { field: "name", mode: "stop", match: { kind: "suffix", text: ".old." }, to: ".new", auto: true, answers: [] } },
    ],
    ["rewrite continue type ANY HINFO", { rule: { field: "type", mode: "continue", from: 255, to: 13 } }],
    [
      "rewrite {\n name regex (.*)\\.a\\.org {1}.b.org\n answer name (.*)\\.b\\.org {1}.a.org\n answer value x y\n}",
      {
        rule: {
          field: "name",
          mode: "stop",
          match: { kind: "regex", pattern: /(.*)\.a\.org/ },
          to: "{1}.b.org",
          auto: false,
          answers: [
            { of: "name", pattern: /(.*)\.b\.org/i, to: "{1}.a.org" },
            { of: "value", pattern: /x/i, to: "y" },
          ],
        },
      },
    ],
    [
      "rewrite ttl suffix .org 30-",
      { rule: { field: "ttl", mode: "stop", match: { kind: "suffix", text: ".org." }, least: 30, most: 0x7fffffff } },
    ],
    [
      "rewrite edns0 local set 0xffee {client_ip} revert",
      {
        rule: {
          field: "edns0",
          mode: "stop",
          action: "set",
          option: { kind: "local", code: 0xffee, value: { kind: "variable", name: "client_ip" } },
          revert: true,
        },
      },
    ],
    ["acl {\n allow type A AAAA net 10.0.0.0/8 192.168.0.1\n drop\n}", { zones: ["example.org."] }],
    ["health {\n lameduck 5s\n}", { address: { host: "", port: 8080 }, lameduck: 5000 }],
    ["prometheus localhost:9253 {\n runtime_metrics\n}", { address: { host: "127.0.0.1", port: 9253 } }],
    ["prometheus :9153", { address: { host: "", port: 9153 } }],
    ["loadbalance weighted w.txt {\n prefer 10.0.0.0/8\n}", { policy: { kind: "weighted", file: "/etc/coredns/w.txt", reload: 30_000 } }],
    [
      "header {\n response set aa ra\n query clear rd\n}",
      {
        changes: [
          { of: "response", set: true, flags: ["aa", "ra"] },
          { of: "query", set: false, flags: ["rd"] },
        ],
      },
    ],
    [
      'template IN A a.org {\n match ^ip-(?P<a>[0-9]+)[.]\n answer "{{ .Name }} 60 IN A 10.0.0.{{ .Group.a }}"\n rcode NXDOMAIN\n}',
      {
        class: 1,
        type: 1,
        zones: ["a.org."],
        match: [/^ip-(?<a>[0-9]+)[.]/],
        answer: [
          [
            { kind: "field", name: "Name" },
            { kind: "text", text: " 60 IN A 10.0.0." },
            { kind: "group", group: "a" },
          ],
        ],
        rcode: 3,
      },
    ],
    ["transfer {\n to * 10.0.0.1:54\n}", { to: ["*", { ip: "10.0.0.1", port: 54 }] }],
    ["nsid a b", { data: "a b" }],
    ['log . "{remote}" {\n class denial error\n}', { zones: ["."], format: "{remote}", classes: ["denial", "error"] }],
    ["view a {\n expr incidr(client_ip(), '10.0.0.0/8') && !(type() in ['A', 'AAAA'])\n}", { name: "a" }],
    ["autopath @kubernetes", { zones: ["example.org."], search: { kind: "kubernetes" } }],
  ])("%s", (lines, want) => {
    expect(plugin(lines)).toMatchObject(want);
  });
});

test.each([
  ["5s", 5000],
  ["1m30s", 90_000],
  ["200ms", 200],
  ["1.5h", 5_400_000],
  ["30", 30_000],
  ["5 s", undefined],
  ["s", undefined],
])("the duration %s is %s ms", (text, want) => {
  expect(parseDuration(text)).toBe(want);
});
