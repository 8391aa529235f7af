import { spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { command, eventually, removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "kubectl", "script");
const name = "e2e-kubectl";
const args = [
  ...["--nodes", "1", "--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"],
  ...["--service-cidr", "10.105.0.0/16", "--cluster-cidr", "10.205.0.0/16"],
];

interface Wanted {
  readonly code?: number;
  /** On standard output, or on standard error when the command is to fail. */
  readonly says?: RegExp | string;
  readonly input?: string;
  /** Follows from what controllers do in their own time: asked again until it is so. */
  readonly soon?: true;
}
/** A command line, split at blanks; an argument with blanks stands in single quotes. */
type Row = readonly [line: string, wanted?: RegExp | string | Wanted];

const list = `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {a: b}}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: two}
  spec:
    replicas: 1
    selector: {matchLabels: {app: two}}
    template:
      metadata: {labels: {app: two}}
      spec: {containers: [{name: c, image: fairway/echo}]}
`;
const changed = list.replace("a: b", "a: c");
const unknownField = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: odd}\ndat: {a: b}\n";
const generated = "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: gen-, labels: {made: by-name}}\n";
const invalid = `
apiVersion: v1
kind: Service
metadata: {name: bad}
spec: {type: Foo, ports: [{port: 0}, {name: b, port: 80, protocol: X}]}
`;

function argumentsOf(line: string): readonly string[] {
  return [...line.matchAll(/'([^']*)'|[^\s']+(?:'([^']*)')?/g)].map(([whole, quoted]) => quoted ?? whole.replaceAll("'", ""));
}

