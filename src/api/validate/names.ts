/**
 * Checks of names and texts. Each gives the details Kubernetes prints, none when the text is right; the caller makes
 * field errors of them.
 */
export type TextCheck = (text: string) => readonly string[];

const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const subdomain = `${label}(\\.${label})*`;
const qualified = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const labelExpression = new RegExp(`^${label}$`);
const subdomainExpression = new RegExp(`^${subdomain}$`);
const qualifiedExpression = new RegExp(`^${qualified}$`);

export const dns1123Label: TextCheck = (text) => [
  ...lengthOf(text, 63),
  ...(labelExpression.test(text)
    ? []
    : [
        subdomainExpression.test(text)
          ? "must not contain dots"
          : `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${label}')`,
      ]),
];

export const dns1123Subdomain: TextCheck = (text) => [
  ...lengthOf(text, 253),
  ...(subdomainExpression.test(text)
    ? []
    : [
        `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${subdomain}')`,
      ]),
];

/** What Service names must be: also the first character is a letter. */
export const dns1035Label: TextCheck = (text) => [
  ...lengthOf(text, 63),
  ...(/^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(text)
    ? []
    : [
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
      ]),
];

/** A host of an Ingress rule that begins with `*.`. */
export const wildcardSubdomain: TextCheck = (text) =>
  new RegExp(`^\\*\\.${subdomain}$`).test(text)
    ? lengthOf(text, 253)
    : [
        ...lengthOf(text, 253),
        `a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.${subdomain}')`,
      ];

/** A label or annotation key: an optional DNS prefix, a slash, a name. */
export const qualifiedName: TextCheck = (text) => {
  const parts = text.split("/");
  const errors: string[] = [];
  if (parts.length > 2) {
    return [
      `a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${qualified}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const name = parts.at(-1) ?? "";
  if (parts.length === 2) {
    const prefix = parts[0] ?? "";
    if (prefix === "") errors.push("prefix part must be non-empty");
    else errors.push(...dns1123Subdomain(prefix).map((e) => `prefix part ${e}`));
  }
  if (name === "") errors.push("name part must be non-empty");
  else if (name.length > 63) errors.push("name part must be no more than 63 bytes");
  if (!qualifiedExpression.test(name)) {
    errors.push(
      `name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${qualified}')`,
    );
  }
  return errors;
};

export const labelValue: TextCheck = (text) => [
  ...(Buffer.byteLength(text) > 63 ? ["must be no more than 63 bytes"] : []),
  ...(text === "" || qualifiedExpression.test(text)
    ? []
    : [
        `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(${qualified})?')`,
      ]),
];

export const portName: TextCheck = (text) => [
  ...lengthOf(text, 15),
  ...(/^[-a-z0-9]+$/.test(text) ? [] : ["must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"]),
  ...(/[a-z]/.test(text) ? [] : ["must contain at least one letter (a-z)"]),
  ...(text.includes("--") ? ["must not contain consecutive hyphens"] : []),
  ...(text.startsWith("-") || text.endsWith("-") ? ["must not begin or end with a hyphen"] : []),
];

/** A key of a ConfigMap or Secret: it may become a file name. */
export const configMapKey: TextCheck = (text) => [
  ...lengthOf(text, 253),
  ...(/^[-._a-zA-Z0-9]+$/.test(text)
    ? []
    : [
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
      ]),
  ...parentPath(text),
];

/** Since Kubernetes 1.34 any printable ASCII but `=` will do. */
export const environmentName: TextCheck = (text) => [
  ...(text === "" ? ["environment variable name must be non-empty"] : []),
  ...(/^[ -<>-~]*$/.test(text) ? [] : ["a valid environment variable name must consist only of printable ASCII characters other than '='"]),
];

export const httpHeaderName: TextCheck = (text) =>
  /^[-A-Za-z0-9]+$/.test(text)
    ? []
    : [
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
      ];

export const percent: TextCheck = (text) =>
  /^[0-9]+%$/.test(text)
    ? []
    : [
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
      ];

/** A name that becomes one segment of a path. */
export const pathSegment: TextCheck = (text) => {
  if (text === "." || text === "..") return [`may not be '${text}'`];
  return ["/", "%"].filter((c) => text.includes(c)).map((c) => `may not contain '${c}'`);
};

export function portNumber(port: number): readonly string[] {
  return inRange(port, 1, 65_535);
}

export function inRange(value: number, low: number, high: number): readonly string[] {
  return value >= low && value <= high ? [] : [`must be between ${low} and ${high}, inclusive`];
}

function parentPath(text: string): readonly string[] {
  if (text === "." || text === "..") return [`must not be '${text}'`];
  return text.startsWith("..") ? ["must not start with '..'"] : [];
}

function lengthOf(text: string, max: number): readonly string[] {
  return Buffer.byteLength(text) > max ? [`must be no more than ${max} characters`] : [];
}
