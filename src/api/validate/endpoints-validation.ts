import type { Cidr } from "../../base/cidr.ts";
import { duplicate, type FieldError, invalid, notSupported, required, tooMany } from "../field-error.ts";
import { semanticEqual } from "../json-value.ts";
import type { EndpointAddress, Endpoints } from "../types/core-v1.generated.ts";
import type { Endpoint, EndpointHints, EndpointPort, EndpointSlice } from "../types/discovery-v1.generated.ts";
import { familyOf, validateCanonicalIp, validateEndpointIp, validateIp } from "./addresses.ts";
import { immutable, validateLabels } from "./metadata.ts";
import { dns1123Label, dns1123Subdomain, labelValue, portNumber, qualifiedName } from "./names.ts";
import { protocols } from "./service-validation.ts";

const maxEndpoints = 1000;
const maxPorts = 20_000;
const maxAddresses = 100;
const maxHints = 8;
const maxTopology = 16;
const addressTypes = ["FQDN", "IPv4", "IPv6"];

/** `loopback` is a range of 127.0.0.0/8 that pods may have: plain mode's own. */
export function validateEndpointSlice(slice: EndpointSlice, old?: EndpointSlice, loopback?: Cidr): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { addressType, ports = [], endpoints = [] } = slice;
  if (addressType === "") errors.push(required("addressType"));
  else if (!addressTypes.includes(addressType)) errors.push(notSupported("addressType", addressType, addressTypes));
  if (ports.length > maxPorts) errors.push(tooMany("ports", ports.length, maxPorts));
  else errors.push(...ports.flatMap((port, i) => validatePort(port, i, ports)));
  const ofEndpoints =
    endpoints.length > maxEndpoints
      ? [tooMany("endpoints", endpoints.length, maxEndpoints)]
      : endpoints.flatMap((endpoint, i) => validateEndpoint(endpoint, `endpoints[${i}]`, addressType, loopback));
  // What was accepted before is not refused because of another change.
  if (ofEndpoints.length > 0 && !(old !== undefined && semanticEqual(old.endpoints, slice.endpoints))) errors.push(...ofEndpoints);
  if (old !== undefined) errors.push(...immutable("addressType", addressType, old.addressType));
  return errors;
}

export function validateEndpoints(endpoints: Endpoints, old?: Endpoints, loopback?: Cidr): readonly FieldError[] {
  if (old !== undefined && semanticEqual(old.subsets, endpoints.subsets)) return [];
  return (endpoints.subsets ?? []).flatMap(({ addresses = [], notReadyAddresses = [], ports = [] }, i) => {
    const at = `subsets[${i}]`;
    const errors: FieldError[] = [];
    if (addresses.length === 0 && notReadyAddresses.length === 0)
      errors.push(required(at, "must specify `addresses` or `notReadyAddresses`"));
    addresses.forEach((address, j) => {
      errors.push(...validateAddress(address, `${at}.addresses[${j}]`, loopback));
    });
    notReadyAddresses.forEach((address, j) => {
      errors.push(...validateAddress(address, `${at}.notReadyAddresses[${j}]`, loopback));
    });
    ports.forEach(({ name = "", port, protocol = "", appProtocol }, j) => {
      const field = `${at}.ports[${j}]`;
      if (name !== "") errors.push(...dns1123Label(name).map((why) => invalid(`${field}.name`, name, why)));
      else if (ports.length > 1) errors.push(required(`${field}.name`));
      errors.push(...portNumber(port).map((why) => invalid(`${field}.port`, port, why)));
      errors.push(...protocolErrors(`${field}.protocol`, protocol), ...appProtocolErrors(`${field}.appProtocol`, appProtocol));
    });
    return errors;
  });
}

function validateAddress({ ip, hostname = "", nodeName }: EndpointAddress, at: string, loopback: Cidr | undefined): readonly FieldError[] {
  return [
    ...validateIp(`${at}.ip`, ip),
    ...(hostname === "" ? [] : dns1123Label(hostname).map((why) => invalid(`${at}.hostname`, hostname, why))),
    ...(nodeName === undefined ? [] : dns1123Subdomain(nodeName).map((why) => invalid(`${at}.nodeName`, nodeName, why))),
    ...validateEndpointIp(`${at}.ip`, ip, loopback),
  ];
}

