// A node without an API server: a folder of manifests, and what a kubelet there acts through. It outlives its kubelets as
// a machine outlives noded, so a test runs one after the other on it.

import Kernel
import Logging
import System

@testable import Kubelet

struct StandaloneNode {
    /// One pod, a, with one container, app.
    static let pod = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: app, image: web}]}\n"

    let folder: String
    let runtime = FakeRuntime()
    let network: FakeNetwork
    let prober = FakeProber()

    init(_ folder: String, network: FakeNetwork = FakeNetwork()) throws {
        self.folder = folder
        self.network = network
        try Files.makeDirectory("\(folder)/manifests")
        try Files.makeDirectory("\(folder)/data")
    }

    var source: StaticPodSource { Self.source(folder) }

    static func source(_ folder: String) -> StaticPodSource {
        StaticPodSource(directory: "\(folder)/manifests", nodeName: "n1", logger: .quiet)
    }

    func write(_ name: String, _ manifest: String = StandaloneNode.pod) throws {
        try Files.writeAtomically("\(folder)/manifests/\(name).yaml", manifest)
    }

    func remove(_ name: String) throws { try Files.remove("\(folder)/manifests/\(name).yaml") }

    /// Runs a new kubelet for the length of `body`.
    func run<T>(_ body: (Kubelet) async throws -> T) async throws -> T {
        let kubelet = Kubelet(.node(folder), runtime: runtime, network: network, prober: prober)
        let running = Task { [source] in try await kubelet.run(manifests: source) }
        do {
            let result = try await body(kubelet)
            running.cancel()
            _ = await running.result
            return result
        } catch {
            running.cancel()
            _ = await running.result
            throw error
        }
    }
}
