/** The bounds of outside registries, from the code that holds them. */

import { valueBytesMax } from "@weft/control/registries/etcd/etcd-record";
import { expiryWindowMs } from "@weft/control/registries/outside/expiries";
import { flapQuietMs, flapTimes, flapWindowMs } from "@weft/control/registries/outside/flaps";
import { holdMs, sourceInstancesMax, unreadableMax } from "@weft/control/registries/outside/held-instances";
import { labelCharsMax, labelsMax } from "@weft/control/registries/outside/instance-problem";
import { writeEveryMs, writingShare } from "@weft/control/registries/outside/last-good-file";
import { registriesMax } from "@weft/control/registries/outside/named-registries";
import { firstAnswerMs } from "@weft/control/registries/outside/outside-registries";
import { serviceInstancesMax } from "@weft/control/registries/outside/outside-view";
import { addressesMax } from "@weft/control/registries/outside/registry-url";
import { zookeeperLimits } from "@weft/control/registries/zookeeper/limits";
import { frameBytesMaxDefault } from "@weft/protocols/zookeeper/limits";

/** Rows of what, value and what changes it: nothing, all of them. */
export const registryRows = (print: {
  readonly size: (bytes: number) => string;
  readonly time: (ms: number) => string;
  readonly percent: (share: number) => string;
}): readonly (readonly [what: string, value: string, change: string])[] => {
  const { size, time, percent } = print;
  return [
    ["an instance that seems gone is held", time(holdMs)],
    ["expiries of a service that count together", time(expiryWindowMs)],
    ["an instance flaps when it was taken out", `${flapTimes} times in ${time(flapWindowMs)}`],
    ["… and has to stand then", time(flapQuietMs)],
    ["registries beside weft's own", String(registriesMax)],
    ["addresses of a registry", String(addressesMax)],
    ["instances of a registry", String(sourceInstancesMax)],
    ["instances of one of its services", String(serviceInstancesMax)],
    ["labels of an instance", String(labelsMax)],
    ["characters of a label", String(labelCharsMax)],
    ["a record in etcd", size(valueBytesMax)],
    ["a record in ZooKeeper", size(zookeeperLimits.recordBytesMax)],
    ["services in ZooKeeper", String(zookeeperLimits.servicesMax)],
    ["requests to ZooKeeper not answered yet", String(zookeeperLimits.windowMax)],
    ["an answer of ZooKeeper, unless `frame-bytes-max` says otherwise", size(frameBytesMaxDefault)],
    ["unreadable records remembered", String(unreadableMax)],
    ["a start waits for the first answer of a registry nothing was kept of", time(firstAnswerMs)],
    ["least time between two writes of a last good view", time(writeEveryMs)],
    ["… and the share of the time that writing takes", percent(writingShare)],
  ].map(([what = "", value = ""]) => [what, value, "fixed"]);
};
