import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { questionLabels } from "../../../dns/handler/question-labels.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";

describe("what a question is about", () => {
  const svc = { kind: "svc", namespace: "shop" };
  test.each<[string, Readonly<Record<string, string>>]>([
    ["web.shop.svc.cluster.local.", { ...svc, service: "web" }],
    ["WEB.Shop.SVC.cluster.local.", { ...svc, service: "web" }],
    ["db-0.db.shop.svc.cluster.local.", { ...svc, service: "db", endpoint: "db-0" }],
    ["_http._tcp.web.shop.svc.cluster.local.", { ...svc, service: "web", "port-name": "http", protocol: "tcp" }],
    ["shop.svc.cluster.local.", svc],
    ["svc.cluster.local.", { kind: "svc" }],
    ["10-0-0-1.shop.pod.cluster.local.", { kind: "pod", namespace: "shop", endpoint: "10-0-0-1" }],
    ["web.shop.svc.other.local.", {}],
    ["cluster.local.", {}],
    ["dns-version.cluster.local.", {}],
  ])("%s", (name, want) => {
    const labels = Array.from(questionLabels(name, ["cluster.local."]), ([label, value]) => [label.replace("kubernetes/", ""), value]);
    expect(Object.fromEntries(labels)).toEqual(want);
  });
});

describe("a plugin hears of the client's namespace where pods are verified", () => {
  let server: DnsServer;
  const corefile = `.:53 {
  metadata
  template IN TXT who.test {
    answer "{{ .Name }} 60 IN TXT \\"from {{ .Meta \\"kubernetes/client-namespace\\" }}\\""
  }
  kubernetes cluster.local {
    pods verified
  }
}`;
  const key = (namespace: string): string => `127-0-0-1.${namespace}.pod.cluster.local.`;
  const upsert = (namespace: string) => ({ key: key(namespace), records: { sets: [{ data: [{ kind: "A" as const, ip: "127.0.0.1" }] }] } });
  beforeAll(async () => {
    const blocks = readCorefile(corefile, "Corefile", { folder: "/" });
    server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], blocks, upstreams: [] });
    await server.ready;
    server.setSynced();
  });
  afterAll(() => server.close());
  const who = async (): Promise<unknown> => {
    const answer = await queryOnce(server.addresses()[0] ?? { ip: "", port: 0 }, "who.test.", { type: "TXT", timeout: 20_000 });
    return answer.answers.map(({ data }) => (data.kind === "TXT" ? data.texts.join() : data.kind)).join();
  };

  test("as pods come, move and go", async () => {
    expect(await who()).toBe("from ");
    server.apply({ revision: 2, upserts: [upsert("shop"), { ...upsert("x"), key: "web.shop.svc.cluster.local." }], deletes: [] });
    expect(await who()).toBe("from shop");
    server.apply({ revision: 3, upserts: [upsert("other")], deletes: [key("shop")] });
    expect(await who()).toBe("from other");
    server.apply({ revision: 4, upserts: [], deletes: [key("other")] });
    expect(await who()).toBe("from ");
  });
});