function validatePort(port: EndpointPort, i: number, all: readonly EndpointPort[]): readonly FieldError[] {
  const at = `ports[${i}]`;
  const { name = "", protocol, appProtocol } = port;
  return [
    ...(name === "" ? [] : dns1123Label(name).map((why) => invalid(`${at}.name`, name, why))),
    ...(all.slice(0, i).some((other) => (other.name ?? "") === name) ? [duplicate(`${at}.name`, name)] : []),
    ...(protocol === "" ? [notSupported(`${at}.protocol`, "", protocols)] : protocolErrors(`${at}.protocol`, protocol ?? "")),
    ...appProtocolErrors(`${at}.appProtocol`, appProtocol),
  ];
}

function protocolErrors(field: string, protocol: string): readonly FieldError[] {
  if (protocol === "") return [required(field)];
  return protocols.includes(protocol) ? [] : [notSupported(field, protocol, protocols)];
}

function appProtocolErrors(field: string, appProtocol: string | undefined): readonly FieldError[] {
  return appProtocol === undefined ? [] : qualifiedName(appProtocol).map((why) => invalid(field, appProtocol, why));
}

function validateEndpoint(endpoint: Endpoint, at: string, type: string, loopback: Cidr | undefined): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { addresses = [], nodeName, hostname, hints, deprecatedTopology = {} } = endpoint;
  if (addresses.length === 0) errors.push(required(`${at}.addresses`, "must contain at least 1 address"));
  else if (addresses.length > maxAddresses) errors.push(tooMany(`${at}.addresses`, addresses.length, maxAddresses));
  addresses.forEach((address, i) => {
    errors.push(...addressErrors(`${at}.addresses`, i, address, type, loopback));
  });
  if (nodeName !== undefined) errors.push(...dns1123Subdomain(nodeName).map((why) => invalid(`${at}.nodeName`, nodeName, why)));
  const labels = Object.keys(deprecatedTopology).length;
  if (labels > maxTopology) errors.push(tooMany(`${at}.deprecatedTopology`, labels, maxTopology));
  errors.push(...validateLabels(deprecatedTopology, `${at}.deprecatedTopology`));
  if (hostname !== undefined) errors.push(...dns1123Label(hostname).map((why) => invalid(`${at}.hostname`, hostname, why)));
  if (hints !== undefined) errors.push(...validateHints(`${at}.hints`, hints));
  return errors;
}

function addressErrors(list: string, i: number, address: string, type: string, loopback: Cidr | undefined): readonly FieldError[] {
  const field = `${list}[${i}]`;
  if (type === "FQDN") return domainErrors(field, address);
  if (type !== "IPv4" && type !== "IPv6") return [];
  const errors = type === "IPv4" ? validateIp(field, address) : validateCanonicalIp(field, address);
  if (errors.length > 0) return errors;
  const wrongFamily = `IPv${familyOf(address)}` === type ? [] : [invalid(list, address, `must be an ${type} address`)];
  return [...wrongFamily, ...validateEndpointIp(field, address, loopback)];
}

function domainErrors(field: string, name: string): readonly FieldError[] {
  if (name === "") return [required(field)];
  const plain = name.replace(/\.$/, "");
  const wrong = dns1123Subdomain(plain);
  if (wrong.length > 0) return [invalid(field, plain, wrong.join(","))];
  const labels = plain.split(".");
  if (labels.length < 2) return [invalid(field, plain, "should be a domain with at least two segments separated by dots")];
  const bad = labels.find((label) => dns1123Label(label).length > 0);
  return bad === undefined ? [] : [invalid(field, bad, dns1123Label(bad).join(","))];
}

function validateHints(at: string, { forZones = [], forNodes = [] }: EndpointHints): readonly FieldError[] {
  if (forZones.length > maxHints) return [tooMany(`${at}.forZones`, forZones.length, maxHints)];
  const zones = forZones.map((zone) => zone.name);
  const nodes = forNodes.map((node) => node.name);
  const ofZones = zones.flatMap((name, i) => [
    ...(zones.indexOf(name) < i ? [duplicate(`${at}.forZones[${i}].name`, name)] : []),
    ...labelValue(name).map((why) => invalid(`${at}.forZones[${i}].name`, name, why)),
  ]);
  if (nodes.length > maxHints) return [...ofZones, tooMany(`${at}.forNodes`, nodes.length, maxHints)];
  const ofNodes = nodes.flatMap((name, i) => [
    ...(nodes.indexOf(name) < i ? [duplicate(`${at}.forNodes[${i}].name`, name)] : []),
    ...dns1123Subdomain(name).map((why) => invalid(`${at}.forNodes[${i}].name`, name, why)),
  ]);
  return [...ofZones, ...ofNodes];
}
