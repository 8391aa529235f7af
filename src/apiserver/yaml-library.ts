/** What YAML needs, in a file of its own: it is loaded when somebody first sends or asks for YAML, which kubectl does not. */
export { parse as parseYaml, stringify as printYaml } from "yaml";
