// What a crash leaves, what a living import keeps, and a damaged index.

import Images
import Logging
import Synchronization
import System
import Testing

@Suite struct RecoveryTests {
    static let layer = Tar.layer { $0.file("file", String(repeating: "x", count: 4 << 20)) }

    @Test func sweepsWhatACrashLeft() async throws {
        let test = try TestStore()
        let image = try await test.load(Layout.simple([Self.layer]).bytes())[0]
        let hex = String(repeating: "a", count: 64)
        for folder in ["staging/dead/\(hex)/fs/bin", "layers/sha256/\(hex)/fs/bin"] {
            try Files.makeDirectory("\(test.root)/\(folder)")
            try Files.writeAtomically("\(test.root)/\(folder)/sh", "x")
        }
        for file in ["staging/dead.lock", "blobs/sha256/\(hex)", "index.json.abcdefgh.tmp"] {
            try Files.writeAtomically("\(test.root)/\(file)", "x")
        }
        let again = try ImageStore(root: test.root, platform: amd64)
        #expect(try again.list() == [image])
        #expect(Files.exists("\(image.rootLayers[0])/file"))
        #expect(
            try test.content().filter { $0.hasPrefix("/staging/") || $0.contains(hex) || $0.hasSuffix(".tmp") } == [])
    }

    @Test func leavesALivingImportAlone() async throws {
        let test = try TestStore()
        let path = try test.write(Layout.simple([Self.layer]).bytes())
        let (root, seen) = (test.root, Count())
        let image = try await test.store.importArchive(path) { progress in
            #expect(progress.bytesRead <= progress.bytesTotal)
            // Another process starts at every step of it.
            if (try? ImageStore(root: root, platform: amd64)) != nil { seen.add() }
        }[0]
        #expect(seen.value > 0)
        #expect(try test.store.find("web:v1") == image)
        #expect(Files.exists("\(image.rootLayers[0])/file"))
    }

    @Test func unpacksAgainWhatWasRemovedMeanwhile() async throws {
        let test = try TestStore()
        let other = Tar.layer { $0.file("other", "y") }
        try await test.load(Layout.simple([Self.layer], name: "old").bytes())
        let path = try test.write(Layout.simple([Self.layer, other], name: "new").bytes())
        let store = test.store
        let image = try await store.importArchive(path) { _ in _ = try? store.remove("old", inUse: []) }[0]
        #expect(try store.list() == [image])
        #expect(image.rootLayers.allSatisfy { Files.exists($0) })
    }

    @Test func cancelledImportsLeaveNothing() async throws {
        let test = try TestStore()
        let path = try test.write(Layout.simple([Self.layer]).bytes())
        let before = try test.content()
        let store = test.store
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await store.importArchive(path)
        }
        await #expect(throws: ImageError.self) { try await task.value }
        #expect(try test.content() == before)
    }

    @Test func setsADamagedIndexAside() async throws {
        let test = try TestStore()
        let archive = Layout.simple([Self.layer]).bytes()
        let image = try await test.load(archive)[0]
        try Files.writeAtomically("\(test.root)/index.json", "{\"version\":1,\"ima")
        #expect(throws: ImageError.self) { try test.store.find("web:v1") }
        let again = try ImageStore(
            root: test.root, platform: amd64, logger: Logger(label: "x") { _ in SwiftLogNoOpLogHandler() })
        #expect(try again.list() == [])
        // Containers may stand on the layers, and the next import finds them.
        #expect(Files.exists("\(image.rootLayers[0])/file"))
        let back = try await test.load(archive)[0]
        #expect(back.rootLayers == image.rootLayers)
        #expect(try ImageStore(root: test.root, platform: amd64).find("web:v1") == back)
    }
}

private final class Count: Sendable {
    private let atomic = Atomic<Int>(0)
    var value: Int { atomic.load(ordering: .relaxed) }
    func add() { atomic.add(1, ordering: .relaxed) }
}
