import type { OtlpSpan } from "./otlp-span.ts";

/** Field numbers of opentelemetry-proto: trace_service.proto, trace.proto, resource.proto, common.proto. */
const fields = {
  request: { resourceSpans: 1 },
  resourceSpans: { resource: 1, scopeSpans: 2 },
  resource: { attributes: 1 },
  scopeSpans: { scope: 1, spans: 2 },
  scope: { name: 1 },
  span: { traceId: 1, spanId: 2, traceState: 3, parentSpanId: 4, name: 5, kind: 6, start: 7, end: 8, attributes: 9, status: 15 },
  status: { code: 3 },
  keyValue: { key: 1, value: 2 },
  anyValue: { string: 1, int: 3 },
} as const;

/** An export as protobuf has it: ExportTraceServiceRequest. */
export function encodeExport(spans: readonly OtlpSpan[], serviceName: string): Buffer {
  const { request, resourceSpans, resource, scopeSpans, scope } = fields;
  const serviceAttribute = keyValue("service.name", { stringValue: serviceName });
  return message(request.resourceSpans, [
    message(resourceSpans.resource, [message(resource.attributes, serviceAttribute)]),
    message(resourceSpans.scopeSpans, [
      message(scopeSpans.scope, [text(scope.name, "fairway")]),
      ...spans.map((s) => message(scopeSpans.spans, spanParts(s))),
    ]),
  ]);
}

function spanParts(s: OtlpSpan): readonly Buffer[] {
  const { span } = fields;
  return [
    bytes(span.traceId, Buffer.from(s.traceId, "hex")),
    bytes(span.spanId, Buffer.from(s.spanId, "hex")),
    ...(s.traceState === undefined ? [] : [text(span.traceState, s.traceState)]),
    ...(s.parentSpanId === undefined ? [] : [bytes(span.parentSpanId, Buffer.from(s.parentSpanId, "hex"))]),
    text(span.name, s.name),
    integer(span.kind, BigInt(s.kind)),
    fixed64(span.start, BigInt(s.startTimeUnixNano)),
    fixed64(span.end, BigInt(s.endTimeUnixNano)),
    ...s.attributes.map(({ key, value }) => message(span.attributes, keyValue(key, value))),
    ...(s.status.code === undefined ? [] : [message(span.status, [integer(fields.status.code, BigInt(s.status.code))])]),
  ];
}

function keyValue(key: string, value: OtlpSpan["attributes"][number]["value"]): readonly Buffer[] {
  const { keyValue: pair, anyValue } = fields;
  const any = "stringValue" in value ? text(anyValue.string, value.stringValue) : integer(anyValue.int, BigInt(value.intValue));
  return [text(pair.key, key), message(pair.value, [any])];
}

/** Wire types of protobuf. */
const varintType = 0;
const fixed64Type = 1;
const lengthType = 2;

function message(field: number, parts: readonly Buffer[]): Buffer {
  return bytes(field, Buffer.concat(parts));
}

function text(field: number, value: string): Buffer {
  return bytes(field, Buffer.from(value, "utf8"));
}

function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([tag(field, lengthType), varint(BigInt(value.length)), value]);
}

function integer(field: number, value: bigint): Buffer {
  // a negative number is written as 64 bits
  return Buffer.concat([tag(field, varintType), varint(BigInt.asUintN(64, value))]);
}

function fixed64(field: number, value: bigint): Buffer {
  const eight = Buffer.alloc(8);
  eight.writeBigUInt64LE(value);
  return Buffer.concat([tag(field, fixed64Type), eight]);
}

function tag(field: number, type: number): Buffer {
  return varint(BigInt((field << 3) | type));
}

function varint(value: bigint): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Buffer.from(out);
}
