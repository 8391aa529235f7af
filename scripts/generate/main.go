// Command generate writes the table of Kubernetes API types that fairway's API room is built on, and the TypeScript
// types that go with it: names, types, protobuf field numbers, list kinds and keys, patch strategies, what is required.
// Facts only, read from k8s.io/api used as a library: by reflection, and from the marks in the comments of its fields.
// Run it with `go run .` in this folder; its output is committed, so building and running fairway needs no Go.
package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	multiclusterv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
)

// Field is one field of a type, as JSON and protobuf know it.
type Field struct {
	Name          string   `json:"name"`
	Number        int      `json:"number,omitempty"`
	Type          string   `json:"type"`
	List          bool     `json:"list,omitempty"`
	Map           bool     `json:"map,omitempty"`
	Inline        bool     `json:"inline,omitempty"`
	Required      bool     `json:"required,omitempty"`
	Pointer       bool     `json:"pointer,omitempty"`
	Omit          string   `json:"omit,omitempty"`   // "empty", "zero", or both as "empty,zero": when JSON leaves the field out
	GoType        string   `json:"goType,omitempty"` // the name of a named scalar type, as decoding errors print it
	PatchStrategy string   `json:"patchStrategy,omitempty"`
	MergeKey      string   `json:"mergeKey,omitempty"`
	ListType      string   `json:"listType,omitempty"`
	ListKeys      []string `json:"listKeys,omitempty"`
	Needed        bool     `json:"needed,omitempty"` // what schemas call required: always in JSON, and not marked optional
}

var roots = []any{
	corev1.Namespace{}, corev1.Node{}, corev1.Pod{}, corev1.Service{}, corev1.Endpoints{}, corev1.ConfigMap{}, corev1.Secret{},
	corev1.ServiceAccount{}, corev1.Event{}, corev1.Binding{}, corev1.PodLogOptions{}, corev1.PodExecOptions{}, corev1.PodAttachOptions{},
	corev1.PodPortForwardOptions{}, corev1.PodProxyOptions{}, corev1.ServiceProxyOptions{}, corev1.NodeProxyOptions{}, corev1.PodTemplate{},
	corev1.ReplicationController{}, corev1.PersistentVolumeClaim{}, corev1.LimitRange{}, corev1.ResourceQuota{},
	eventsv1.Event{}, discoveryv1.EndpointSlice{}, networkingv1.Ingress{}, networkingv1.IngressClass{}, networkingv1.ServiceCIDR{},
	networkingv1.IPAddress{}, networkingv1.NetworkPolicy{}, coordinationv1.Lease{}, policyv1.PodDisruptionBudget{}, policyv1.Eviction{},
	appsv1.Deployment{}, appsv1.ReplicaSet{}, appsv1.StatefulSet{}, appsv1.DaemonSet{}, appsv1.ControllerRevision{}, autoscalingv1.Scale{},
	authenticationv1.TokenReview{}, authenticationv1.TokenRequest{}, authenticationv1.SelfSubjectReview{},
	authorizationv1.SubjectAccessReview{}, authorizationv1.SelfSubjectAccessReview{}, authorizationv1.SelfSubjectRulesReview{},
	metav1.Status{}, metav1.DeleteOptions{}, metav1.ListOptions{}, metav1.GetOptions{}, metav1.CreateOptions{}, metav1.UpdateOptions{},
	metav1.PatchOptions{}, metav1.WatchEvent{}, metav1.PartialObjectMetadata{}, metav1.ListMeta{}, metav1.Table{}, metav1.TableOptions{},
	metav1.APIGroup{}, metav1.APIGroupList{}, metav1.APIResourceList{}, metav1.APIVersions{}, metav1.LabelSelector{},
	multiclusterv1alpha1.ServiceImport{},
}

var special = map[string]string{
	"io.k8s.apimachinery.pkg.apis.meta.v1.Time":       "time",
	"io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime":  "microTime",
	"io.k8s.apimachinery.pkg.apis.meta.v1.Duration":   "duration",
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1":   "raw",
	"io.k8s.apimachinery.pkg.runtime.RawExtension":    "raw",
	"io.k8s.apimachinery.pkg.api.resource.Quantity":   "quantity",
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intOrString",
}

var types = map[string][]Field{}
var kinds = map[string]string{}

// Types that clusters have from custom resources are named by their group, as an API server with those names them.
var customPackages = map[string]string{"sigs.k8s.io/mcs-api/pkg/apis/v1alpha1": "io.x-k8s.multicluster.v1alpha1"}

