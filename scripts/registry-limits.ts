/** The bounds of outside registries, from the code that holds them. */

import { judgementsWaitingMax, objectsJudgedMax } from "@weft/control/admission/validate-object";
import { reviewsMax } from "@weft/control/ca/service-account-tokens";
import { answerBytesMax as consulAnswerBytesMax } from "@weft/control/registries/consul/consul-calls";
import { readsAtOnceMax, watchesDefault } from "@weft/control/registries/consul/consul-session";
import { sweepsPerTick, sweepTickMs } from "@weft/control/registries/consul/consul-sweep";
import { valueBytesMax } from "@weft/control/registries/etcd/etcd-record";
import { readingStartMs } from "@weft/control/registries/kubernetes/clusters";
import { quietMsDefault } from "@weft/control/registries/kubernetes/liveness";
import { podWaitMs } from "@weft/control/registries/kubernetes/pod-waits";
import { collectionObjectsMax, pageSize, silenceMs } from "@weft/control/registries/kubernetes/reflector";
import { askedAtOnceMax } from "@weft/control/registries/nacos/nacos-follow";
import { nacosLimits } from "@weft/control/registries/nacos/nacos-services";
import { expiryWindowMs } from "@weft/control/registries/outside/expiries";
import { flapQuietMs, flapTimes, flapWindowMs } from "@weft/control/registries/outside/flaps";
import { holdMs, sourceInstancesMax } from "@weft/control/registries/outside/held-instances";
import { labelCharsMax, labelsMax } from "@weft/control/registries/outside/instance-problem";
import { writeEveryMs, writingShare } from "@weft/control/registries/outside/last-good-file";
import { registriesMax } from "@weft/control/registries/outside/named-registries";
import { targetsMax } from "@weft/control/registries/outside/named-targets";
import { firstAnswerMs } from "@weft/control/registries/outside/outside-registries";
import { serviceInstancesMax } from "@weft/control/registries/outside/outside-view";
import { addressesMax } from "@weft/control/registries/outside/registry-url";
import { unreadableMax } from "@weft/control/registries/outside/unreadable-records";
import { refusalsMax, writesAtOnceMax, writtenInstancesMax } from "@weft/control/registries/outside/write-back";
import { writtenTtlMs } from "@weft/control/registries/outside/write-session";
import { zookeeperLimits } from "@weft/control/registries/zookeeper/limits";
import { commandTimeoutMs } from "@weft/net/kubernetes/kubernetes-access";
import { bodyBytesMax, callSocketsMax, watchSocketsMax } from "@weft/net/kubernetes/kubernetes-api";
import { lineBytesMax } from "@weft/net/kubernetes/watch-lines";
import { answerBytesMax } from "@weft/protocols/nacos/answers";
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
    ["instances of a service in ZooKeeper", String(zookeeperLimits.instancesPerServiceMax)],
    ["requests to ZooKeeper not answered yet", String(zookeeperLimits.windowMax)],
    ["an answer of ZooKeeper, unless `frame-bytes-max` says otherwise", size(frameBytesMaxDefault)],
    ["services of Consul that a query waits on, unless `watches` says otherwise", String(watchesDefault)],
    ["other services of Consul read in a second", String((sweepsPerTick * 1_000) / sweepTickMs)],
    ["services of Consul read at once after it connected", String(readsAtOnceMax)],
    ["an answer of Consul", size(consulAnswerBytesMax)],
    ["services in Nacos", String(nacosLimits.servicesMax)],
    ["instances of a service in Nacos", String(nacosLimits.instancesPerServiceMax)],
    ["services that Nacos is asked for at once", String(askedAtOnceMax)],
    ["an answer of Nacos", size(answerBytesMax)],
    ["objects of one kind in a Kubernetes cluster", String(collectionObjectsMax)],
    ["a page of a Kubernetes list", `${pageSize} objects`],
    ["an answer of Kubernetes", size(bodyBytesMax)],
    ["a line of a Kubernetes watch", size(lineBytesMax)],
    ["a Kubernetes watch that says nothing", time(silenceMs)],
    ["… and all of them together, before the server counts as gone", time(1.5 * quietMsDefault)],
    [
      "a Kubernetes API server is asked whether it is there, unless `probe-after-ms` says otherwise",
      `every ${time(quietMsDefault)}`,
    ],
    ["connections to a Kubernetes API server", `${callSocketsMax}, and one a watch to ${watchSocketsMax}`],
    ["an address waits for its pod", time(podWaitMs)],
    ["pods' tokens that a Kubernetes API server is asked about at once", String(reviewsMax)],
    ["objects beside which one is judged at admission; beside more it is judged alone", String(objectsJudgedMax)],
    ["… and as long as fewer analyses than these have not ended", String(judgementsWaitingMax)],
    ["a kubeconfig's credential program", time(commandTimeoutMs)],
    ["a start waits for a Kubernetes cluster that answers and is still being read", time(readingStartMs)],
    ["unreadable records remembered", String(unreadableMax)],
    ["registries that are written into", String(targetsMax)],
    ["records written into one of them", String(writtenInstancesMax)],
    ["writes to one of them at once", String(writesAtOnceMax)],
    ["what is written stands without renewal", time(writtenTtlMs)],
    ["refused records remembered", String(refusalsMax)],
    ["a start waits for the first answer of a registry nothing was kept of", time(firstAnswerMs)],
    ["least time between two writes of a last good view", time(writeEveryMs)],
    ["… and the share of the time that writing takes", percent(writingShare)],
  ].map(([what = "", value = ""]) => [what, value, "fixed"]);
};
