/** The words configurations and requests are made of: few, so that they meet, and near each other, so that they miss. */
export const paths = ["/", "/a", "/a/", "/a/b", "/ab", "/A", "/api/v1", "/api/v22/x", "/status/503", "/status/404"];
export const prefixes = ["/", "/a", "/a/", "/api/", "/API", "/status"];
export const regexes = ["/api/v[0-9]+/.*", "/a.*", "/(a|b)", "/status/5[0-9][0-9]", ".*"];
export const methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"];
export const headerNames = ["x-user", "x-canary", "cookie", "x-empty"];
export const headerValues = ["alice", "bob", "Alice", "alice2", "true", ""];
export const queryNames = ["q", "debug"];
export const queryValues = ["1", "true", "", "10"];
export const origins = ["https://good.example", "https://bad.example", "http://good.example"];
export const versions = ["v1", "v2", "v3"];
export const hashHeader = "x-user";
/** A service nobody knows, one that refuses connections, and one without endpoints. */
export const brokenHosts = ["nowhere.example", "dead.example", "empty.example"];
