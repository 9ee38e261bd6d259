// Which changes of a pod its volumes show.

import Objects
import Testing

@testable import Kubelet

@Suite struct PodReflectionTests {
    private static func pod(
        _ volumes: String, labels: String = "{}", limit: String = "1", status: String = "a"
    ) throws -> JSON {
        try yaml(
            """
            metadata: {name: p, labels: \(labels)}
            spec:
              containers: [{name: c, resources: {limits: {cpu: \(limit)}}}]
              volumes: [\(volumes)]
            status: {phase: \(status)}
            """)
    }

    @Test(arguments: [
        "{name: v, downwardAPI: {items: []}}", "{name: v, projected: {sources: [{downwardAPI: {items: []}}]}}",
    ])
    func labelsAndResourcesAreShown(_ volume: String) throws {
        let pod = try Self.pod(volume)
        #expect(PodReflection.differs(pod, try Self.pod(volume, labels: "{a: b}")))
        #expect(PodReflection.differs(pod, try Self.pod(volume, limit: "2")))
        #expect(!PodReflection.differs(pod, try Self.pod(volume, status: "Running")))
    }

    @Test func otherVolumesShowNothing() throws {
        let volume = "{name: v, projected: {sources: [{configMap: {name: x}}]}}"
        #expect(!PodReflection.differs(try Self.pod(volume), try Self.pod(volume, labels: "{a: b}")))
    }
}