func nameOf(t reflect.Type) string {
	if pkg, ok := customPackages[t.PkgPath()]; ok {
		return pkg + "." + t.Name()
	}
	return "io." + strings.ReplaceAll(strings.Replace(t.PkgPath(), "k8s.io", "k8s", 1), "/", ".") + "." + t.Name()
}

func typeName(t reflect.Type) string {
	if t.Kind() == reflect.Struct {
		name := nameOf(t)
		if s, ok := special[name]; ok {
			return s
		}
		visit(t)
		return name
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int32, reflect.Int64, reflect.Int, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return t.Kind().String()
	case reflect.Float64, reflect.Float32:
		return "float64"
	case reflect.Interface:
		return "any"
	}
	panic("no type for " + t.String())
}

func visit(t reflect.Type) {
	name := nameOf(t)
	if _, done := types[name]; done {
		return
	}
	types[name] = []Field{}
	fields := []Field{}
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		parts := strings.Split(tag, ",")
		if tag == "-" || !f.IsExported() || f.Type == reflect.TypeFor[metav1.TypeMeta]() {
			continue
		}
		out := Field{Name: parts[0], PatchStrategy: f.Tag.Get("patchStrategy"), MergeKey: f.Tag.Get("patchMergeKey")}
		omitempty := false
		for _, p := range parts[1:] {
			if p == "omitempty" || p == "omitzero" {
				omitempty = true
				out.Omit = strings.TrimPrefix(out.Omit+","+strings.TrimPrefix(p, "omit"), ",")
			}
			if p == "inline" {
				out.Inline = true
			}
		}
		if pb := strings.Split(f.Tag.Get("protobuf"), ","); len(pb) > 1 {
			out.Number, _ = strconv.Atoi(pb[1])
		}
		ft := f.Type
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
			out.Pointer = true
		}
		switch {
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Uint8:
			out.Type = "bytes"
		case ft.Kind() == reflect.Slice:
			out.List = true
			e := ft.Elem()
			if e.Kind() == reflect.Pointer {
				e = e.Elem()
			}
			out.Type = typeName(e)
		case ft.Kind() == reflect.Map:
			out.Map = true
			e := ft.Elem()
			switch {
			case e.Kind() == reflect.Slice && e.Elem().Kind() == reflect.Uint8:
				out.Type = "bytes"
			case e.Kind() == reflect.Slice:
				out.Type = "stringList"
			default:
				out.Type = typeName(e)
			}
		default:
			out.Type = typeName(ft)
		}
		if e := element(f.Type); e.Kind() != reflect.Struct && e.Kind() != reflect.Interface && e.PkgPath() != "" {
			out.GoType = e.String()
		}
		marks := marksOf(t, f.Name)
		out.ListType = marks["listType"].first()
		out.ListKeys = marks["listMapKey"]
		_, optional := marks["optional"]
		out.Needed = !omitempty && !optional && !out.Inline && out.Name != "metadata"
		out.Required = !omitempty && !out.List && !out.Map && !out.Pointer && !out.Inline && out.Name != "metadata" && out.Name != "status"
		fields = append(fields, out)
	}
	types[name] = fields
}

// marks are the words after a plus sign in the comment of a field: +optional, +listType=map, +listMapKey=name.
type marks map[string]words

type words []string

func (w words) first() string {
	if len(w) == 0 {
		return ""
	}
	return w[0]
}

// markers holds the marks of the fields of a package's structs, by package, type and field.
var markers = map[string]map[string]map[string]marks{}

func marksOf(t reflect.Type, field string) marks {
	pkg, ok := markers[t.PkgPath()]
	if !ok {
		pkg = readMarkers(t.PkgPath())
		markers[t.PkgPath()] = pkg
	}
	return pkg[t.Name()][field]
}

func readMarkers(pkgPath string) map[string]map[string]marks {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkgPath).Output()
	must(err)
	parsed, err := parser.ParseDir(token.NewFileSet(), strings.TrimSpace(string(dir)), nil, parser.ParseComments)
	must(err)
	found := map[string]map[string]marks{}
	for _, pkg := range parsed {
		ast.Inspect(pkg, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			structure, ok := spec.Type.(*ast.StructType)
			if !ok {
				return false
			}
			found[spec.Name.Name] = map[string]marks{}
			for _, field := range structure.Fields.List {
				for _, name := range field.Names {
					found[spec.Name.Name][name.Name] = readMarks(field.Doc)
				}
			}
			return false
		})
	}
	return found
}

