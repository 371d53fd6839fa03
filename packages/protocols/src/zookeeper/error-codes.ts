/** What a server answers in place of a result; the numbers are ZooKeeper's. */
export const zookeeperError = {
  ok: 0,
  systemError: -1,
  marshalling: -5,
  unimplemented: -6,
  badArguments: -8,
  noNode: -101,
  noAuth: -102,
  nodeExists: -110,
  notEmpty: -111,
  sessionExpired: -112,
  authFailed: -115,
  sessionMoved: -118,
  notReadOnly: -119,
  throttled: -127,
} as const;

const words: ReadonlyMap<number, string> = new Map([
  [zookeeperError.systemError, "the server failed"],
  [zookeeperError.marshalling, "the server cannot read the request"],
  [zookeeperError.unimplemented, "the server does not know the operation"],
  [zookeeperError.badArguments, "the server refuses the arguments"],
  [zookeeperError.noNode, "there is no such node"],
  [zookeeperError.noAuth, "the login may not read the node"],
  [zookeeperError.nodeExists, "there is such a node"],
  [zookeeperError.notEmpty, "the node has others below it"],
  [zookeeperError.sessionExpired, "the session has expired"],
  [zookeeperError.authFailed, "the login was refused"],
  [zookeeperError.sessionMoved, "the session has moved to another server"],
  [zookeeperError.notReadOnly, "the server has no quorum and only reads"],
  [zookeeperError.throttled, "the server sheds load"],
]);

export const errorInWords = (code: number): string => words.get(code) ?? `the server answered error ${code}`;
