/** What test/e2e/workloads.test.ts applies, all at once; `folder` is one of this machine that pods may write to. */
export function workloadManifest(folder: string): string {
  return [configuration, probes, lifecycle(folder), environment, volumes(folder), network, workloads, services].join("\n---\n");
}

const shellPod = (name: string, script: string, spec = "", container = ""): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  terminationGracePeriodSeconds: 1${indent(spec, 2)}
  containers:
  - name: c
    image: fairway/shell
    command: [sh, -c, ${JSON.stringify(script)}]${indent(container, 4)}`;

const echoPod = (name: string, spec = "", container = ""): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  terminationGracePeriodSeconds: 5${indent(spec, 2)}
  containers:
  - name: c
    image: fairway/echo${indent(container, 4)}`;

const service = (name: string, spec: string): string =>
  `{apiVersion: v1, kind: Service, metadata: {name: ${name}}, spec: {ports: [{name: http, port: 80, targetPort: 8080}], ${spec}}}`;

function indent(text: string, by: number): string {
  return text === "" ? "" : `\n${text.replace(/^/gm, " ".repeat(by))}`;
}

const wait = "exec sleep 600";

const configuration = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: red, size: "7"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {password: hush}`;

const probes = [
  shellPod(
    "liveness",
    `echo run >> /tmp/runs; touch /tmp/alive; sleep 1; rm /tmp/alive; ${wait}`,
    "",
    "livenessProbe: {exec: {command: [test, -e, /tmp/alive]}, periodSeconds: 1, failureThreshold: 1}",
  ),
  shellPod(
    "startup",
    `sleep 2; touch /tmp/started; ${wait}`,
    "",
    `startupProbe: {exec: {command: [test, -e, /tmp/started]}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 60}
livenessProbe: {exec: {command: [test, -e, /tmp/started]}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1}`,
  ),
  echoPod("tcp", "", "readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}"),
  echoPod("unready", "", "readinessProbe: {httpGet: {path: /status/500, port: 8080}, periodSeconds: 1}"),
].join("\n---\n");

const lifecycle = (folder: string): string =>
  [
    shellPod("crash", "exit 3"),
    shellPod("done", "echo finished", "restartPolicy: Never"),
    shellPod("failed", "echo reason > /dev/termination-log; exit 4", "restartPolicy: Never"),
    shellPod(
      "inits",
      `cat /v/order; ${wait}`,
      `volumes: [{name: v, emptyDir: {}}]
initContainers:
- {name: first, image: fairway/shell, command: [sh, -c, echo first >> /v/order], volumeMounts: [{name: v, mountPath: /v}]}
- name: sidecar
  image: fairway/shell
  restartPolicy: Always
  command: [sh, -c, "sleep 0.5; echo sidecar >> /v/order; ${wait}"]
  startupProbe: {exec: {command: [grep, sidecar, /v/order]}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 60}
  volumeMounts: [{name: v, mountPath: /v}]
- {name: last, image: fairway/shell, command: [sh, -c, echo last >> /v/order], volumeMounts: [{name: v, mountPath: /v}]}`,
      "volumeMounts: [{name: v, mountPath: /v}]",
    ),
    shellPod(
      "hooks",
      "trap 'echo term >> /h/hooks; exit 0' TERM; while :; do sleep 0.1; done",
      `volumes: [{name: h, hostPath: {path: ${folder}, type: Directory}}]`,
      `volumeMounts: [{name: h, mountPath: /h}]
lifecycle:
  postStart: {exec: {command: [sh, -c, "echo post >> /h/hooks"]}}
  preStop: {exec: {command: [sh, -c, "echo pre >> /h/hooks"]}}`,
    ).replace("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 10"),
  ].join("\n---\n");

const environment = `
apiVersion: v1
kind: Pod
metadata: {name: env, labels: {tier: gold}, annotations: {note: hello}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: fairway/shell
    command: [sh, -c, "env; echo args: $@; exec sleep 600", sh]
    args: [$(GREETING), $$(GREETING), $(NOBODY)]
    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 500m, memory: 64Mi}}
    envFrom: [{configMapRef: {name: settings}, prefix: S_}, {secretRef: {name: keys}}, {configMapRef: {name: absent, optional: true}}]
    env:
    - {name: WHO, value: world}
    - {name: GREETING, value: hello $(WHO)}
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
    - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}}`;

const volumes = (folder: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: volumes, labels: {tier: gold}}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: settings, configMap: {name: settings}}
  - {name: one, configMap: {name: settings, items: [{key: color, path: deep/paint, mode: 0400}]}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0440}}
  - {name: absent, secret: {secretName: absent, optional: true}}
  - {name: scratch, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: host, hostPath: {path: ${folder}/made, type: DirectoryOrCreate}}
  - name: all
    projected:
      sources:
      - serviceAccountToken: {path: token, audience: vault, expirationSeconds: 600}
      - configMap: {name: settings, items: [{key: size, path: size}]}
      - secret: {name: keys}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
  containers:
  - name: c
    image: fairway/shell
    command: [sh, -c, "exec sleep 600"]
    volumeMounts:
    - {name: settings, mountPath: /settings}
    - {name: one, mountPath: /one}
    - {name: settings, mountPath: /etc/color, subPath: color}
    - {name: keys, mountPath: /keys, readOnly: true}
    - {name: absent, mountPath: /absent}
    - {name: scratch, mountPath: /scratch}
    - {name: memory, mountPath: /memory}
    - {name: host, mountPath: /host}
    - {name: all, mountPath: /all}
  - name: other
    image: fairway/shell
    command: [sh, -c, "echo shared > /scratch/file; exec sleep 600"]
    volumeMounts: [{name: scratch, mountPath: /scratch}]`;

