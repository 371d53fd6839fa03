/** Tells a server that speaks HTTP by nature from one that greets its clients, by the first bytes the server sent. */

/** `http`: it answers clients, so the client's bytes must still say what the connection is. `greeting`: it spoke first. */
export type DetectedGreeting = "http" | "greeting" | "need-more";

/** Enough for every decision: more bytes never change it. */
export const greetingBytesMax = 9;

/** An HTTP/1 server says this to a client that was silent for too long: 408. */
const http1 = Buffer.from("HTTP/1.", "latin1");
const settingsType = 4;
const settingBytes = 6;
/** RFC 9113 section 6.5.2 and its extensions define fewer than this. */
const settingsMax = 32;

/** `need-more` only while the bytes can still become what an HTTP server sends unasked. Never throws. */
export const detectGreeting = (bytes: Buffer): DetectedGreeting => {
  const compared = Math.min(bytes.length, http1.length);
  if (bytes.subarray(0, compared).equals(http1.subarray(0, compared))) {
    return compared === http1.length ? "http" : "need-more";
  }
  return isSettings(bytes);
};

/** RFC 9113 section 3.4: a server may send its SETTINGS frame before it has read anything. */
const isSettings = (bytes: Buffer): DetectedGreeting => {
  for (let at = 0; at < bytes.length && at < greetingBytesMax; at++) {
    const byte = bytes[at] as number;
    if (at === 2 ? byte % settingBytes !== 0 || byte > settingsMax * settingBytes : byte !== settingsHeader[at]) {
      return "greeting";
    }
  }
  return bytes.length < greetingBytesMax ? "need-more" : "http";
};

const settingsHeader: readonly number[] = [0, 0, 0, settingsType, 0, 0, 0, 0, 0];
