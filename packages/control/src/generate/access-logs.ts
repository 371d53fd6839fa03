/** The access log as the mesh asks for it. */
import type { AccessLogJson } from "@weft/xds/gen/envoy/config/accesslog/v3/accesslog";
import { any } from "@weft/xds/resource";
import type { MeshSettings } from "../model/mesh-settings.ts";

const textFormat =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% " +
  '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ' +
  '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/** The same as an object, by Istio's names. */
const jsonFormat: Readonly<Record<string, string>> = {
  start_time: "%START_TIME%",
  route_name: "%ROUTE_NAME%",
  method: "%REQ(:METHOD)%",
  path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  protocol: "%PROTOCOL%",
  response_code: "%RESPONSE_CODE%",
  response_flags: "%RESPONSE_FLAGS%",
  response_code_details: "%RESPONSE_CODE_DETAILS%",
  connection_termination_details: "%CONNECTION_TERMINATION_DETAILS%",
  bytes_received: "%BYTES_RECEIVED%",
  bytes_sent: "%BYTES_SENT%",
  duration: "%DURATION%",
  upstream_service_time: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
  x_forwarded_for: "%REQ(X-FORWARDED-FOR)%",
  user_agent: "%REQ(USER-AGENT)%",
  request_id: "%REQ(X-REQUEST-ID)%",
  authority: "%REQ(:AUTHORITY)%",
  upstream_host: "%UPSTREAM_HOST%",
  upstream_cluster: "%UPSTREAM_CLUSTER_RAW%",
  upstream_local_address: "%UPSTREAM_LOCAL_ADDRESS%",
  downstream_local_address: "%DOWNSTREAM_LOCAL_ADDRESS%",
  downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%",
  requested_server_name: "%REQUESTED_SERVER_NAME%",
  upstream_transport_failure_reason: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
};

export type AccessLogSettings = Pick<MeshSettings, "accessLogFile" | "accessLogFormat" | "accessLogEncoding">;

/** An object of formats, or Istio's own where the text is none. */
const objectFormat = (text: string): Readonly<Record<string, unknown>> => {
  if (text === "") return jsonFormat;
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : jsonFormat;
  } catch {
    return jsonFormat;
  }
};

/** None unless the mesh names a file. A line of text ends, whether or not its format says so. */
export const accessLog = ({
  accessLogFile,
  accessLogFormat,
  accessLogEncoding,
}: AccessLogSettings): AccessLogJson[] => {
  if (accessLogFile === "") return [];
  const text = accessLogFormat === "" ? textFormat : accessLogFormat;
  const logFormat =
    accessLogEncoding === "JSON"
      ? { jsonFormat: objectFormat(accessLogFormat) }
      : { textFormatSource: { inlineString: text.endsWith("\n") ? text : `${text}\n` } };
  const config = any("envoy.extensions.access_loggers.file.v3.FileAccessLog", { path: accessLogFile, logFormat });
  return [{ name: "envoy.access_loggers.file", typedConfig: config }];
};