describe.skipIf(lack !== undefined)(`stock kubectl${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let pod: string;

  beforeAll(async () => {
    cluster = await startTestCluster({ name, args });
  });

  afterAll(async () => {
    if (cluster === undefined) return;
    await cluster.stop();
    await cluster.fairway("down", "--name", name, "--data-dir", cluster.dataDir);
    removeDataDir(cluster);
  });

  const kubectl = async (line: string, { code = 0, says, input }: Wanted = {}): Promise<string> => {
    const done = await cluster.kubectlInput(input ?? "", ...argumentsOf(line));
    expect({ line, code: done.code, stderr: code === 0 && done.code !== 0 ? done.stderr : "" }).toEqual({ line, code, stderr: "" });
    const text = code === 0 ? done.stdout : done.stdout + done.stderr;
    if (typeof says === "string") expect({ line, text: text.trim() }).toEqual({ line, text: says });
    else if (says !== undefined) expect(text).toMatch(says);
    return text;
  };
  const soon = (line: string, wanted: Wanted): Promise<true> =>
    eventually(() => kubectl(line, wanted).then(() => true as const), { what: line, timeout: 120_000 });
  const rows = async (table: readonly Row[]): Promise<void> => {
    for (const [line, wanted = {}] of table) {
      const w = typeof wanted === "string" || wanted instanceof RegExp ? { says: wanted } : wanted;
      await (w.soon === true ? soon(line, w) : kubectl(line, w));
    }
  };
  /** The two pods of `web` when those before them are gone; the name of one. */
  const settled = async (): Promise<string> => {
    await soon("get pods -l app=web --no-headers", { says: /^(web-\S+ +1\/1 +Running .*\n){2}$/ });
    return kubectl("get pods -l app=web -o jsonpath={.items[0].metadata.name}");
  };
  /** Runs until `until` holds for what was printed, then is ended. */
  const following = async (line: string, until: RegExp, meanwhile: () => Promise<unknown> = () => Promise.resolve()): Promise<string> => {
    const child = spawn("kubectl", ["--kubeconfig", join(cluster.dataDir, "kubeconfig"), ...argumentsOf(line)], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let text = "";
    child.stdout.on("data", (d: Buffer) => (text += d.toString()));
    try {
      await eventually(() => (text === "" ? undefined : true), { what: `the first line of ${line}` });
      await meanwhile();
      await eventually(() => (until.test(text) ? true : undefined), { what: `${String(until)} in ${line}: ${text}` });
      return text;
    } finally {
      child.kill();
    }
  };
  /** In a terminal of its own. */
  const onTerminal = (line: string, input: string): ReturnType<typeof command> =>
    command("script", ["-qec", `stty rows 33 cols 99; kubectl ${line}`, "/dev/null"], {
      input,
      env: { KUBECONFIG: join(cluster.dataDir, "kubeconfig") },
    });

  test("makes objects: create -f, the imperative commands, run, expose", async () => {
    await rows([
      ["create -f -", { input: list, says: "configmap/one created\ndeployment.apps/two created" }],
      ["delete -f - --wait=false", { input: list, says: /deployment.apps "two" deleted/ }],
      ["create deployment web --image=fairway/echo --replicas=2 --port=8080", "deployment.apps/web created"],
      ["create service clusterip inner --tcp=80:8080", "service/inner created"],
      ["create service nodeport ports --tcp=80:8080", "service/ports created"],
      ["create service loadbalancer outer --tcp=80:8080", "service/outer created"],
      ["create service externalname far --external-name=example.com", "service/far created"],
      ["create configmap words --from-literal=a=b --from-literal=c=d", "configmap/words created"],
      ["create secret generic plain --from-literal=a=b", "secret/plain created"],
      ["create secret docker-registry pull --docker-server=x --docker-username=u --docker-password=p", "secret/pull created"],
      ["create ingress front --rule=shop.test/*=web:80,tls=cert --class=fairway", "ingress.networking.k8s.io/front created"],
      ["create namespace other", "namespace/other created"],
      ["create serviceaccount robot", "serviceaccount/robot created"],
      ["create poddisruptionbudget web --selector=app=web --min-available=1", "poddisruptionbudget.policy/web created"],
      ["run single --image=fairway/echo --port=8080 --labels=app=single --env=A=b", "pod/single created"],
      ["expose deployment web --port=80 --target-port=8080", "service/web exposed"],
      ["expose pod single --port=80 --target-port=8080 --name=lone", "service/lone exposed"],
      ["rollout status deployment/web --timeout=120s", /successfully rolled out/],
      ["wait --for=condition=Ready pod/single --timeout=120s", "pod/single condition met"],
      ["wait --for=jsonpath={.status.phase}=Running pod/single --timeout=120s", "pod/single condition met"],
    ]);
    pod = await settled();
    await soon("get pods -l app=two -o name", { says: "" });
  });

  test("shows objects: get, describe, explain, events, selectors", async () => {
    await rows([
      [
        "get pod single -o wide",
        /NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES\nsingle +1\/1 +Running +0 +\w+ +10\.205\.0\.\d+ +node-1 /,
      ],
      ["get all", /pod\/single .*deployment\.apps\/web +2\/2 +2 +2 .*replicaset\.apps\/web-/s],
      ["get deployment web -o wide", /CONTAINERS +IMAGES +SELECTOR\nweb .* echo +fairway\/echo +app=web/],
      ["get service ports outer far", /ports +NodePort .*outer +LoadBalancer .*far +ExternalName +<none> +example\.com/s],
      ["get nodes -o wide", /node-1 +Ready +<none> .* crun:/],
      [
        "get endpoints,endpointslices,ingress,pdb,secret,sa,lease,servicecidr,ingressclass,ns -A",
        /kube-node-lease +lease\.coordination\.k8s\.io\/node-1/,
      ],
      ["describe deployment web", /Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable/],
      [
        "describe pod single",
        { soon: true, says: /QoS Class: +BestEffort.*not-ready:NoExecute op=Exists for 300s.*Started container single/s },
      ],
      ["describe node node-1", { soon: true, says: /PodCIDR: +10\.205\.0\.0\/24.*Non-terminated Pods: +\(3 in total\)/s }],
      ["describe service web", { soon: true, says: /Endpoints: +10\.205\.0\.\d+:8080,10\.205\.0\.\d+:8080/ }],
      ["describe ingress front", { soon: true, says: /cert terminates shop\.test.*web:80 \(10\.205/s }],
      ["describe pdb web", { soon: true, says: /Allowed disruptions: +1/ }],
      ["explain pod.spec.containers.livenessProbe.httpGet.path", /FIELD: path <string>/],
      ["explain deployments --recursive", /replicas\t<integer>/],
      ["api-resources --api-group=discovery.k8s.io --no-headers", /^endpointslices +discovery\.k8s\.io\/v1 +true +EndpointSlice/],
      ["api-versions", /^apps\/v1\n/],
      ["events --for pod/single", { soon: true, says: /Scheduled .* Successfully assigned default\/single to node-1/ }],
      ["get pods --field-selector=spec.nodeName=node-1,status.phase=Running,metadata.name=single -o name", "pod/single"],
      ["get svc --field-selector=metadata.namespace=default,spec.clusterIP=10.105.0.1 -A -o name", "service/kubernetes"],
      ["get secrets --field-selector=type=Opaque -o name", "secret/plain"],
      ["get nodes --field-selector=spec.unschedulable=true -o name", ""],
      [
        "get events --field-selector=involvedObject.kind=Pod,involvedObject.name=single,reason=Started -o jsonpath={.items[*].message}",
        { soon: true, says: "Started container single" },
      ],
      ["get pods --field-selector=no=thing", { code: 1, says: /field label not supported: no/ }],
      ["get pods -l 'app in (single,none),!pod-template-hash' -o name", "pod/single"],
      ["get pods -l 'app notin (single),app' --no-headers -L app", /^(web-\S+ .* web\n){2}$/],
      ["get pods --chunk-size=1 --sort-by=.metadata.name -o custom-columns=N:.metadata.name --no-headers", /^single\nweb-.*\nweb-.*\n$/],
      ["get pod absent", { code: 1, says: 'Error from server (NotFound): pods "absent" not found' }],
      ["version", /Server Version: v1\.36\.\d+\+fairway/],
      ["cluster-info", /Kubernetes control plane.* is running at/],
    ]);
  });

  test("changes objects: label, annotate, patch, edit, scale, set, apply, diff, replace", async () => {
    await rows([
      ["label pod single x=y", "pod/single labeled"],
      ["label pod single x=z", { code: 1, says: /already has a value \(y\)/ }],
      ["label pod single x=z --overwrite", "pod/single labeled"],
      ["label pod single x-", "pod/single unlabeled"],
      ["annotate pod single n=v", "pod/single annotated"],
      [`patch svc web -p '{"spec":{"ports":[{"port":80,"name":"http"}]}}'`, "service/web patched"],
      [`patch svc web --type merge -p '{"metadata":{"labels":{"a":"b","app":null}}}'`, "service/web patched"],
      [
        `patch svc web --type json -p '[{"op":"test","path":"/metadata/labels/a","value":"b"},{"op":"add","path":"/metadata/labels/q","value":"r"}]'`,
        "service/web patched",
      ],
      ["get svc web -o jsonpath={.metadata.labels}{.spec.ports[0].name}{.spec.ports[0].targetPort}", '{"a":"b","q":"r"}http8080'],
      ["scale deployment web --replicas=3", "deployment.apps/web scaled"],
      ["scale deployment web --replicas=2 --current-replicas=9", { code: 1, says: /Expected replicas to be 9, was 3/ }],
      [`patch deployment web --subresource=scale --type merge -p '{"spec":{"replicas":2}}'`, "scale.autoscaling/web patched"],
      ["set env deployment/web X=1", "deployment.apps/web env updated"],
      ["rollout status deployment/web --timeout=120s", /successfully rolled out/],
      ["rollout restart deployment/web", "deployment.apps/web restarted"],
      ["rollout status deployment/web --timeout=120s", /successfully rolled out/],
      ["rollout undo deployment/web --to-revision=1", "deployment.apps/web rolled back"],
      ["rollout status deployment/web --timeout=120s", /successfully rolled out/],
      ["rollout history deployment/web", /REVISION +CHANGE-CAUSE\n2 .*\n3 .*\n4 /],
      ["rollout pause deployment/web", "deployment.apps/web paused"],
      ["rollout resume deployment/web", "deployment.apps/web resumed"],
      ["apply -f -", { input: list, says: "configmap/one created\ndeployment.apps/two created" }],
      ["apply -f -", { input: list, says: "configmap/one unchanged\ndeployment.apps/two unchanged" }],
      ["diff -f -", { input: changed, code: 1, says: /- {2}a: b\n\+ {2}a: c/ }],
      ["apply -f - --dry-run=server", { input: changed, says: /configmap\/one configured \(server dry run\)/ }],
      ["get cm one -o jsonpath={.data.a}", "b"],
      ["apply -f -", { input: changed, says: /configmap\/one configured/ }],
      ["diff -f -", { input: changed }],
      ["replace -f -", { input: list, says: /configmap\/one replaced/ }],
      ["apply -f - --server-side", { input: list, code: 1, says: /Server-side apply not available on the server/ }],
    ]);
    const edit = await command("kubectl", ["edit", "configmap", "one"], {
      env: { KUBECONFIG: join(cluster.dataDir, "kubeconfig"), EDITOR: "sed -i s/a:.b/a:\\ d/" },
    });
    expect([edit.code, edit.stdout]).toEqual([0, "configmap/one edited\n"]);
    await kubectl("get cm one -o jsonpath={.data.a}", { says: "d" });
    pod = await settled();
  });

  test("talks to containers: exec, attach, logs, the proxies, tokens", async () => {
    await rows([
      [`exec ${pod} -- echo hi`, "hi"],
      [`exec -i ${pod} -- cat`, { input: "through\n", says: "through" }],
      [`exec ${pod} -- sh -c 'exit 4'`, { code: 4, says: /command terminated with exit code 4/ }],
      ["run talker --image=fairway/echo --restart=Never --command -- sh -c 'while sleep 0.2; do echo tick; done'", "pod/talker created"],
      ["wait --for=condition=Ready pod/talker --timeout=120s"],
      ["get --raw /api/v1/namespaces/default/services/web:http/proxy/healthz", "ok"],
      ["get --raw /api/v1/namespaces/default/pods/single:8080/proxy/healthz", "ok"],
      ["auth can-i create pods", "yes"],
      ["auth whoami -o jsonpath={.status.userInfo.username}", "admin"],
      ["auth can-i create pods --as=system:serviceaccount:default:robot", { code: 1, says: /^no/ }],
    ]);
    const terminal = await onTerminal(`exec -it ${pod} -- sh -c 'tty; stty size; read x; echo got $x; exit 3'`, "word\n");
    expect(terminal.code).toBe(3);
    expect(terminal.stdout).toMatch(/\/dev\/pts\/\d+\r\n33 99\r\n/);
    expect(terminal.stdout).toMatch(/got word/);
    await following("logs -f talker --tail=1", /(tick\n){3}/);
    await following("attach talker", /(tick\n){2}/);
    const shell = await cluster.kubectlInput(
      "echo in-$((40+2)); exit 5\n",
      ..."run shell --rm -i --image=fairway/echo --restart=Never --command -- sh".split(" "),
    );
    expect([shell.code, shell.stdout]).toEqual([5, expect.stringMatching(/^in-42\n/)]);
    expect(shell.stderr).not.toContain("couldn't attach");
    // Nothing but the end of its input ends this one.
    const reader = await cluster.kubectlInput(
      "first\nlast\n",
      ..."run reader --rm -i --image=fairway/echo --restart=Never --command -- cat".split(" "),
    );
    expect([reader.code, reader.stdout]).toEqual([0, expect.stringMatching(/^first\nlast\n/)]);
    const token = (await kubectl("create token robot")).trim();
    const who = await command(
      "kubectl",
      [
        ...["--server", (await kubectl("config view -o jsonpath={.clusters[0].cluster.server}")).trim(), "--token", token],
        ...[
          "--certificate-authority",
          join(cluster.dataDir, "pki", "ca.crt"),
          "auth",
          "whoami",
          "-o",
          "jsonpath={.status.userInfo.username}",
        ],
      ],
      { env: { KUBECONFIG: "/dev/null" } },
    );
    expect([who.stderr, who.stdout]).toEqual(["", "system:serviceaccount:default:robot"]);
  });

  test("is told what is wrong, and nothing is changed then", async () => {
    await rows([
      ["create -f -", { input: unknownField, code: 1, says: /strict decoding error: unknown field "dat"/ }],
      ["create -f - --validate=ignore --dry-run=server", { input: unknownField, says: "configmap/odd created (server dry run)" }],
      ["get cm odd", { code: 1, says: /NotFound/ }],
      ["create configmap words", { code: 1, says: /configmaps "words" already exists/ }],
      [
        "apply -f -",
        { input: "apiVersion: foo/v1\nkind: Bar\nmetadata: {name: x}\n", code: 1, says: /no matches for kind "Bar" in version "foo\/v1"/ },
      ],
      [
        "delete namespace default",
        { code: 1, says: 'Error from server (Forbidden): namespaces "default" is forbidden: this namespace may not be deleted' },
      ],
      [`patch deployment web -p '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}'`, { code: 1, says: /field is immutable/ }],
    ]);
    const warned = await cluster.kubectlInput(unknownField, "create", "-f", "-", "--validate=warn");
    expect([warned.code, warned.stdout, warned.stderr]).toEqual([0, "configmap/odd created\n", 'Warning: unknown field "dat"\n']);
    const refused = await cluster.kubectlInput(invalid, "create", "-f", "-");
    for (const field of [
      "spec.ports[0].name: Required value",
      "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
      'spec.ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
      'spec.type: Unsupported value: "Foo"',
    ]) {
      expect(refused.stderr).toContain(field);
    }
    expect(refused.stderr).toMatch(/^The Service "bad" is invalid|Service "bad" is invalid/);
  });

  test("lists and watches: names made up, pages, revisions, initial events", async () => {
    for (let i = 0; i < 3; i++) await kubectl("create -f - -o name", { input: generated, says: /^configmap\/gen-[a-z0-9]{5}\n$/ });
    const path = "/api/v1/namespaces/default/configmaps";
    const page = async (
      more: string,
    ): Promise<{ metadata: { resourceVersion: string; continue?: string }; items: { metadata: { name: string } }[] }> =>
      JSON.parse(await kubectl(`get --raw ${path}?limit=2&labelSelector=made%3Dby-name${more}`)) as Awaited<ReturnType<typeof page>>;
    const first = await page("");
    const second = await page(`&continue=${first.metadata.continue ?? ""}`);
    expect([first.items.length, second.items.length, second.metadata.continue]).toEqual([2, 1, undefined]);
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    const gone = first.items[0]?.metadata.name ?? "";
    await kubectl(`delete cm ${gone}`);
    await kubectl("label cm words seen=yes");

    const watched = async (query: string): Promise<string[]> => {
      const text = await kubectl(`get --raw ${path}?watch=1&timeoutSeconds=2&${query}`);
      return text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { type: string; object: { metadata: { name?: string; annotations?: Record<string, string> } } })
        .map(({ type, object }) => `${type} ${object.metadata.name ?? Object.keys(object.metadata.annotations ?? {}).join("")}`);
    };
    expect(await watched(`resourceVersion=${first.metadata.resourceVersion}`)).toEqual([`DELETED ${gone}`, "MODIFIED words"]);
    const initial = await watched("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=seen");
    expect(initial.slice(0, 2)).toEqual(["ADDED words", "BOOKMARK k8s.io/initial-events-end"]);
    await rows([
      [`get --raw ${path}?resourceVersion=1&resourceVersionMatch=Exact&limit=1`, /"items":\[\]/],
      [
        `get --raw ${path}?watch=1&sendInitialEvents=true`,
        { code: 1, says: /resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan/ },
      ],
    ]);
    const seen = await following("get pods -w --output-watch-events --no-headers", /DELETED +watched/, async () => {
      await kubectl("run watched --image=fairway/echo");
      await kubectl("wait --for=condition=Ready pod/watched --timeout=120s");
      await kubectl("delete pod watched --now");
    });
    expect(seen).toMatch(/ADDED +watched.*MODIFIED +watched +1\/1 +Running.*DELETED +watched/s);
  });

  test("reads YAML and answers with it, as other clients may ask", async () => {
    const proxy = spawn("kubectl", ["--kubeconfig", join(cluster.dataDir, "kubeconfig"), "proxy", "--port=0"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    try {
      let said = "";
      proxy.stdout.on("data", (d: Buffer) => (said += d.toString()));
      const port = await eventually(() => /127\.0\.0\.1:(\d+)/.exec(said)?.[1], { what: "the port of kubectl proxy" });
      const made = await fetch(`http://127.0.0.1:${port}/api/v1/namespaces/default/configmaps`, {
        method: "POST",
        headers: { "content-type": "application/yaml", accept: "application/yaml" },
        body: "metadata: {name: from-yaml}\ndata:\n  text: |\n    two\n    lines\n",
      });
      expect([made.status, made.headers.get("content-type")]).toEqual([201, "application/yaml"]);
      expect(await made.text()).toMatch(/^kind: ConfigMap$.*^ {2}text: \|$/ms);
    } finally {
      proxy.kill();
    }
  });

  test("deletes: collections, finalizers, owners, preconditions", async () => {
    await rows([
      ["delete cm -l made=by-name", /^(configmap "gen-\w+" deleted\n){2}$/],
      [`patch cm words --type merge -p '{"metadata":{"finalizers":["example.org/hold"]}}'`],
      ["delete cm words --wait=false", 'configmap "words" deleted'],
      ["get cm words -o jsonpath={.metadata.deletionTimestamp}", /^\d{4}-/],
      [`patch cm words --type json -p '[{"op":"remove","path":"/metadata/finalizers"}]'`],
      ["get cm words", { code: 1, says: /NotFound/ }],
      ["delete deployment two --cascade=orphan", 'deployment.apps "two" deleted'],
      ["get rs -l app=two -o jsonpath={.items[*].metadata.ownerReferences}", ""],
      ["get rs -l app=two -o name", /^replicaset\.apps\/two-/],
      ["delete rs -l app=two --cascade=foreground --timeout=120s", /replicaset.apps "two-\w+" deleted/],
      ["get rs,pods -l app=two -o name", ""],
      ["create configmap held --from-literal=a=b"],
      [
        "delete --raw /api/v1/namespaces/default/configmaps/held -f -",
        {
          input: '{"preconditions":{"uid":"another"}}',
          code: 1,
          says: /Precondition failed: UID in precondition: another, UID in object meta: /,
        },
      ],
      [
        "delete --raw /api/v1/namespaces/default/configmaps/held -f -",
        { input: '{"preconditions":{"resourceVersion":"1"}}', code: 1, says: /ResourceVersion in precondition: 1, / },
      ],
      ["get cm held -o name", "configmap/held"],
      ["delete cm nothing --ignore-not-found", ""],
      ["create configmap inside -n other"],
      ["delete namespace other --timeout=120s", 'namespace "other" deleted'],
      ["get cm -n other -o name", ""],
      ["delete pod talker --now", /pod "talker"/],
    ]);
    // Each is owned by the one before it, the first by the last: none waits for the others for ever.
    const ring = ["ring-a", "ring-b", "ring-c"];
    for (const link of ring) await kubectl(`create configmap ${link}`);
    const uids = await Promise.all(ring.map((link) => kubectl(`get cm ${link} -o jsonpath={.metadata.uid}`)));
    for (const [i, link] of ring.entries()) {
      const at = (i + 2) % ring.length;
      const ownerReferences = [{ apiVersion: "v1", kind: "ConfigMap", name: ring[at], uid: uids[at], blockOwnerDeletion: true }];
      await kubectl(`patch cm ${link} --type merge -p '${JSON.stringify({ metadata: { ownerReferences } })}'`);
    }
    await kubectl("delete cm ring-a --cascade=foreground --timeout=120s");
    await soon(`get cm ${ring.join(" ")} --ignore-not-found -o name`, { says: "" });
  });

  test("empties a node: taint, cordon, drain as far as a budget lets it", async () => {
    await settled();
    await rows([
      ["taint node node-1 k=v:NoSchedule", "node/node-1 tainted"],
      ["taint node node-1 k-", "node/node-1 untainted"],
      ["cordon node-1", "node/node-1 cordoned"],
      ["get node node-1 --no-headers", /^node-1 +Ready,SchedulingDisabled/],
      ["drain node-1 --timeout=3s", { code: 1, says: /cannot delete Pods that declare no controller .*: default\/single/ }],
      ["drain node-1 --force --timeout=3s", { code: 1, says: /Cannot evict pod as it would violate the pod's disruption budget/ }],
      ["get pods --field-selector=status.phase=Running -o name", { soon: true, says: /^pod\/web-\S+\n$/ }],
      ["delete pdb web", /deleted/],
      ["drain node-1 --force --timeout=120s", /node\/node-1 drained/],
      ["get pods --field-selector=status.phase=Running -o name", ""],
      ["uncordon node-1", "node/node-1 uncordoned"],
      ["rollout status deployment/web --timeout=120s", /successfully rolled out/],
    ]);
  });
});
