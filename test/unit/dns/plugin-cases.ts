/** A question in dig's words: `[CLASS] NAME TYPE [+flag]… [@client]`. */
export type Asked = string;

const zoneFile = `$ORIGIN example.org.
$TTL 1h
@   IN SOA ns hostmaster ( 2024 7200 1800 1w ; refresh, retry, expire
      300 )
    IN NS ns
ns  IN A 10.9.0.1
www 60 IN A 10.9.0.2
    IN AAAA fd00::2
@   MX 10 mail
mail A 10.9.0.3
alias CNAME www
chain CNAME alias
out CNAME web.shop.svc.cluster.local.
*.wild TXT "any thing" "more"
only.wild A 10.9.0.9
a.b.deep A 10.9.0.4
sub NS ns.sub
ns.sub A 10.9.0.5
old DNAME new
x.new A 10.9.0.6
_http._tcp SRV 0 5 80 www
`;
const exampleSoa = "auth example.org. 300 IN SOA ns.example.org. hostmaster.example.org. 2024 7200 1800 604800 300";
export const files = {
  "/db.example": zoneFile,
  "/etc/hosts": "127.0.0.1 localhost\n10.8.0.1 Printer printer.lan # near\nfd00::8 printer.lan\nnonsense\n",
  "/weights": "w.example.org\n10.8.0.1 1\n10.8.0.2 255\n",
};

const kubernetes = "kubernetes cluster.local 96.10.in-addr.arpa {\n pods insecure\n}";
export const block = (lines: string, keys = ". :53"): string => `${keys.split(" ")[0]} {\n${lines}\n}\n`;

