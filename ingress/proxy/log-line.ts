import { isUtf8 } from "node:buffer";
import type { LogFormat, LoggedName, LogPart } from "../route/log-format.ts";
import { normalizedPath, partText, type TextPart } from "../route/request-text.ts";
import type { AccessEntry } from "./context.ts";
import { seconds } from "./log-numbers.ts";

const text = (t: string): TextPart => ({ kind: "text", text: t });
const logged = (name: LoggedName): LogPart => ({ kind: "logged", name });

/** What ingress-nginx writes where nobody sets log-format-upstream. */
export const defaultLogFormat: LogFormat = {
  escape: "default",
  parts: [
    { kind: "clientIp" },
    text(" - "),
    logged("remote_user"),
    text(" ["),
    logged("time_local"),
    text('] "'),
    logged("request"),
    text('" '),
    logged("status"),
    text(" "),
    logged("body_bytes_sent"),
    text(' "'),
    { kind: "header", name: "referer" },
    text('" "'),
    { kind: "header", name: "user-agent" },
    text('" '),
    logged("request_length"),
    text(" "),
    logged("request_time"),
    text(" ["),
    logged("proxy_upstream_name"),
    text("] ["),
    logged("proxy_alternative_upstream_name"),
    text("] "),
    logged("upstream_addr"),
    text(" "),
    logged("upstream_response_length"),
    text(" "),
    logged("upstream_response_time"),
    text(" "),
    logged("upstream_status"),
    text(" "),
    logged("req_id"),
  ],
};

export function printLine(format: LogFormat, e: AccessEntry): string {
  let line = "";
  for (const part of format.parts) {
    if (part.kind === "text") line += part.text;
    // ingress-nginx sets this one to nothing, which is not the same to nginx as one that is not there
    else if (part.kind === "logged" && part.name === "proxy_alternative_upstream_name") line += e.canary;
    else line += escaped(logText(part, e), format.escape);
  }
  return line;
}

function logText(part: LogPart, e: AccessEntry): string {
  if (part.kind === "logged") return loggedText(part.name, e);
  if (part.kind === "unsaid") return "";
  // the line has its own way to write what may not stand in it
  return part.kind === "path" ? normalizedPath(e.source) : partText(part, e.source);
}

/** As nginx does: quotes, backslashes and what is no printable ASCII as \xXX, and a dash for nothing; or as JSON has it. */
function escaped(value: string, how: LogFormat["escape"]): string {
  switch (how) {
    case "default":
      if (value === "") return "-";
      return /[^\x20-\x7e]|["\\]/.test(value)
        ? value.replace(/[^\x20-\x7e]|["\\]/g, (c) => `\\x${(c.charCodeAt(0) & 255).toString(16).toUpperCase().padStart(2, "0")}`)
        : value;
    case "json":
      return JSON.stringify(asSent(value)).slice(1, -1);
    case "none":
      return asSent(value).replace(/[\r\n]/g, " ");
  }
}

/** Text is a character for each byte here; where the bytes are UTF-8 they leave as what was sent. */
function asSent(value: string): string {
  if (!/[\x80-\xff]/.test(value)) return value;
  const bytes = Buffer.from(value, "latin1");
  return isUtf8(bytes) ? bytes.toString("utf8") : value;
}

function loggedText(name: LoggedName, e: AccessEntry): string {
  const asked = e.upstream !== "";
  switch (name) {
    case "body_bytes_sent":
    case "bytes_sent":
      return String(e.responseBytes);
    case "ingress_name":
      return e.ingress;
    case "location_path":
      return e.route.slice(Math.max(0, e.route.indexOf("/")));
    case "msec":
      return (e.time / 1000).toFixed(3);
    case "namespace":
      return e.namespace;
    case "proxy_alternative_upstream_name":
      return e.canary;
    case "proxy_host":
    case "proxy_upstream_name":
      return e.service === "" ? "" : `${e.service.replace("/", "-")}-${e.servicePort}`;
    case "proxy_protocol_addr":
      // of those who come by it, clientIp stands in its place (translate/log-format.ts)
      return "";
    case "remote_user":
      return e.user;
    case "req_id":
    case "request_id":
      return e.requestId;
    case "request":
      return `${e.method} ${e.target} ${e.protocol}`;
    case "request_length":
      return String(e.requestBytes);
    case "request_time":
      return seconds(e.milliseconds);
    case "server_name":
      return e.route.slice(0, Math.max(0, e.route.indexOf("/")));
    case "server_protocol":
      return e.protocol;
    case "service_name":
      return e.service.slice(e.service.indexOf("/") + 1);
    case "service_port":
      return e.service === "" ? "" : String(e.servicePort);
    case "status":
      return String(e.status);
    case "time_iso8601":
      return `${new Date(e.time).toISOString().slice(0, 19)}+00:00`;
    case "time_local":
      return localTime(e.time);
    case "upstream_addr":
      return e.upstream.replace(" ", ":");
    case "upstream_connect_time":
      return e.upstreamTimes === undefined ? "" : seconds(e.upstreamTimes.connectMs);
    case "upstream_header_time":
      return e.upstreamTimes === undefined ? "" : seconds(e.upstreamTimes.headMs);
    case "upstream_response_length":
      return asked ? String(e.responseBytes) : "";
    case "upstream_response_time":
      return asked ? seconds(e.upstreamTimes?.wholeMs ?? e.milliseconds) : "";
    case "upstream_status":
      return asked ? String(e.status) : "";
    case "opentelemetry_trace_id":
      return e.traceId;
    case "opentelemetry_span_id":
      return e.spanId;
  }
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
let lastSecond = -1;
let lastText = "";

/** nginx's $time_local, in UTC as containers have it; spelt out once a second. */
function localTime(time: number): string {
  const second = Math.floor(time / 1000);
  if (second === lastSecond) return lastText;
  const d = new Date(time);
  const two = (n: number): string => String(n).padStart(2, "0");
  const clock = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
  lastSecond = second;
  lastText = `${two(d.getUTCDate())}/${months[d.getUTCMonth()] ?? ""}/${d.getUTCFullYear()}:${clock} +0000`;
  return lastText;
}