func readMarks(doc *ast.CommentGroup) marks {
	found := marks{}
	if doc == nil {
		return found
	}
	for _, comment := range doc.List {
		text := strings.TrimSpace(strings.TrimPrefix(comment.Text, "//"))
		if !strings.HasPrefix(text, "+") {
			continue
		}
		name, value, _ := strings.Cut(text[1:], "=")
		found[name] = append(found[name], value)
	}
	return found
}

// element is what pointers, lists and maps in t hold at the end.
func element(t reflect.Type) reflect.Type {
	for t.PkgPath() == "" && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		t = t.Elem()
	}
	return t
}

func main() {
	for _, r := range roots {
		t := reflect.TypeOf(r)
		visit(t)
		if _, has := t.FieldByName("TypeMeta"); has {
			kinds[nameOf(t)] = t.Name()
		}
	}
	out := filepath.Join("..", "..", "src", "api")
	must(os.MkdirAll(filepath.Join(out, "types"), 0o755))
	writeTable(filepath.Join(out, "table.generated.json"))
	writeTypeScript(filepath.Join(out, "types"))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// One type a line, so that a change of version is a readable difference.
func writeTable(path string) {
	var b strings.Builder
	b.WriteString("{\n")
	for i, name := range sortedKeys(types) {
		line, err := json.Marshal(map[string]any{"fields": types[name], "kind": kinds[name]})
		must(err)
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, "%q: %s", name, line)
	}
	b.WriteString("\n}\n")
	must(os.WriteFile(path, []byte(b.String()), 0o644))
}

// io.k8s.api.core.v1.Pod → core-v1, Pod
func fileOf(name string) (string, string) {
	p := strings.Split(name, ".")
	n := len(p)
	return p[n-3] + "-" + p[n-2], p[n-1]
}

var scalars = map[string]string{
	"string": "string", "bool": "boolean", "int32": "number", "int64": "number", "int": "number", "uint8": "number", "uint32": "number",
	"uint64": "number", "float64": "number", "bytes": "string", "time": "string", "microTime": "string", "duration": "string",
	"quantity": "string", "intOrString": "number | string", "raw": "unknown", "any": "unknown", "stringList": "readonly string[]",
}

func writeTypeScript(dir string) {
	files := map[string][]string{}
	for _, name := range sortedKeys(types) {
		file, _ := fileOf(name)
		files[file] = append(files[file], name)
	}
	for _, file := range sortedKeys(files) {
		imports := map[string]map[string]bool{}
		var body strings.Builder
		for _, name := range files[file] {
			_, short := fileOf(name)
			extends := []string{}
			var lines strings.Builder
			if kinds[name] != "" {
				lines.WriteString("  readonly apiVersion?: string;\n  readonly kind?: string;\n")
			}
			for _, f := range types[name] {
				ts, ok := scalars[f.Type]
				if !ok {
					otherFile, otherShort := fileOf(f.Type)
					ts = otherShort
					if otherFile != file {
						if imports[otherFile] == nil {
							imports[otherFile] = map[string]bool{}
						}
						imports[otherFile][otherShort] = true
					}
				}
				if f.Inline {
					extends = append(extends, ts)
					continue
				}
				if f.List {
					if strings.ContainsAny(ts, " |") {
						ts = "(" + ts + ")"
					}
					ts = "readonly " + ts + "[]"
				}
				if f.Map {
					ts = "Readonly<Record<string, " + ts + ">>"
				}
				optional := "?"
				if f.Required {
					optional = ""
				}
				key := f.Name
				if strings.ContainsAny(key, "-$") {
					key = strconv.Quote(key)
				}
				fmt.Fprintf(&lines, "  readonly %s%s: %s;\n", key, optional, ts)
			}
			body.WriteString("\nexport interface " + short)
			if len(extends) > 0 {
				body.WriteString(" extends " + strings.Join(extends, ", "))
			}
			body.WriteString(" {\n" + lines.String() + "}\n")
		}
		var head strings.Builder
		head.WriteString("// Generated by scripts/generate from k8s.io/api; do not edit.\n")
		for _, other := range sortedKeys(imports) {
			fmt.Fprintf(&head, "import type { %s } from \"./%s.generated.ts\";\n", strings.Join(sortedKeys(imports[other]), ", "), other)
		}
		must(os.WriteFile(filepath.Join(dir, file+".generated.ts"), []byte(head.String()+body.String()), 0o644))
	}
}