/** Per group: a Corefile, and questions with what comes. */
export const groups: readonly (readonly [name: string, corefile: string, cases: readonly (readonly [Asked, readonly string[]])[]])[] = [
  [
    "hosts",
    block("hosts /etc/hosts {\n 10.8.0.9 inline.lan\n ttl 60\n fallthrough lan\n}\nwhoami"),
    [
      ["printer.lan. AAAA", ["NOERROR aa", "printer.lan. 60 IN AAAA fd00::8"]],
      ["PRINTER.lan. A", ["NOERROR aa", "PRINTER.lan. 60 IN A 10.8.0.1"]],
      ["printer.lan. MX", ["NOERROR aa"]],
      ["inline.lan. A", ["NOERROR aa", "inline.lan. 60 IN A 10.8.0.9"]],
      [
        "1.0.8.10.in-addr.arpa. PTR",
        ["NOERROR aa", "1.0.8.10.in-addr.arpa. 60 IN PTR printer.", "1.0.8.10.in-addr.arpa. 60 IN PTR printer.lan."],
      ],
      ["nope.lan. A", ["NOERROR aa", "more nope.lan. 0 IN A 10.244.1.9", "more _udp.nope.lan. 0 IN SRV 0 0 4242 ."]],
      ["nope.org. A", ["SERVFAIL"]],
    ],
  ],
  [
    "hosts that leave other types to the next",
    block(
      'hosts {\n 10.8.0.9 inline.lan\n fallthrough lan\n fallthrough_unsupported\n}\ntemplate IN ANY . {\n answer "{{ .Name }} 60 IN TXT next"\n}',
    ),
    [["inline.lan. A", ["NOERROR aa", 'inline.lan. 60 IN TXT "next"']]],
  ],
  [
    "local without what search domains make of localhost",
    block("local {\n localhost_prefix off\n}\nhosts {\n 10.8.0.9 inline.lan\n fallthrough\n}"),
    [
      ["localhost. A", ["NOERROR aa", "localhost. 604800 IN A 127.0.0.1"]],
      ["localhost.lan. A", ["REFUSED"]],
      ["inline.lan. A", ["NOERROR aa", "inline.lan. 3600 IN A 10.8.0.9"]],
    ],
  ],
  [
    "file",
    block("file db.example example.org") + block(kubernetes, "cluster.local"),
    [
      ["www.example.org. A", ["NOERROR aa", "www.example.org. 60 IN A 10.9.0.2"]],
      ["www.example.org. TXT", ["NOERROR aa", exampleSoa]],
      ["example.org. SOA", ["NOERROR aa", "example.org. 3600 IN SOA ns.example.org. hostmaster.example.org. 2024 7200 1800 604800 300"]],
      ["example.org. MX", ["NOERROR aa", "example.org. 3600 IN MX 10 mail.example.org.", "more mail.example.org. 3600 IN A 10.9.0.3"]],
      [
        "_http._tcp.example.org. SRV",
        [
          "NOERROR aa",
          "_http._tcp.example.org. 3600 IN SRV 0 5 80 www.example.org.",
          "more www.example.org. 60 IN A 10.9.0.2",
          "more www.example.org. 3600 IN AAAA fd00::2",
        ],
      ],
      [
        "chain.example.org. A",
        [
          "NOERROR aa",
          "chain.example.org. 3600 IN CNAME alias.example.org.",
          "alias.example.org. 3600 IN CNAME www.example.org.",
          "www.example.org. 60 IN A 10.9.0.2",
        ],
      ],
      [
        "out.example.org. A",
        ["NOERROR aa", "out.example.org. 3600 IN CNAME web.shop.svc.cluster.local.", "web.shop.svc.cluster.local. 5 IN A 10.96.0.20"],
      ],
      ["x.wild.example.org. TXT", ["NOERROR aa", 'x.wild.example.org. 3600 IN TXT "any thing" "more"']],
      ["x.wild.example.org. A", ["NOERROR aa", exampleSoa]],
      ["x.only.wild.example.org. TXT", ["NXDOMAIN aa", exampleSoa]],
      ["deep.example.org. A", ["NOERROR aa", exampleSoa]],
      ["nope.example.org. A", ["NXDOMAIN aa", exampleSoa]],
      [
        "host.sub.example.org. A",
        ["NOERROR", "auth sub.example.org. 3600 IN NS ns.sub.example.org.", "more ns.sub.example.org. 3600 IN A 10.9.0.5"],
      ],
      ["sub.example.org. DS", ["NOERROR aa", exampleSoa]],
      [
        "x.old.example.org. A",
        [
          "NOERROR aa",
          "old.example.org. 3600 IN DNAME new.example.org.",
          "x.old.example.org. 3600 IN CNAME x.new.example.org.",
          "x.new.example.org. 3600 IN A 10.9.0.6",
        ],
      ],
      ["example.org. AXFR +tcp", ["REFUSED"]],
      ["elsewhere.org. A", ["REFUSED"]],
    ],
  ],
  [
    "a zone file that is not there, and one that falls through",
    block("file /missing a.org\nfile db.example example.org {\n fallthrough\n}\nwhoami"),
    [
      ["x.a.org. A", ["SERVFAIL"]],
      [
        "nope.example.org. A",
        ["NOERROR aa", "more nope.example.org. 0 IN A 10.244.1.9", "more _udp.nope.example.org. 0 IN SRV 0 0 4242 ."],
      ],
    ],
  ],
  [
    "rewrite name",
    block(
      [
        "rewrite name exact old.org. web.shop.svc.cluster.local",
        "rewrite name suffix .corp .shop.svc.cluster.local answer auto",
        "rewrite name prefix dev- test-",
        "rewrite name substring -blue- -green-",
        "rewrite stop {\n name regex (.*)\\.([a-z]+)\\.alias {1}.{2}.svc.cluster.local\n answer name (.*)\\.(.*)\\.svc\\.cluster\\.local {1}.{2}.alias\n answer value (.*)\\.svc\\.cluster\\.local {1}.seen\n}",
        kubernetes,
        'template ANY A org {\n answer "{{ .Name }} 60 IN A 10.7.0.1"\n}',
      ].join("\n"),
    ),
    [
      ["old.org. A", ["NOERROR aa", "old.org. 5 IN A 10.96.0.20"]],
      ["OLD.org. A", ["NOERROR aa", "OLD.org. 5 IN A 10.96.0.20"]],
      ["web.corp. A", ["NOERROR aa", "web.corp. 5 IN A 10.96.0.20"]],
      ["web.shop.alias. A", ["NOERROR aa", "web.shop.alias. 5 IN A 10.96.0.20"]],
      ["alias.shop.alias. A", ["NOERROR aa", "alias.shop.alias. 5 IN CNAME web.shop.seen.", "web.shop.alias. 5 IN A 10.96.0.20"]],
      ["dev-1.org. A", ["NOERROR aa", "test-1.org. 60 IN A 10.7.0.1"]],
      ["x-blue-y.org. A", ["NOERROR aa", "x-green-y.org. 60 IN A 10.7.0.1"]],
      ["web.shop.svc.cluster.local. A", ["NOERROR aa", "web.shop.svc.cluster.local. 5 IN A 10.96.0.20"]],
    ],
  ],
  [
    "rewrite of other things",
    block(
      [
        "rewrite continue ttl suffix .org. 100-200",
        "rewrite type MX TXT",
        "rewrite class CH IN",
        "rewrite rcode exact gone.org 3 0",
        "rewrite cname exact away.org. www.example.org.",
        "file db.example example.org",
        'template IN TXT org {\n answer "{{ .Name }} 10 IN TXT a"\n}',
        'template IN A org {\n match ^to-away[.]\n answer "{{ .Name }} 10 IN CNAME away.org."\n fallthrough\n}',
        "template IN ANY org {\n rcode NXDOMAIN\n}",
      ].join("\n"),
    ),
    [
      ["a.org. TXT", ["NOERROR aa", 'a.org. 100 IN TXT "a"']],
      ["a.org. MX", ["NOERROR aa", 'a.org. 100 IN TXT "a"']],
      ["CH a.org. TXT", ["NOERROR aa", 'a.org. 100 IN TXT "a"']],
      ["gone.org. A", ["NOERROR aa"]],
      ["else.org. A", ["NXDOMAIN aa"]],
      ["to-away.org. A", ["NXDOMAIN aa", "to-away.org. 100 IN CNAME www.example.org."]],
    ],
  ],
  [
    "template",
    block(
      [
        'template IN A ip.org {\n match ^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)[.]ip[.]org[.]$\n answer "{{ .Name }} 60 IN A 10.0.{{ .Group.a }}.{{ index .Match 2 }}"\n additional "{{ .Zone }} 60 IN TXT {{ .Type }}-{{ .Class }}-{{ .Remote }}"\n fallthrough\n}',
        'template IN AAAA {\n rcode NXDOMAIN\n authority "org. 60 IN SOA ns.org. m.org. 1 2 3 4 60"\n ederror 21 gone\n}',
        'template IN TXT hex.org {\n match (?i)^x([0-9a-f]+)\\.\n answer "{{ .Name }} 60 IN TXT {{ parseInt (index .Match 1) 16 64 }}"\n}',
      ].join("\n"),
    ),
    [
      ["ip-1-2.ip.org. A", ["NOERROR aa", "ip-1-2.ip.org. 60 IN A 10.0.1.2", 'more ip.org. 60 IN TXT "A-IN-10.244.1.9"']],
      ["ip-1-999.ip.org. A", ["SERVFAIL"]],
      ["other.ip.org. A", ["REFUSED"]],
      ["any.com. AAAA", ["NXDOMAIN aa", "auth org. 60 IN SOA ns.org. m.org. 1 2 3 4 60", "option 15 0015676f6e65"]],
      ["xFF.hex.org. TXT", ["NOERROR aa", 'xFF.hex.org. 60 IN TXT "255"']],
      ["nothing.hex.org. TXT", ["SERVFAIL"]],
    ],
  ],
  [
    "acl, any, chaos, minimal, header",
    block(
      [
        "acl example.org {\n allow net 10.244.1.9\n filter type AAAA net 192.168.0.0/16\n drop net 192.168.1.0/24\n block\n}",
        "any",
        "chaos v1 somebody",
        "minimal",
        "header {\n response set aa ra\n response clear rd\n}",
        "file db.example example.org",
      ].join("\n"),
    ),
    [
      ["example.org. MX", ["NOERROR aa no-rd", "example.org. 3600 IN MX 10 mail.example.org."]],
      ["www.example.org. A @10.244.1.8", ["REFUSED", "option 15 000f426c6f636b6564"]],
      ["www.example.org. AAAA @192.168.1.1", ["NOERROR", "option 15 001146696c7465726564"]],
      ["www.example.org. A @192.168.1.1", ["dropped"]],
      ["www.example.org. ANY", ["NOERROR aa", 'www.example.org. 8482 IN HINFO "ANY obsoleted" "See RFC 8482"']],
      ["CH version.bind. TXT", ["NOERROR aa", 'version.bind. 0 CH TXT "v1"']],
      ["CH hostname.bind. TXT", ["NOERROR aa", 'hostname.bind. 0 CH TXT "node-1"']],
    ],
  ],
  [
    "dns64",
    block("dns64 {\n allow_ipv4\n}\nhosts {\n 10.8.0.1 four.org\n fd00::1 six.org\n ::ffff:10.8.0.1 mapped.org\n 10.8.0.2 mapped.org\n}"),
    [
      ["four.org. AAAA", ["NOERROR aa", "four.org. 600 IN AAAA 64:ff9b::a08:1"]],
      ["six.org. AAAA", ["NOERROR aa", "six.org. 3600 IN AAAA fd00::1"]],
      ["four.org. AAAA +do +cd", ["NOERROR aa"]],
      [
        "1.0.0.0.8.0.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa. PTR",
        [
          "NOERROR",
          "1.0.0.0.8.0.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa. 600 IN CNAME 1.0.8.10.in-addr.arpa.",
          "1.0.8.10.in-addr.arpa. 3600 IN PTR four.org.",
        ],
      ],
    ],
  ],
  [
    "autopath by the name itself",
    block(`autopath @kubernetes\n${kubernetes}\nhosts {\n 10.8.0.1 www.example.org\n fallthrough\n}`),
    [
      [
        "www.example.org.shop.svc.cluster.local. A",
        ["NOERROR aa", "www.example.org.shop.svc.cluster.local. 3600 IN CNAME www.example.org.", "www.example.org. 3600 IN A 10.8.0.1"],
      ],
      [
        "web.shop.shop.svc.cluster.local. A",
        [
          "NOERROR aa",
          "web.shop.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local.",
          "web.shop.svc.cluster.local. 5 IN A 10.96.0.20",
        ],
      ],
      ["web.shop.svc.cluster.local. A", ["NOERROR aa", "web.shop.svc.cluster.local. 5 IN A 10.96.0.20"]],
    ],
  ],
  [
    "loadbalance",
    block("loadbalance weighted weights {\n prefer fd00::/8\n}\nhosts {\n 10.8.0.1 w.example.org\n 10.8.0.2 w.example.org\n}"),
    [["w.example.org. A", ["NOERROR aa", "w.example.org. 3600 IN A 10.8.0.2", "w.example.org. 3600 IN A 10.8.0.1"]]],
  ],
  [
    "local names, and a transfer of a file's zone",
    block("local\ntransfer example.org {\n to 10.244.1.9\n}\nfile db.example example.org"),
    [
      ["localhost. A", ["NOERROR aa", "localhost. 604800 IN A 127.0.0.1"]],
      ["localhost.shop.svc.cluster.local. AAAA", ["NOERROR aa", "localhost.shop.svc.cluster.local. 604800 IN AAAA ::1"]],
      ["1.0.0.127.in-addr.arpa. PTR", ["NOERROR aa", "1.0.0.127.in-addr.arpa. 604800 IN PTR localhost."]],
      [
        "5.0.0.127.in-addr.arpa. PTR",
        ["NXDOMAIN aa", "auth 127.in-addr.arpa. 604800 IN SOA 127.in-addr.arpa. root.127.in-addr.arpa. 1 0 0 0 604800"],
      ],
      ["example.org. AXFR +tcp @10.0.0.1", ["REFUSED"]],
      ["example.org. AXFR", ["REFUSED"]],
    ],
  ],
  [
    "the longest zone, and the first view that fits",
    [
      block("view six {\n expr type() == 'AAAA' || name() startsWith 'v6.'\n}\ntemplate IN ANY {\n rcode NXDOMAIN\n}", "example.org"),
      block(
        "view pods {\n expr incidr(client_ip(), '10.244.0.0/16') && proto() in ['udp']\n}\nhosts {\n 10.8.0.1 a.example.org\n}",
        "example.org",
      ),
      block("hosts {\n 10.8.0.2 a.example.org\n}", "example.org"),
      block("hosts {\n 10.8.0.3 b.sub.example.org\n}", "sub.example.org"),
    ].join(""),
    [
      ["a.example.org. AAAA", ["NXDOMAIN aa"]],
      ["v6.example.org. A", ["NXDOMAIN aa"]],
      ["a.example.org. A", ["NOERROR aa", "a.example.org. 3600 IN A 10.8.0.1"]],
      ["a.example.org. A @192.168.0.1", ["NOERROR aa", "a.example.org. 3600 IN A 10.8.0.2"]],
      ["a.example.org. A +tcp", ["NOERROR aa", "a.example.org. 3600 IN A 10.8.0.2"]],
      ["b.sub.example.org. A", ["NOERROR aa", "b.sub.example.org. 3600 IN A 10.8.0.3"]],
      ["else.com. A", ["REFUSED"]],
    ],
  ],
];
