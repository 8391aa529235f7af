import type { ScalarTag } from "yaml";

/** YAML 1.1 wrote octal as 0644, and manifests still do (`defaultMode: 0400`). */
export const octalNumber: ScalarTag = {
  tag: "tag:yaml.org,2002:int",
  default: true,
  test: /^[-+]?0[0-7]+$/,
  resolve: (text) => Number.parseInt(text, 8),
  stringify: ({ value }) => String(value),
};

/** The words of YAML 1.1, which Kubernetes' components read their configuration by. */
export const booleanWord: ScalarTag = {
  tag: "tag:yaml.org,2002:bool",
  default: true,
  test: /^(?:y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF)$/,
  resolve: (text) => /^(?:y|on)/i.test(text),
  stringify: ({ value }) => String(value),
};
