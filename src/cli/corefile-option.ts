import { isCorefileError } from "../../dns/corefile/errors.ts";
import { type LoadedCorefile, loadCorefile } from "../../dns/server/corefile-file.ts";
import { inputError } from "./errors.ts";
import { readOption } from "./file-options.ts";

/** The Corefile that an option names. Throws an input error that names the option, and file and line of what is wrong. */
export function checkedCorefile(option: string, file: string): LoadedCorefile {
  readOption(option, file);
  try {
    return loadCorefile(file);
  } catch (error) {
    throw isCorefileError(error) ? inputError(`${option} ${error.message}`, error) : error;
  }
}
