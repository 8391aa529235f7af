/** Why an API server could not start, by code. The subject (an address, a file) stands before it. */
export const startErrors = {
  addressInUse: "the address is in use by another program; stop that one, or choose another port",
  addressNotHere: "no interface of this machine has that address",
  addressNotAllowed: "this user may not listen there; choose a port above 1023",
  badCertificate: "no usable certificate and key in PEM",
  badClientCa: "no certificate in PEM",
  badTokenFile: 'not in the form token,user,uid[,"group1,group2"]',
  badDataDir: "the data directory cannot be used",
  badServiceRange: "not usable as a range of Service addresses",
} as const;

export type StartErrorCode = keyof typeof startErrors;

export class StartError extends Error {
  override readonly name = "StartError";
  readonly code: StartErrorCode;

  constructor(code: StartErrorCode, subject: string, cause?: unknown) {
    super(`${subject}: ${startErrors[code]}${cause instanceof Error ? ` (${cause.message})` : ""}`, { cause });
    this.code = code;
  }
}