const network = [
  shellPod(
    "names",
    wait,
    `hostname: first
subdomain: members
hostAliases: [{ip: 192.0.2.7, hostnames: [old.example, older.example]}]
dnsConfig: {options: [{name: ndots, value: "2"}], searches: [extra.example]}`,
  ),
  shellPod("own-dns", wait, "dnsPolicy: None\ndnsConfig: {nameservers: [192.0.2.53], searches: [only.example]}"),
  shellPod("host-dns", wait, "dnsPolicy: Default"),
  echoPod("host-network", "hostNetwork: true\nnodeName: node-2\ndnsPolicy: ClusterFirstWithHostNet", "env: [{name: PORT, value: '18080'}]"),
  echoPod(
    "host-port",
    "nodeName: node-1",
    "ports: [{containerPort: 8080, hostPort: 18081}, {containerPort: 8080, hostPort: 18081, protocol: UDP}]",
  ),
].join("\n---\n");

const workloads = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: each}
spec:
  selector: {matchLabels: {app: each}}
  template:
    metadata: {labels: {app: each}}
    spec:
      terminationGracePeriodSeconds: 5
      containers: [{name: c, image: fairway/echo, readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: renewed}
spec:
  selector: {matchLabels: {app: renewed}}
  template:
    metadata: {labels: {app: renewed}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: fairway/pause}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: ordered}
spec:
  serviceName: ordered
  replicas: 3
  updateStrategy: {rollingUpdate: {partition: 2}}
  selector: {matchLabels: {app: ordered}}
  template:
    metadata: {labels: {app: ordered}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: fairway/echo, readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: rolled}
spec:
  replicas: 2
  selector: {matchLabels: {app: rolled}}
  template:
    metadata: {labels: {app: rolled}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - {name: c, image: fairway/echo, env: [{name: VERSION, value: "1"}], readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: leaving}
spec:
  replicas: 2
  selector: {matchLabels: {app: leaving}}
  template:
    metadata: {labels: {app: leaving}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - {name: c, image: fairway/echo, readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Namespace
metadata: {name: doomed}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: doomed, namespace: doomed}
spec:
  selector: {matchLabels: {app: doomed}}
  template: {metadata: {labels: {app: doomed}}, spec: {containers: [{name: c, image: fairway/echo}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: doomed, namespace: doomed}, spec: {selector: {app: doomed}, ports: [{port: 80}]}}
---
${shellPod("too-big", wait, "", 'resources: {requests: {cpu: "1000"}}')}
---
${shellPod("owner", wait)}
---
${shellPod("no-node", wait, "nodeSelector: {disk: gold}")}`;

const services = [
  service("each", "selector: {app: each}"),
  service("sticky", "selector: {app: each}, sessionAffinity: ClientIP"),
  service("ordered", "selector: {app: ordered}, clusterIP: None"),
  service("leaving", "selector: {app: leaving}"),
  service("self", "selector: {app: tcp}"),
  service("early", "selector: {app: unready}, publishNotReadyAddresses: true"),
  service("late", "selector: {app: unready}"),
  service("on-one", "selector: {app: host-port}, internalTrafficPolicy: Local"),
  service("local", "selector: {app: host-port}, type: NodePort, externalTrafficPolicy: Local"),
  service("lb", "selector: {app: each}, type: LoadBalancer"),
  service("manual", "type: ClusterIP"),
  service("mirrored", "type: ClusterIP"),
  service("members", "selector: {app: names}, clusterIP: None"),
  service("elsewhere", "type: ExternalName, externalName: each.default.svc.cluster.local"),
  "{apiVersion: v1, kind: Service, metadata: {name: datagram}, spec: {selector: {app: each}, ports: [{port: 90, targetPort: 8080, protocol: UDP}]}}",
].join("\n---\n");
