// Which ports of a Service a question is about, and where they lead: a description to walk over, because the pairs of
// endpoints and ports may be far more than anybody wants to have as records.

struct ServicePorts {
    /// Ports that all lead to the same targets.
    struct Group {
        let ports: [ServiceNames.Port]
        /// Of the targets.
        let count: Int
        /// A target's name and its addresses; nil when the name would be too long.
        let target: (Int) -> (name: DNSName, addresses: [Record])?
    }

    private let groups: [Group]
    /// Pairs of ports and targets; not 0 unless the question is about all ports, or about none.
    let total: Int

    /// - Parameter front: what stands before the Service's name: nothing, "_tcp", or "_http" and "_tcp".
    /// Nil when there is no such name.
    init?(_ front: [String], _ all: [Group]) {
        switch front.count {
        case 0: groups = all
        case 1:
            let exists = all.contains { group in
                group.count > 0 && group.ports.contains { !$0.name.isEmpty && "_\($0.transport)" == front[0] }
            }
            guard exists else { return nil }
            groups = []
        case 2:
            guard front[0].hasPrefix("_"), front[0].utf8.count > 1, front[1].hasPrefix("_") else { return nil }
            let (name, transport) = (front[0].dropFirst(), front[1].dropFirst())
            groups = all.map { group in
                let ports = group.ports.filter { $0.transport == transport && $0.name.lowercased() == name }
                return Group(ports: ports, count: group.count, target: group.target)
            }.filter { !$0.ports.isEmpty && $0.count > 0 }
            guard !groups.isEmpty else { return nil }
        default: return nil
        }
        total = groups.reduce(0) { $0 + $1.ports.count * $1.count }
    }

    /// Walks over the pairs, over as many as an answer can hold: more would only take time, which strangers may not
    /// have at will. `turn` says with which target it begins when that leaves some out.
    func forEach(_ turn: Int, _ body: (ServiceNames.Port, DNSName, [Record]) -> Void) {
        let begin = total > Answer.mostRecords ? turn : 0
        var left = Answer.mostRecords
        for index in groups.indices {
            let group = groups[Self.turned(index, begin, groups.count)]
            for index in 0..<group.count {
                guard left > 0 else { return }
                guard let target = group.target(Self.turned(index, begin, group.count)) else {
                    left -= 1
                    continue
                }
                for port in group.ports.prefix(left) { body(port, target.name, target.addresses) }
                left -= max(1, min(left, group.ports.count))
            }
        }
    }

    private static func turned(_ index: Int, _ turn: Int, _ count: Int) -> Int {
        (index + Int(UInt(bitPattern: turn) % UInt(count))) % count
    }
}
