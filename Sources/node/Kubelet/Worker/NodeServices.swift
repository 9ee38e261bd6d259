// Everything that a pod's worker acts through, in one value that all workers of a node share.

import Containers
import HTTP
import Logging
import Objects
import PodNetwork
import System

struct NodeServices: Sendable {
    var config: KubeletConfig
    var runtime: any ContainerRuntime
    var images: any ImageProvider
    var network: any PodNetworking
    var prober: any Prober
    var objects: any ObjectLookup
    var sink: any PodSink
    var drain: EndpointDrain
    /// The default seccomp filter for a set of capabilities.
    var seccomp: SeccompFilter
    var allocatable: Allocatable
    /// Whether a pod here may have so much. What is reserved is to be released once the pod holds it, or does not want
    /// it any more.
    var room: @Sendable (_ podUID: String, _ wanted: ContainerResources) async -> NodeRoom.Answer
    var releaseRoom: @Sendable (NodeRoom.Reservation) async -> Void
    var logger: Logger

    var host: HostFacts { HostFacts(addresses: config.addresses.map(\.description)) }
}

extension Moment {
    private static let start = ContinuousClock.now

    static var now: Moment { Moment(wall: .now(), uptime: start.duration(to: ContinuousClock.now)) }
}
