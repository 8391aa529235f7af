import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../../src/api/json-value.ts";
import { podQosClass } from "../../../src/api/pod-qos.ts";
import { resourceOfKind } from "../../../src/api/scheme.ts";
import { prepareForCreate, prepareForUpdate } from "../../../src/api/strategy.ts";

const context = { now: "2026-01-01T00:00:00Z", uid: "uid-1", namespace: "default" };

function resourceOf(apiVersion: string, kind: string) {
  const found = resourceOfKind(apiVersion, kind);
  if (found === undefined) throw new Error(kind);
  return found;
}
const pods = resourceOf("v1", "Pod");
const services = resourceOf("v1", "Service");
const deployments = resourceOf("apps/v1", "Deployment");
const stored = { name: "a", namespace: "default", uid: "u", creationTimestamp: "t", generation: 3, resourceVersion: "9" };

describe("creation", () => {
  test("the server's part of the metadata is the server's", () => {
    const given = {
      metadata: { name: "a", uid: "mine", resourceVersion: "5", generation: 9, deletionTimestamp: "x", creationTimestamp: "y" },
      status: { phase: "Running" },
    };
    expect(prepareForCreate(pods, given, context)).toEqual({
      metadata: { name: "a", namespace: "default", uid: "uid-1", creationTimestamp: context.now, generation: 1 },
      status: { phase: "Pending", qosClass: "BestEffort" },
    });
  });

  test("a namespace waits for its content", () => {
    const created = prepareForCreate(resourceOf("v1", "Namespace"), { metadata: { name: "a", namespace: "x" } }, context);
    expect(created).toMatchObject({ spec: { finalizers: ["kubernetes"] }, status: { phase: "Active" } });
    expect(created["metadata"]).not.toHaveProperty("namespace");
  });

  test("a node brings its status, other kinds do not", () => {
    const status = { addresses: [] };
    expect(prepareForCreate(resourceOf("v1", "Node"), { metadata: { name: "n" }, status }, context)["status"]).toEqual(status);
    expect(
      prepareForCreate(services, { metadata: { name: "n" }, status: { loadBalancer: { ingress: [{ ip: "1" }] } } }, context)["status"],
    ).toEqual({ loadBalancer: {} });
  });
});

describe("update", () => {
  const old: JsonObject = { metadata: stored, spec: { replicas: 1 }, status: { readyReplicas: 1 } };

  test("a changed spec counts, an unchanged one does not; the status stays", () => {
    const same = prepareForUpdate(deployments, { metadata: { ...stored, generation: 77 }, spec: { replicas: 1 }, status: {} }, old);
    expect(same).toEqual(old);
    const scaled = prepareForUpdate(deployments, { metadata: { name: "a", resourceVersion: "9" }, spec: { replicas: 2 } }, old);
    expect(scaled).toEqual({ metadata: { ...stored, generation: 4 }, spec: { replicas: 2 }, status: { readyReplicas: 1 } });
  });

  test("an annotation of a Deployment counts as well, since it goes to its ReplicaSets", () => {
    const annotated = prepareForUpdate(deployments, { ...old, metadata: { ...stored, annotations: { a: "b" } } }, old);
    expect(annotated["metadata"]).toMatchObject({ generation: 4 });
  });

  test("a status update changes the status only", () => {
    const updated = prepareForUpdate(
      deployments,
      { metadata: { ...stored, labels: { x: "y" } }, spec: { replicas: 9 }, status: { readyReplicas: 5 } },
      old,
      "status",
    );
    expect(updated).toEqual({ metadata: stored, spec: { replicas: 1 }, status: { readyReplicas: 5 } });
  });

  test("a deletion that has begun cannot be taken back", () => {
    const dying = { ...old, metadata: { ...stored, deletionTimestamp: "d", deletionGracePeriodSeconds: 30 } };
    expect(prepareForUpdate(deployments, old, dying)["metadata"]).toMatchObject({ deletionTimestamp: "d", deletionGracePeriodSeconds: 30 });
    expect(prepareForUpdate(deployments, dying, old)["metadata"]).not.toHaveProperty("deletionTimestamp");
  });

  test("a pod's quality of service outlives a kubelet that forgets it", () => {
    const pod = { metadata: stored, spec: {}, status: { phase: "Pending", qosClass: "Burstable" } };
    expect(prepareForUpdate(pods, { ...pod, status: { phase: "Running" } }, pod, "status")["status"]).toEqual({
      phase: "Running",
      qosClass: "Burstable",
    });
  });

  test("ephemeral containers are the only thing their subresource changes", () => {
    const pod = { metadata: stored, spec: { nodeName: "n" }, status: {} };
    const asked = { metadata: stored, spec: { nodeName: "other", ephemeralContainers: [{ name: "debug" }] } };
    expect(prepareForUpdate(pods, asked, pod, "ephemeralcontainers")["spec"]).toEqual({
      nodeName: "n",
      ephemeralContainers: [{ name: "debug" }],
    });
  });
});

describe("a Service that changes its type", () => {
  const balanced = {
    metadata: stored,
    spec: {
      type: "LoadBalancer",
      clusterIP: "10.0.0.1",
      clusterIPs: ["10.0.0.1"],
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      ports: [{ port: 80, nodePort: 30000 }],
      externalTrafficPolicy: "Local",
      healthCheckNodePort: 30001,
      allocateLoadBalancerNodePorts: true,
    },
    status: { loadBalancer: { ingress: [{ ip: "1.2.3.4" }] } },
  };

  test("to ClusterIP gives back what only a load balancer has", () => {
    const next = prepareForUpdate(services, { ...balanced, spec: { ...balanced.spec, type: "ClusterIP" } }, balanced);
    expect(next["spec"]).toEqual({
      type: "ClusterIP",
      clusterIP: "10.0.0.1",
      clusterIPs: ["10.0.0.1"],
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      ports: [{ port: 80 }],
    });
    expect(next["status"]).toEqual({ loadBalancer: {} });
  });

  test("to ExternalName gives back its addresses too, unless they were changed", () => {
    const next = prepareForUpdate(services, { ...balanced, spec: { ...balanced.spec, type: "ExternalName" } }, balanced);
    expect(next["spec"]).toEqual({ type: "ExternalName", ports: [{ port: 80 }] });
    const kept = prepareForUpdate(
      services,
      { ...balanced, spec: { ...balanced.spec, type: "ExternalName", clusterIP: "10.0.0.2" } },
      balanced,
    );
    expect(kept["spec"]).toMatchObject({ clusterIP: "10.0.0.2" });
  });
});

test.each<{ name: string; limits?: Record<string, string>; requests?: Record<string, string>; want: string }>([
  { name: "nothing asked", want: "BestEffort" },
  { name: "requests only", requests: { cpu: "1" }, want: "Burstable" },
  { name: "limits equal requests", limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "1000m", memory: "1024Mi" }, want: "Guaranteed" },
  { name: "memory has no limit", limits: { cpu: "1" }, requests: { cpu: "1" }, want: "Burstable" },
  { name: "zero counts as nothing", limits: { cpu: "0", memory: "0" }, want: "BestEffort" },
  { name: "other resources do not count", limits: { "example.com/gpu": "1" }, want: "BestEffort" },
])("quality of service: $name", ({ limits, requests, want }) => {
  const resources = { ...(limits === undefined ? {} : { limits }), ...(requests === undefined ? {} : { requests }) };
  expect(podQosClass({ containers: [{ name: "a", resources }] })).toBe(want);
});
