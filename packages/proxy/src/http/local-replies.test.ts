import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { test } from "node:test";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

const status = (op: string, value: number): object => ({
  statusCodeFilter: { comparison: { op, value: { defaultValue: value, runtimeKey: "none" } } },
});
const direct = {
  name: "all",
  domains: ["*"],
  routes: [
    { match: { path: "/teapot" }, directResponse: { status: 418, body: { inlineString: "short" } } },
    { match: { path: "/moved" }, redirect: { pathRedirect: "/new" } },
    { match: { path: "/empty" }, directResponse: { status: 404 } },
  ],
};

const open = async (localReplyConfig: object) => {
  const all = openPlane();
  await all.put(routes([direct]), listener("in", [hcm({ localReplyConfig })]));
  const ask = (path: string, method = "GET") =>
    new Promise<{ status: number; body: string; headers: NodeJS.Dict<string | string[]> }>((resolve, reject) => {
      const asked = request({ port: all.portOf("in"), path, method, agent: false }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => {
          body += text;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }));
      });
      asked.on("error", reject);
      asked.end();
    });
  return { ...all, ask };
};

test("the first mapper that takes an answer changes its status, its body and its headers", async () => {
  await using all = await open({
    mappers: [
      {
        filter: status("GE", 500),
        body: { inlineString: "never" },
      },
      {
        filter: status("EQ", 404),
        statusCode: 499,
        body: { inlineString: "nothing here" },
        headersToAdd: [{ header: { key: "x-why", value: "%RESPONSE_CODE_DETAILS%" } }],
      },
      { filter: status("GE", 400), statusCode: 410 },
    ],
  });
  const answer = await all.ask("/nowhere");
  assert.deepEqual([answer.status, answer.body], [499, "nothing here"]);
  assert.equal(answer.headers["x-why"], "route_not_found");
  assert.equal(answer.headers["content-length"], "12");
  assert.equal((await all.ask("/teapot")).status, 410);
  assert.equal((await all.ask("/teapot")).body, "short");
});

test("a text format sees the answer it stands for, and its own content type", async () => {
  await using all = await open({
    bodyFormat: {
      textFormatSource: { inlineString: "<b>%LOCAL_REPLY_BODY%</b> %RESPONSE_CODE% %REQ(:PATH)%" },
      contentType: "text/html; charset=UTF-8",
    },
  });
  const answer = await all.ask("/teapot");
  assert.equal(answer.body, "<b>short</b> 418 /teapot");
  assert.equal(answer.headers["content-type"], "text/html; charset=UTF-8");
  assert.equal(answer.status, 418);
});

test("a JSON format is JSON, also around a body with quotes, and a mapper's own comes first", async () => {
  await using all = await open({
    mappers: [
      { filter: status("EQ", 404), body: { inlineString: 'a "quoted" word' } },
      { filter: status("EQ", 418), bodyFormatOverride: { textFormatSource: { inlineString: "own" } } },
    ],
    bodyFormat: { jsonFormat: { error: "%LOCAL_REPLY_BODY%", code: "%RESPONSE_CODE%" } },
  });
  const answer = await all.ask("/nowhere");
  assert.deepEqual(JSON.parse(answer.body), { error: 'a "quoted" word', code: 404 });
  assert.equal(answer.headers["content-type"], "application/json");
  assert.equal((await all.ask("/teapot")).body, "own");
});

test("the format sees the status as it was rewritten", async () => {
  await using all = await open({
    mappers: [{ filter: status("EQ", 418), statusCode: 503 }],
    bodyFormat: { textFormatSource: { inlineString: "%RESPONSE_CODE%" } },
  });
  const answer = await all.ask("/teapot");
  assert.deepEqual([answer.status, answer.body], [503, "503"]);
});

test("a redirect keeps its place", async () => {
  await using all = await open({ mappers: [{ filter: status("EQ", 301), statusCode: 308 }] });
  const answer = await all.ask("/moved");
  assert.equal(answer.status, 308);
  assert.match(String(answer.headers.location), /\/new$/);
});

test("HEAD gets the length and no body", async () => {
  await using all = await open({ bodyFormat: { textFormatSource: { inlineString: "12345" } } });
  const answer = await all.ask("/teapot", "HEAD");
  assert.deepEqual([answer.body, answer.headers["content-length"]], ["", "5"]);
});

test("a gRPC call gets the rewritten status as its own and the body as its message", async () => {
  await using all = await open({
    mappers: [{ filter: status("EQ", 404), statusCode: 403, body: { inlineString: "not yours" } }],
  });
  const client = connectHttp2(`http://127.0.0.1:${all.portOf("in")}`);
  const call = client.request({ ":method": "POST", ":path": "/a.B/C", "content-type": "application/grpc" });
  const [headers] = (await once(call, "response")) as [Record<string, unknown>];
  assert.deepEqual([headers[":status"], headers["grpc-status"], headers["grpc-message"]], [200, "7", "not yours"]);
  client.destroy();
});

test("an upstream's answer is left alone", async () => {
  await using app = await openServer((socket) =>
    socket.on("data", () => socket.write("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno")),
  );
  const all = await open({ mappers: [{ filter: status("EQ", 404), statusCode: 200 }] });
  await using _all = all;
  await all.put(cluster("app", [app.port]), routes([toCluster("app")]));
  const answer = await all.ask("/");
  assert.deepEqual([answer.status, answer.body], [404, "no"]);
});

test("what cannot be honoured is refused at its field", () => {
  const { plane } = openPlane();
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ mappers: [{ statusCode: 500 }] }, /mappers\[0\]\.filter: is required/],
    [{ mappers: [{ filter: status("EQ", 1), statusCode: 700 }] }, /mappers\[0\]\.statusCode: must be/],
    [{ mappers: [{ filter: status("EQ", 1), body: { filename: "/etc/passwd" } }] }, /body\.filename: is not supported/],
    [{ mappers: [{ filter: status("EQ", 1), body: { inlineString: "x".repeat(5000) } }] }, /body: is larger/],
    [{ bodyFormat: { textFormatSource: { inlineString: "%NONSENSE%" } } }, /bodyFormat/],
  ];
  for (const [localReplyConfig, problem] of cases) {
    const reason = plane.check(listener("in", [hcm({ localReplyConfig })]))?.reason ?? "accepted";
    assert.match(reason, problem);
    assert.match(reason, /localReplyConfig/);
  }
});
