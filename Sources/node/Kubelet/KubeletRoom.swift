// Room on the node for pods that are resized.

extension Kubelet {
    /// Whether a pod may have so much beside the others. What is reserved is kept for it until `releaseRoom`.
    func room(_ uid: String, _ wanted: ContainerResources) async -> NodeRoom.Answer {
        let facts = await NodeFacts.now(dataDirectory: config.dataDirectory)
        let capacity = NodeRoom.Capacity(
            cpu: max(0, Int64(facts.cpus) * 1000 - config.reservedMilliCPU),
            memory: max(0, facts.memory - config.reservedMemory))
        while true {
            let version = nodeRoom.version
            var held: [String: ContainerResources] = [:]
            for (other, worker) in workers where other != uid { held[other] = await worker.requests }
            // Each round that is in vain is one in which another resize got on.
            guard nodeRoom.version == version else { continue }
            return nodeRoom.reserve(uid, wanted, held: held, of: capacity)
        }
    }

    func releaseRoom(_ reservation: NodeRoom.Reservation) { nodeRoom.release(reservation) }
}
