// Pods from a folder of manifests (*.yaml, *.yml, *.json; several documents a file): standalone mode.
//
// A pod's uid is made from the node's name and the manifest's content, so that the same manifest is the same pod after
// a restart and its containers are adopted; a changed one is another pod. A manifest that does not parse or validate
// is reported with the API's words and left out; the others run. Changes are noticed by inotify.

import Kernel
public import Logging
import Objects
import System

public actor StaticPodSource {
    public let directory: String
    private let nodeName: String
    private let logger: Logger
    private let registry = Registry()
    private var objects: [String: JSON] = [:]
    private var complaints: Set<String> = []

    public init(directory: String, nodeName: String, logger: Logger) {
        self.directory = directory
        self.nodeName = nodeName
        self.logger = logger
    }

    func object(kind: String, namespace: String, name: String) -> JSON? { objects["\(kind)/\(namespace)/\(name)"] }

    /// Yields the folder's pods, keyed by uid, now and after each change, until the task is cancelled.
    /// Throws `SystemError` when the folder cannot be watched.
    func watch(_ deliver: @Sendable ([String: JSON]) async -> Void) async throws {
        let changes = try FileWatcher.shared.changes(directory)
        var last = read()
        await deliver(last)
        for await _ in changes {
            // Editors write in several steps; a moment makes one change of them.
            try? await Task.sleep(for: .milliseconds(50))
            let pods = read()
            if pods == last { continue }
            last = pods
            await deliver(pods)
        }
    }

    /// All pods of the folder as they are now.
    func read() -> [String: JSON] {
        var pods: [String: JSON] = [:]
        var found: [String: JSON] = [:]
        let names = ((try? Files.list(directory)) ?? []).filter { name in
            !name.hasPrefix(".") && [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
        }
        for name in names.sorted() {
            do {
                let bytes = try Files.read("\(directory)/\(name)", limit: 4 << 20)
                for document in try YAML.parse(bytes) where !document.isNull {
                    try add(document, &pods, &found)
                }
            } catch {
                complain("\(name): \(error)")
            }
        }
        objects = found
        return pods
    }

    private func add(_ document: JSON, _ pods: inout [String: JSON], _ found: inout [String: JSON]) throws {
        let kind = document.text("kind") ?? ""
        let resource: ResourceID
        switch kind {
        case "Pod": resource = .pods
        case "ConfigMap": resource = .configMaps
        case "Secret": resource = .secrets
        default:
            throw KubeletError.unsupported("kind \"\(kind)\" is not for standalone mode: Pod, ConfigMap and Secret are")
        }
        guard let declaration = registry.find(resource) else {
            throw KubeletError.unsupported("no declaration of \(kind)")
        }
        var object = try declaration.decode(document).object
        if object.at("metadata", "namespace")?.string ?? "" == "" { object.set("metadata", "namespace", to: "default") }
        let uid = Self.uid(nodeName, object)
        let given = object.at("metadata", "creationTimestamp")
        declaration.prepareForCreate(&object, uid: uid, now: .now())
        // The same manifest must stay the same value.
        object.set("metadata", "creationTimestamp", to: given)
        let errors = declaration.validateCreate(object)
        if !errors.isEmpty {
            throw KubeletError.badRequest(errors.map { "\($0)" }.joined(separator: "; "))
        }
        let metadata = object.child("metadata")
        let (namespace, name) = (metadata.text("namespace") ?? "default", metadata.text("name") ?? "")
        guard kind == "Pod" else {
            found["\(kind)/\(namespace)/\(name)"] = object
            return
        }
        if pods.values.contains(where: {
            $0.child("metadata").text("name") == name && $0.child("metadata").text("namespace") == namespace
        }) {
            throw KubeletError.badRequest("pod \(namespace)/\(name) is there twice")
        }
        object.set("spec", "nodeName", to: .string(nodeName))
        pods[uid] = object
    }

    private func complain(_ text: String) {
        if complaints.count > 1000 { complaints.removeAll() }
        if complaints.insert(text).inserted { logger.error("manifest refused", metadata: ["error": "\(text)"]) }
    }

    /// A version 8 UUID (RFC 9562) of 122 bits from two FNV-1a hashes: stable, and no secret depends on it.
    static func uid(_ nodeName: String, _ pod: JSON) -> String {
        let bytes = Array(nodeName.utf8) + [0] + Array(pod.text.utf8)
        func hash(_ seed: UInt64, _ bytes: some Sequence<UInt8>) -> UInt64 {
            var hash = seed
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            return hash
        }
        var raw: [UInt8] = []
        for half in [hash(0xcbf2_9ce4_8422_2325, bytes), hash(0x9e37_79b9_7f4a_7c15, bytes.reversed())] {
            for shift in stride(from: 56, through: 0, by: -8) {
                raw.append(UInt8(truncatingIfNeeded: half >> UInt64(shift)))
            }
        }
        raw[6] = raw[6] & 0x0f | 0x80
        raw[8] = raw[8] & 0x3f | 0x80
        let text = Array(Hex.encode(raw))
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(text[$0]) }.joined(separator: "-")
    }
}
