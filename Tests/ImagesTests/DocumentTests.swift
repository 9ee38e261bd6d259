// Archives whose documents lie, and files that are no archives.

import Images
import System
import Testing

@Suite struct DocumentTests {
    static let layer = Tar.layer { $0.file("file", "x") }

    @Test func refusesAmbiguousDocuments() async throws {
        let test = try TestStore()
        func refused(_ fault: ArchiveFault?, _ comment: Comment) {
            guard case .ambiguous = fault else {
                Issue.record("\(comment): \(String(describing: fault))")
                return
            }
        }
        // GHSA-5j5w-g665-5m35, in each direction.
        var layout = Layout()
        var image = layout.image([(Self.layer, Self.layer)], extra: #","manifests":[]"#)
        layout.manifests = [Layout.descriptor(Layout.manifestType, image, name: "x")]
        refused(try await test.refusal(layout.bytes()), "a manifest with manifests")

        layout = Layout()
        image = layout.image([(Self.layer, Self.layer)])
        let descriptor = Layout.descriptor(Layout.manifestType, image, name: "x")
        refused(
            try await test.refusal(
                layout.bytes(index: #"{"schemaVersion":2,"manifests":[\#(descriptor)],"layers":[]}"#)),
            "an index with layers")
        layout.manifests = [Layout.descriptor(Layout.indexType, image, name: "x")]
        refused(try await test.refusal(layout.bytes()), "a manifest behind an index' media type")

        let index = layout.blob(
            Array(#"{"schemaVersion":2,"mediaType":"\#(Layout.manifestType)","manifests":[\#(descriptor)]}"#.utf8))
        layout.manifests = [Layout.descriptor(Layout.indexType, index, name: "x")]
        refused(try await test.refusal(layout.bytes()), "an index that calls itself a manifest")

        layout = Layout.simple([Self.layer])
        var tar = Tar()
        tar.file("index.json", "{}")
        refused(try await test.refusal(tar.bytes + layout.bytes()), "two index.json")
        guard
            case .malformed = try await test.refusal(
                layout.bytes(index: #"{"schemaVersion":2,"manifests":[],"manifests":[\#(layout.manifests[0])]}"#))
        else {
            Issue.record("a key twice")
            return
        }
    }

    @Test func refusesWrongSizesDigestsAndHoles() async throws {
        let test = try TestStore()
        let sound = Layout.simple([Self.layer], compressed: false)
        for digest in sound.blobs.keys {
            var layout = sound
            layout.blobs[digest]![0] ^= 1
            guard case .digestMismatch(_, digest, _) = try await test.refusal(layout.bytes()) else {
                Issue.record("\(digest) changed")
                return
            }
            layout = sound
            layout.blobs[digest]!.append(0)
            guard case .sizeMismatch = try await test.refusal(layout.bytes()) else {
                Issue.record("\(digest) grown")
                return
            }
            layout = sound
            layout.blobs[digest] = nil
            guard case .missing = try await test.refusal(layout.bytes()) else {
                Issue.record("\(digest) missing")
                return
            }
        }
    }

    @Test func refusesBadDescriptors() async throws {
        let test = try TestStore()
        let sound = Layout.simple([Self.layer])
        for digest in ["sha256:../../../../etc/passwd", "sha256:ABC", "md5:x", ""] {
            let index =
                #"{"schemaVersion":2,"manifests":[{"mediaType":"\#(Layout.manifestType)","digest":"\#(digest)","size":1}]}"#
            guard case .malformed = try await test.refusal(sound.bytes(index: index)) else {
                Issue.record("\(digest)")
                return
            }
        }
        var layout = Layout()
        let (digest, size) = layout.image([(Self.layer, Self.layer)])
        let config = layout.blobs.first { $0.key != digest && $0.value.first == UInt8(ascii: "{") }!
        layout = Layout()
        let text = String(decoding: config.value, as: UTF8.self).replacing("\"Cmd\":[", with: "\"Cmd\":[7,")
        let changed = layout.blob(Array(text.utf8))
        let manifest = layout.blob(
            Array(
                #"{"schemaVersion":2,"config":\#(Layout.descriptor("", changed)),"layers":[\#(Layout.descriptor("", layout.blob(Self.layer)))]}"#
                    .utf8))
        layout.manifests = [Layout.descriptor(Layout.manifestType, manifest, name: "x")]
        guard case .malformed = try await test.refusal(layout.bytes()) else {
            Issue.record("a number in Cmd, \(size)")
            return
        }
    }

    @Test func refusesLargeDocuments() async throws {
        var limits = ImageLimits()
        limits.documentBytes = 4096
        let test = try TestStore(limits)
        let layout = Layout.simple([Self.layer])
        let padded = #"{"schemaVersion":2,"manifests":[\#(layout.manifests[0])]}"# + String(repeating: " ", count: 4096)
        #expect(try await test.refusal(layout.bytes(index: padded)) == .tooLarge(what: "\"index.json\"", limit: 4096))
        // Indexes that lead to each other many times over.
        limits = ImageLimits()
        limits.documents = 20
        let other = try TestStore(limits)
        var bomb = layout
        var level = layout.manifests[0].replacing("amd64", with: "s390x")
        for _ in 0..<6 {
            let index = bomb.blob(
                Array(#"{"schemaVersion":2,"manifests":[\#((0..<10).map { _ in level }.joined(separator: ","))]}"#.utf8)
            )
            level = Layout.descriptor(Layout.indexType, index, name: "x")
        }
        bomb.manifests = [level]
        guard case .unsupported = try await other.refusal(bomb.bytes()) else {
            Issue.record("accepted")
            return
        }
    }

    @Test func refusesWhatIsNoArchive() async throws {
        let test = try TestStore()
        for bytes in [[], Random.bytes(100), Random.bytes(10_000), Tar.layer { $0.file("readme", "x") }, Tar().closed] {
            guard case .notAnImage = try await test.refusal(bytes) else {
                Issue.record("\(bytes.count) bytes")
                return
            }
        }
        let sound = Layout.simple([Self.layer]).bytes()
        guard case .unsupported(_, let advice) = try await test.refusal(gzip(sound)) else {
            Issue.record("a compressed archive")
            return
        }
        #expect(advice.contains("gunzip"))
        for cut in stride(from: 700, to: sound.count - 1024, by: 700) {
            _ = try await test.refusal(Array(sound.prefix(cut)))
        }
        await #expect(throws: ImageError.self) { try await test.store.importArchive("/nowhere") }
        await #expect(throws: ImageError.self) { try await test.store.importArchive("/") }
    }
}
