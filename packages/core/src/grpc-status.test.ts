import assert from "node:assert/strict";
import { test } from "node:test";
import { grpcStatus, grpcStatusNames, grpcStatusNumbers } from "./grpc-status.ts";

test("names and numbers agree", () => {
  assert.equal(grpcStatusNames[grpcStatus.deadlineExceeded], "DEADLINE_EXCEEDED");
  assert.equal(grpcStatusNames[0], "OK");
  assert.equal(grpcStatusNumbers.get("UNAUTHENTICATED"), 16);
  assert.equal(grpcStatusNumbers.size, 17);
});
