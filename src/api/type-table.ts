import generated from "./table.generated.json" with { type: "json" };

/** One field of an API type. `type` is a key of the table, or a scalar: string, bool, int32, int64, float64, bytes, time, … */
export interface Field {
  readonly name: string;
  /** The protobuf field number; 0 when the field is not in the protobuf form. */
  readonly number: number;
  readonly type: string;
  readonly list: boolean;
  readonly map: boolean;
  readonly inline: boolean;
  /** Always in JSON and no list, map or pointer. */
  readonly required: boolean;
  /** What schemas call required: always in JSON, and not marked optional. */
  readonly needed: boolean;
  readonly pointer: boolean;
  /** When JSON leaves it out: never (""), when it is empty, or when the whole struct is zero. */
  readonly omit: "" | "empty" | "zero";
  readonly goType?: string;
  readonly patchStrategy: readonly string[];
  readonly mergeKey?: string;
  readonly listType?: string;
  readonly listKeys?: readonly string[];
}

interface RawField {
  readonly name: string;
  readonly number?: number;
  readonly type: string;
  readonly list?: boolean;
  readonly map?: boolean;
  readonly inline?: boolean;
  readonly required?: boolean;
  readonly needed?: boolean;
  readonly pointer?: boolean;
  readonly omit?: string;
  readonly goType?: string;
  readonly patchStrategy?: string;
  readonly mergeKey?: string;
  readonly listType?: string;
  readonly listKeys?: readonly string[];
}

const table = generated as unknown as Readonly<Record<string, { readonly fields: readonly RawField[]; readonly kind: string }>>;
const ownFields = new Map<string, readonly Field[]>();
const flatFields = new Map<string, ReadonlyMap<string, Field>>();

/** Every struct type of the table, by its full name (`io.k8s.api.core.v1.Pod`). */
export const typeNames: readonly string[] = Object.keys(table);

export function isStruct(type: string): boolean {
  return Object.hasOwn(table, type);
}

/** The kind of a type that stands by itself (has apiVersion and kind), else undefined. */
export function kindOfType(type: string): string | undefined {
  const kind = table[type]?.kind;
  return kind === "" ? undefined : kind;
}

const groupOfFolder: Readonly<Record<string, string>> = {
  core: "",
  apps: "apps",
  policy: "policy",
  autoscaling: "autoscaling",
  authentication: "authentication.k8s.io",
  authorization: "authorization.k8s.io",
  coordination: "coordination.k8s.io",
  discovery: "discovery.k8s.io",
  events: "events.k8s.io",
  networking: "networking.k8s.io",
  multicluster: "multicluster.x-k8s.io",
};
const metaPrefix = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/** The group a type belongs to; undefined for those that belong to every group, as DeleteOptions does. */
export function groupOfType(type: string): string | undefined {
  return type.startsWith(metaPrefix) ? undefined : groupOfFolder[type.split(".").at(-3) ?? ""];
}

const typeByKind = new Map<string, string>();
for (const type of typeNames) {
  const kind = kindOfType(type);
  const group = groupOfType(type);
  const version = type.split(".").at(-2) ?? "";
  if (kind !== undefined)
    typeByKind.set(group === undefined ? `*/${kind}` : `${group === "" ? version : `${group}/${version}`}/${kind}`, type);
}

/** The type behind what an object says of itself. Kinds of the meta group are known under every apiVersion. */
export function typeOfKind(apiVersion: string, kind: string): string | undefined {
  return typeByKind.get(`${apiVersion}/${kind}`) ?? typeByKind.get(`*/${kind}`);
}

/** The same where it has a protobuf form: those of custom resources have none. */
export function protobufTypeOf(apiVersion: string, kind: string): string | undefined {
  const type = typeOfKind(apiVersion, kind);
  return type !== undefined && declaredFields(type).some((f) => f.number > 0) ? type : undefined;
}

/** The fields as declared: an inlined struct is one field with an empty name, as protobuf sees it. */
export function declaredFields(type: string): readonly Field[] {
  let fields = ownFields.get(type);
  if (fields === undefined) {
    fields = (table[type]?.fields ?? []).map(fieldOf);
    ownFields.set(type, fields);
  }
  return fields;
}

/** The fields by JSON name, with inlined structs folded in, as JSON sees them. apiVersion and kind are not among them. */
export function jsonFields(type: string): ReadonlyMap<string, Field> {
  let fields = flatFields.get(type);
  if (fields === undefined) {
    fields = new Map(
      declaredFields(type).flatMap((f): (readonly [string, Field])[] => (f.inline ? [...jsonFields(f.type)] : [[f.name, f]])),
    );
    flatFields.set(type, fields);
  }
  return fields;
}

/** `io.k8s.api.core.v1.Pod` → `v1.Pod`, as Go prints the type. */
export function goNameOf(type: string): string {
  return type.split(".").slice(-2).join(".");
}

function fieldOf(raw: RawField): Field {
  return {
    name: raw.name,
    number: raw.number ?? 0,
    type: raw.type,
    list: raw.list ?? false,
    map: raw.map ?? false,
    inline: raw.inline ?? false,
    required: raw.required ?? false,
    needed: raw.needed ?? false,
    pointer: raw.pointer ?? false,
    omit: raw.omit === undefined ? "" : raw.omit.includes("zero") ? "zero" : "empty",
    patchStrategy: raw.patchStrategy === undefined ? [] : raw.patchStrategy.split(","),
    ...(raw.goType === undefined ? {} : { goType: raw.goType }),
    ...(raw.mergeKey === undefined ? {} : { mergeKey: raw.mergeKey }),
    ...(raw.listType === undefined ? {} : { listType: raw.listType }),
    ...(raw.listKeys === undefined ? {} : { listKeys: raw.listKeys }),
  };
}
