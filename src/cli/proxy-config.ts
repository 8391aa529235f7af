import { type ProxyConfiguration, printFault } from "../../rules/config/proxy-configuration.ts";
import { modeOf } from "../../rules/config/settings.ts";
import { parseProxyConfigurationText } from "../../rules/config/text.ts";
import { type BackendChoice, backendChoices, isBackendChoice } from "../../rules/model/backend.ts";
import { inputError } from "./errors.ts";
import { readOption } from "./file-options.ts";

/** The KubeProxyConfiguration that an option names. Throws an input error that names option, file and every bad field. */
export function readProxyConfig(option: string, file: string): ProxyConfiguration {
  const { configuration, faults } = parseProxyConfigurationText(readOption(option, file));
  if (faults.length > 0) throw inputError(`${option} ${file}: ${faults.map(printFault).join("; ")}`);
  backendOfConfig(option, file, configuration);
  return configuration;
}

/** The backend that a configuration names; `auto` where it names none. */
export function backendOfConfig(option: string, file: string, c: ProxyConfiguration): BackendChoice {
  const mode: string = modeOf(c);
  if (!isBackendChoice(mode)) throw inputError(`${option} ${file}: mode: ${mode}: there are ${backendChoices.join(", ")} here`);
  return mode;
}
